"""The house keeps its order: what import-linter's contracts catch, what starting up loads, who stays apart."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "diffusers", "transformers", "accelerate", "ray"}


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    return subprocess.run(
        [*command, "--no-cache", "--no-logo"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy_of_the_tree(tmp_path: Path) -> Path:
    """The package and its contracts, free to be broken."""
    shutil.copytree(ROOT / "svdlab", tmp_path / "svdlab", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_imports_keep_to_the_contracts() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("recipes/settings.py", "import torch", "Only the engine knows torch"),
        ("lab/lab.py", "from diffusers import StableVideoDiffusionPipeline", "Only the engine knows torch"),
        ("lab/lab.py", "import gradio as gr", "Only the pages know gradio"),
        ("lab/desk.py", "from svdlab.engine import renderer", "Imports go downward only"),
        ("recipes/work.py", "import torch", "Only the engine knows torch"),
        ("workers/__init__.py", "import ray", "Only the cluster's worker knows Ray"),
        ("workers/local.py", "import spaces", "Only ZeroGPU's worker knows the package spaces"),
        ("history/queue.py", "from svdlab.lab import lab", "Imports go downward only"),
        ("history/queue.py", "from svdlab.engine import sampler", "Imports go downward only"),
        ("ui/__init__.py", "from svdlab.workers import open_lab", "Pages know neither workers nor models"),
        ("ui/pages/models.py", "from svdlab.engine import examine", "Pages know neither workers nor models"),
        ("ui/pages/history.py", "from svdlab.ui.pages import run", "Pages never import each other"),
        ("ui/parts/strip/__init__.py", "from svdlab.ui.pages import explore", "Inside the pages imports go"),
        ("ui/visitor.py", "from svdlab.ui.parts import strip", "Inside the pages imports go downward only"),
        ("ui/a_module_without_a_place.py", "", "Inside the pages imports go downward only"),
        ("a_room_without_a_place.py", "", "Imports go downward only"),
    ],
)
def test_a_forbidden_import_is_caught(copy_of_the_tree: Path, module: str, line: str, contract: str) -> None:
    with (copy_of_the_tree / "svdlab" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = lint_imports(copy_of_the_tree)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [verdict for verdict in result.stdout.splitlines() if "BROKEN" in verdict]
    assert [verdict for verdict in broken if verdict.startswith(contract)], result.stdout


def test_importing_it_loads_no_model_library() -> None:
    modules = ["svdlab", "svdlab.cli", "svdlab.lab.lab", "svdlab.workers", "svdlab.ui", "app"]
    script = (
        f"import importlib, sys\nfor module in {modules!r}:\n    importlib.import_module(module)\n"
        f"    print(module, *sorted({HEAVY!r} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == modules  # and nothing beside the one that would have brought it


def imported_names(path: Path) -> set[str]:
    """The dotted names a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    return names


def test_the_entry_point_knows_only_gradio_and_svdlab() -> None:
    names = {name.split(".")[0] for name in imported_names(ROOT / "app.py")}
    assert names <= {"svdlab", "gradio", "fastapi", "uvicorn", "spaces", *sys.stdlib_module_names}


def test_training_stands_apart_from_the_product() -> None:
    for path in sorted((ROOT / "training").rglob("*.py")):
        ours = {name for name in imported_names(path) if name.split(".")[0] == "svdlab"}
        # Its evaluation measures clips as the lab does; nothing else of the product is known there.
        allowed = path.name == "evaluate.py" and all(name.startswith("svdlab.metrics") for name in ours)
        assert allowed or not ours, path
    for path in sorted((ROOT / "svdlab").rglob("*.py")):
        assert "training" not in {name.split(".")[0] for name in imported_names(path)}, path


# Of others, where there is no public way.
PRIVATE_OF_OTHERS = {
    "torch._C": "where the package spaces looks for what a build of torch for CUDA has",
    "torch._C._cuda_init": "one such thing; here it is never called",
    "torch.cuda._is_in_bad_fork": "another",
    "os._exit": "how a forked child ends without doing what its parent has still to do",
    "psutil._pslinux": "where psutil keeps the time of the boot, which moves with a clock that is set back",
}


def private_names(text: str) -> Iterator[str]:
    """The private names of others that a program touches, and so do the programs that it holds as texts."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass  # its own
            case ast.Attribute(attr=name) if is_private(name):
                yield ast.unparse(node)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{one.name}" for one in names if is_private(one.name))
            case ast.Import(names=names):
                yield from (one.name for one in names if any(map(is_private, one.name.split("."))))
            case ast.Call(func=ast.Name(id="getattr" | "setattr") | ast.Attribute(attr="setattr"), args=args):
                named = [one.value for one in args[1:2] if isinstance(one, ast.Constant)]
                yield from (name for name in named if is_private(str(name)))
            case ast.Constant(value=str(inner)) if "import " in inner:
                with suppress(SyntaxError):  # a sentence, not a program
                    yield from private_names(inner)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_private_names_are_seen() -> None:
    program = (
        "import a._b\nfrom a import _c\nx.y._d = 1\nsetattr(x, '_e', 1)\npatch.setattr(x, '_f', 1)\n"
        "self._mine = x.__dict__\nchild = 'import z; z._g()'\n"
    )
    assert set(private_names(program)) == {"a._b", "a._c", "_e", "_f", "x.y._d", "z._g"}


def test_no_test_touches_what_is_private() -> None:
    touched = {
        (str(path.relative_to(ROOT)), name)
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path != Path(__file__)  # its examples
        for name in private_names(path.read_text(encoding="utf-8"))
    }
    assert {name for _, name in touched} == set(PRIVATE_OF_OTHERS), touched
