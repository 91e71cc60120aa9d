"""The kinds of workers there are: each file of this package that has a `Worker` in it. Imports none to list them."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from functools import cache
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.util import find_spec
from types import MappingProxyType

import svdlab.workers
from svdlab.errors import BadInput
from svdlab.workers.contract import Worker


@cache
def kinds() -> MappingProxyType[str, str]:
    """Each kind's name, which is its file's, and its line of help, which is the file's first."""
    found = {}
    for module in sorted(pkgutil.iter_modules(svdlab.workers.__path__), key=lambda one: one.name):
        tree = ast.parse(_source(f"svdlab.workers.{module.name}"))
        if any(_is_worker(node) for node in tree.body):
            found[module.name] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return MappingProxyType(found)


def _source(name: str) -> str:
    spec = find_spec(name)
    loader = spec.loader if spec is not None else None
    return (loader.get_source(name) if isinstance(loader, InspectLoader) else None) or ""


def _is_worker(node: ast.stmt) -> bool:
    """Whether a statement of a file makes a class of workers: `class Mine(Worker)` or `class Mine(contract.Worker)`."""
    bases = node.bases if isinstance(node, ast.ClassDef) else []
    return any(ast.unparse(base).rpartition(".")[2] == Worker.__name__ for base in bases)


def kind(name: str) -> type[Worker]:
    """The worker of that kind. Raises `BadInput` with those there are."""
    if name not in kinds():
        raise BadInput(f"worker must be {' or '.join(kinds())}, got {name[:40]!r}")
    module = import_module(f"svdlab.workers.{name}")
    classes = (one for _, one in inspect.getmembers(module, inspect.isclass))
    [found] = [one for one in classes if issubclass(one, Worker) and one.__module__ == module.__name__]
    return found
