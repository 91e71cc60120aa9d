"""The environment is read once: right values, wrong values, names that are none, and nobody reads it elsewhere."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from svdlab.environment import ELSEWHERE, VARIABLES, Environment
from svdlab.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent


def test_an_environment_that_says_nothing_gives_the_defaults() -> None:
    assert Environment.read({}) == Environment()
    assert Environment.read({declared.name: " " for declared in VARIABLES.values()}) == Environment()


def test_every_variable_is_read_into_its_value() -> None:
    read = Environment.read(
        {
            "SVDLAB_HOST": "::1",
            "SVDLAB_PORT": "8000",
            "SVDLAB_DATA_DIR": "~/runs",
            "SVDLAB_DEVICE": "cuda:1",
            "SVDLAB_DTYPE": "bfloat16",
            "SVDLAB_WORKER": "local",
            "SVDLAB_MEMORY_GB": "1.5",
            "SVDLAB_OFFLOAD": "Model",
            "SVDLAB_KEEP_LATENTS_MB": "0",
            "SVDLAB_CHECKPOINT_DIRS": f"/a{os.pathsep} {os.pathsep}/b",
            "SVDLAB_BIN_DAYS": "Never",
            "SVDLAB_KEEP_DAYS": "0.5",
            "SVDLAB_WATERMARK": "svdlab",
            "SVDLAB_SAFETY_CHECKER": "someone/checker",
            "SVDLAB_EXAMPLES": "0",
            "SVDLAB_MCP": "1",
            "SVDLAB_DEBUG": "1",
            "SVDLAB_PUBLIC": "0",
            "SVDLAB_HOSTS": "Lab.example.org, *.example.net",
            "SVDLAB_PROXIES": "2",
            "SVDLAB_OPERATOR_TOKEN": "twenty-four-characters-or-more",
            "SVDLAB_MAX_WAITING": "7",
            "SVDLAB_MAX_PIXELS": "100000",
            "SVDLAB_MAX_FRAMES": "14",
            "SVDLAB_MAX_STEPS": "20",
            "SVDLAB_MAX_CELLS": "4",
            "SVDLAB_LOG": "json",
            "SPACE_HOST": "someone-svdlab.hf.space",
            "SVDLAB_PLACED": "svd-xt, svd",
            "SPACE_ID": "someone/svdlab",
            "SPACES_ZERO_GPU": "true",
            "OAUTH_CLIENT_ID": "abc",
        }
    )
    assert read == Environment(
        host="::1",
        port=8000,
        data_dir=Path.home() / "runs",
        device="cuda:1",
        dtype="bfloat16",
        worker="local",
        memory_bytes=1_500_000_000,
        offload="model",
        kept_latents_bytes=0,
        checkpoint_dirs=(Path("/a"), Path("/b")),
        bin_days=None,
        keep_days=0.5,
        watermark="svdlab",
        safety_checker="someone/checker",
        examples=False,
        mcp=True,
        debug=True,
        public=False,
        hosts=("lab.example.org", "*.example.net"),
        proxies=2,
        operator="twenty-four-characters-or-more",
        max_waiting=7,
        max_pixels=100_000,
        max_frames=14,
        max_steps=20,
        max_cells=4,
        log="json",
        space_host="someone-svdlab.hf.space",
        placed=("svd-xt", "svd"),
        space="someone/svdlab",
        zero_gpu=True,
        login="abc",
    )


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("SVDLAB_PORT", "eighty", "SVDLAB_PORT must be a whole number from 1 to 65535, got 'eighty'"),
        ("SVDLAB_PORT", "70000", "SVDLAB_PORT must be a whole number from 1 to 65535, got '70000'"),
        ("SVDLAB_DEVICE", "gpu", "SVDLAB_DEVICE must be auto, cpu, mps, cuda or cuda:1 and so on, got 'gpu'"),
        ("SVDLAB_DTYPE", "int8", "SVDLAB_DTYPE must be auto, float32, float16 or bfloat16, got 'int8'"),
        ("SVDLAB_OFFLOAD", "disk", "SVDLAB_OFFLOAD must be auto, none, model or streamed, got 'disk'"),
        (
            "SVDLAB_MEMORY_GB",
            "lots",
            "SVDLAB_MEMORY_GB must be a number of gigabytes such as 12, got 'lots'",
        ),
        ("SVDLAB_MEMORY_GB", "0", "SVDLAB_MEMORY_GB must be a number of gigabytes such as 12, got '0'"),
        (
            "SVDLAB_KEEP_LATENTS_MB",
            "-1",
            "SVDLAB_KEEP_LATENTS_MB must be a number of megabytes, 0 or more, got '-1'",
        ),
        (
            "SVDLAB_WATERMARK",
            "too long a text",
            "SVDLAB_WATERMARK must be 1 to 8 plain letters, got 'too long a text'",
        ),
        ("SVDLAB_BIN_DAYS", "nan", "SVDLAB_BIN_DAYS must be a number of days above 0, or never, got 'nan'"),
    ],
)
def test_a_wrong_value_is_one_sentence(name: str, text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as raised:
        Environment.read({name: text})
    assert str(raised.value) == sentence


def test_a_secret_is_shown_nowhere() -> None:
    with pytest.raises(BadInput) as raised:
        Environment.read({"SVDLAB_OPERATOR_TOKEN": "too short"})
    assert str(raised.value) == (
        "SVDLAB_OPERATOR_TOKEN must be a secret of at least 24 characters, got 9 characters"
    )
    secret = "twenty-four-characters-or-more"
    assert secret not in repr(Environment.read({"SVDLAB_OPERATOR_TOKEN": secret}))


def test_a_public_lab_keeps_things_for_days_unless_it_is_told_otherwise() -> None:
    public = Environment.read({"SVDLAB_PUBLIC": "1"})
    assert (public.keep_days, public.bin_days) == (7, 1)
    assert Environment.read({"SPACE_ID": "someone/svdlab"}).keep_days == 7
    told = Environment.read({"SVDLAB_PUBLIC": "1", "SVDLAB_KEEP_DAYS": "never", "SVDLAB_BIN_DAYS": "3"})
    assert (told.keep_days, told.bin_days) == (None, 3)
    own = Environment.read({"SPACE_ID": "someone/svdlab", "SVDLAB_PUBLIC": "0"})
    assert (own.keep_days, own.bin_days) == (None, 30)


def test_an_unknown_name_is_warned_about_once_with_the_nearest_known_one() -> None:
    given = {"SVDLAB_DATADIR_": "/x", "OTHER": "1"}
    said = (
        r"^SVDLAB_DATADIR_ is no variable of svdlab's, so it changes nothing; did you mean SVDLAB_DATA_DIR\?$"
    )
    with pytest.warns(UserWarning, match=said):
        Environment.read(given)
    assert Environment.read(given) == Environment()  # a second warning would be an error here


def test_names_that_are_read_elsewhere_are_known() -> None:
    assert Environment.read(dict.fromkeys(ELSEWHERE, "1")) == Environment()


def test_a_space_is_reached_from_outside_and_its_visitors_may_log_in() -> None:
    assert Environment.read({}).listening == "127.0.0.1"
    assert Environment.read({"SPACE_ID": "someone/svdlab"}).listening == "0.0.0.0"
    assert Environment.read({"SPACE_ID": "someone/svdlab", "SVDLAB_HOST": "::"}).listening == "::"


def test_a_space_has_its_examples_rendered_unless_told_otherwise() -> None:
    assert not Environment.read({}).has_examples
    assert Environment.read({"SVDLAB_EXAMPLES": "1"}).has_examples
    assert Environment.read({"SPACE_ID": "someone/svdlab"}).has_examples
    assert not Environment.read({"SPACE_ID": "someone/svdlab", "SVDLAB_EXAMPLES": "0"}).has_examples


def test_a_zerogpu_space_has_its_kind_of_worker() -> None:
    assert Environment.read({}).worker_kind == "local"
    assert Environment.read({"SPACES_ZERO_GPU": "true"}).worker_kind == "zerogpu"
    assert Environment.read({"SPACES_ZERO_GPU": "false"}).worker_kind == "local"
    assert Environment.read({"SPACES_ZERO_GPU": "true", "SVDLAB_WORKER": "local"}).worker_kind == "local"


def test_every_name_in_the_repository_is_a_known_one() -> None:
    known = {declared.name for declared in VARIABLES.values()} | ELSEWHERE.keys()
    named: dict[str, str] = {}
    for part in ("svdlab", "scripts", "app.py", "Dockerfile", "README.md", "docs"):
        paths = sorted((ROOT / part).rglob("*")) if (ROOT / part).is_dir() else [ROOT / part]
        for path in paths:
            if path.is_file() and path.suffix in ("", ".py", ".sh", ".md", ".js", ".html"):
                text = path.read_text(encoding="utf-8", errors="ignore")
                named.update(dict.fromkeys(re.findall(r"\bSVDLAB_[A-Z][A-Z_]*[A-Z]\b", text), str(path)))
    assert {name: path for name, path in named.items() if name not in known} == {}


# Reads of os.environ that stay where they are, each for its reason.
READERS = {
    "environment.py": "the one place",
    "failpoints.py": "armed by a test at any moment, and below everything else",
    "engine/__init__.py": "sets what torch and the model libraries read when they are imported",
    "cli/examples.py": "hands its own environment on to the process it starts",
    "cli/__init__.py": "sets what the model libraries read when they are imported",
    "engine/bench.py": "hands its own environment on to the process it starts",
    "workers/cluster.py": "sets what Ray reads when it is imported",
    "workers/zerogpu.py": "sets what the package spaces reads when it is imported",
    "ui/site.py": "sets what gradio reads when it is imported",
    "weights/sources/hub.py": "HF_HUB_OFFLINE is huggingface_hub's, and means what it means there",
}


def test_the_environment_is_read_in_one_place() -> None:
    readers = set()
    for path in sorted((ROOT / "svdlab").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") for node in ast.walk(tree)
        ):
            readers.add(path.relative_to(ROOT / "svdlab").as_posix())
    assert readers <= READERS.keys()


def test_reading_it_loads_nothing_heavy() -> None:
    script = "import sys, svdlab.environment; print(*{'torch', 'gradio', 'pydantic'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
