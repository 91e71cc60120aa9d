"""How the scripts set up a checkout: which Python, which .venv, which build of PyTorch, on every platform.

Each platform's answers are put in through the arguments that bootstrap.py takes them by; nothing is installed.
"""

from __future__ import annotations

import ast
import importlib.util
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("run", "test", "check", "bench", "train_demo", "evaluate_demo", "real_size")


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "scripts" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bootstrap"] = module
    spec.loader.exec_module(module)
    return module


bootstrap = load()


# --- which PyTorch -----------------------------------------------------------------------------------------------


def listing(*wheels: str) -> str:
    return "".join(f'<a href="/whl/{name}#sha256=0">{name.replace("%2B", "+")}</a><br>' for name in wheels)


def pages(**builds: Sequence[str]) -> Callable[[str], str | None]:
    """pytorch.org with these builds; what it does not have cannot be reached."""
    known = {f"{bootstrap.WHEELS}{name}/torch/": listing(*wheels) for name, wheels in builds.items()}
    return known.get


WHOLE = {
    name: [
        f"torch-{version}%2B{name}-cp312-cp312-{system}.whl"
        for version in ("2.12.0", "2.13.0")
        for system in ("win_amd64", "manylinux_2_28_x86_64")
    ]
    for name in ("cpu", "cu126", "cu128", "cu130")
}


def machine(system: str, cuda: tuple[int, int] | None = None, processor: str = "x86_64") -> Any:
    return bootstrap.Machine(system, processor, cuda, (3, 12))


@pytest.mark.parametrize(
    ("system", "cuda", "build"),
    [
        ("Linux", None, "cpu"),
        ("Linux", (13, 1), None),  # PyPI's build is for CUDA 13
        ("Linux", (12, 9), "cu128"),
        ("Linux", (12, 6), "cu126"),
        ("Linux", (11, 8), None),
        ("Windows", None, None),  # PyPI's build for Windows computes on the CPU
        ("Windows", (13, 0), "cu130"),
        ("Windows", (12, 8), "cu128"),
        ("Windows", (12, 4), None),
        ("Darwin", None, None),
    ],
)
def test_each_machine_gets_the_build_that_fits(
    system: str, cuda: tuple[int, int] | None, build: str | None
) -> None:
    found = bootstrap.torch_build(machine(system, cuda), "", "2.13.0", pages(**WHOLE))
    assert found.index == (bootstrap.WHEELS + build if build else None)
    assert found.says.startswith("PyTorch: ")


@pytest.mark.parametrize("system", ["Linux", "Windows", "Darwin"])
@pytest.mark.parametrize("cuda", [None, (12, 8), (13, 0)])
def test_where_pytorch_org_cannot_be_reached_the_package_index_serves(
    system: str, cuda: tuple[int, int] | None
) -> None:
    found = bootstrap.torch_build(machine(system, cuda), "", "2.13.0", pages())
    assert found.index is None


def test_a_build_for_another_python_or_system_is_not_taken() -> None:
    only_linux = pages(cu130=[w for w in WHOLE["cu130"] if "linux" in w])
    found = bootstrap.torch_build(machine("Windows", (13, 0)), "", "2.13.0", only_linux)
    assert found.index is None
    assert "may not use the card" in found.says
    newer = bootstrap.Machine("Windows", "AMD64", (13, 0), (3, 13))
    assert bootstrap.torch_build(newer, "", "2.13.0", pages(**WHOLE)).index is None
    assert bootstrap.torch_build(machine("Windows", (13, 0)), "", "2.13.1", pages(**WHOLE)).index is None


def test_a_build_can_be_asked_for_and_what_cannot_be_had_is_said() -> None:
    asked = bootstrap.torch_build(machine("Linux", (13, 0)), "cpu", "2.13.0", pages(**WHOLE))
    assert asked.index == "https://download.pytorch.org/whl/cpu"
    gone = bootstrap.torch_build(machine("Linux"), "cpu", "2.13.0", pages())
    assert gone.index is None
    assert "cannot be had" in gone.says
    assert bootstrap.torch_build(machine("Linux"), "pypi", "2.13.0", pages(**WHOLE)).index is None
    with pytest.raises(bootstrap.Stop, match="SVDLAB_TORCH must be cpu, cu128"):
        bootstrap.torch_build(machine("Linux"), "http://evil.example", "2.13.0", pages(**WHOLE))


@pytest.mark.parametrize(
    ("text", "cuda"),
    [
        ("| NVIDIA-SMI 560.94    Driver Version: 560.94    CUDA Version: 12.6     |", (12, 6)),
        ("| NVIDIA-SMI 590.1   KMD Version: 590.1   CUDA UMD Version: 13.1   |", (13, 1)),
        ("No devices were found", None),
    ],
)
def test_the_driver_says_which_cuda_it_can_run(text: str, cuda: tuple[int, int] | None) -> None:
    assert bootstrap.cuda_in(text) == cuda


# --- the virtual environment -------------------------------------------------------------------------------------


class Recorder:
    """Runs no command: keeps a diary, makes the folder that `-m venv` would, and answers with the codes it is given."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.said: list[str] = []
        self.codes: dict[str, int] = {}
        self.version = "3 12"

    def call(self, command: Sequence[object], **options: Any) -> int:
        words = [str(word) for word in command]
        self.commands.append(words)
        self.environments.append(dict(options.get("env") or {}))
        if words[1:3] == ["-m", "venv"]:
            shutil.rmtree(words[-1], ignore_errors=True)
            for place in ("bin/python", "Scripts/python.exe"):
                path = Path(words[-1]) / place
                path.parent.mkdir(parents=True)
                path.touch()
        line = " ".join(words)
        return next((code for part, code in self.codes.items() if part in line), 0)

    def ask(self, command: Sequence[object]) -> str:
        return self.version

    def lines(self, word: str = "") -> list[str]:
        """The commands with that word since the last time, and a clean page."""
        lines = [" ".join(words) for words in self.commands]
        self.commands.clear()
        return [line for line in lines if word in line]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "a check out"  # a folder name with a space is a folder name
    folder.mkdir()
    for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def checkout(
    root: Path,
    recorder: Recorder,
    system: str = "Linux",
    cuda: tuple[int, int] | None = None,
    **environment: str,
) -> Any:
    version = bootstrap.re.search(r"^torch==(\S+)", (root / "constraints.txt").read_text(), 8)[1]
    wheels = {name: [w.replace("2.13.0", version) for w in names] for name, names in WHOLE.items()}
    return bootstrap.Checkout(
        root,
        machine(system, cuda),
        environment,
        recorder.call,
        recorder.ask,
        recorder.said.append,
        pages(**wheels),
    )


@pytest.mark.parametrize("system", ["Linux", "Windows", "Darwin"])
def test_the_first_run_installs_and_hands_its_options_to_the_app(
    root: Path, recorder: Recorder, system: str
) -> None:
    bootstrap.start(checkout(root, recorder, system), "run", ["--port", "7999"])
    lines = recorder.lines()
    assert [line for line in lines if "-m venv --clear" in line]
    assert "-c constraints.txt" in lines[-2]
    assert lines[-2].endswith("-r requirements.txt -e .")
    python = root / ".venv" / ("Scripts/python.exe" if system == "Windows" else "bin/python")
    assert lines[-1] == f"{python} {root / 'app.py'} --port 7999"


def test_torch_comes_alone_from_where_its_build_is(root: Path, recorder: Recorder) -> None:
    bootstrap.start(checkout(root, recorder, "Windows", (12, 8)), "run", [])
    torch, everything = recorder.lines("pip install")
    assert "--no-deps" in torch
    assert "--index-url https://download.pytorch.org/whl/cu128 torch" in torch
    assert "pytorch.org" not in everything
    assert "cu128 build" in " ".join(recorder.said)


def test_a_build_that_cannot_be_installed_after_all_is_had_from_the_index(
    root: Path, recorder: Recorder
) -> None:
    recorder.codes["--no-deps"] = 1
    assert bootstrap.start(checkout(root, recorder), "run", []) == 0
    assert "taking the package index's build" in " ".join(recorder.said)
    assert len(recorder.lines("pip install")) == 2


def test_the_second_run_neither_calls_pip_nor_makes_anything(root: Path, recorder: Recorder) -> None:
    bootstrap.start(checkout(root, recorder), "run", [])
    recorder.lines()
    recorder.said.clear()
    bootstrap.start(checkout(root, recorder), "run", [])
    (line,) = recorder.lines()
    assert line.endswith("app.py")
    assert recorder.said == []


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt", "pyproject.toml"])
def test_what_changed_is_installed_again(root: Path, recorder: Recorder, name: str) -> None:
    bootstrap.start(checkout(root, recorder), "run", [])
    with (root / name).open("a") as file:
        file.write("# changed\n")
    recorder.lines()
    bootstrap.start(checkout(root, recorder), "run", [])
    lines = recorder.lines()
    assert [line for line in lines if line.endswith("-r requirements.txt -e .")]
    assert not [line for line in lines if "venv --clear" in line]


def test_a_python_that_was_replaced_under_the_venv_is_noticed(root: Path, recorder: Recorder) -> None:
    bootstrap.start(checkout(root, recorder), "run", [])
    recorder.lines()
    recorder.version = "3 13"
    bootstrap.start(checkout(root, recorder), "run", [])
    assert recorder.lines("-r requirements.txt -e .")


@pytest.mark.parametrize("harm", ["killed", "no python", "too old"])
def test_a_venv_that_is_not_sound_is_made_anew(root: Path, recorder: Recorder, harm: str) -> None:
    bootstrap.start(checkout(root, recorder), "run", [])
    if harm == "killed":
        (root / ".venv" / bootstrap.INSTALLING).touch()
    elif harm == "no python":
        (root / ".venv" / "bin" / "python").unlink()
    else:
        recorder.version = "3 10"
    recorder.lines()
    assert bootstrap.start(checkout(root, recorder), "run", []) == 0
    assert recorder.lines("venv --clear")


def test_a_venv_that_only_lacks_pip_is_given_one(root: Path, recorder: Recorder) -> None:
    bootstrap.start(checkout(root, recorder), "run", [])
    (root / ".venv" / ".svdlab-requirements.txt").unlink()
    recorder.codes["pip --version"] = 1
    recorder.lines()
    bootstrap.start(checkout(root, recorder), "run", [])
    lines = recorder.lines()
    assert [line for line in lines if "ensurepip" in line]
    assert not [line for line in lines if "venv --clear" in line]


def test_an_install_that_failed_is_tried_again_and_starts_no_app(root: Path, recorder: Recorder) -> None:
    recorder.codes["-e ."] = 1
    with pytest.raises(bootstrap.Stop, match="The installation failed"):
        bootstrap.start(checkout(root, recorder), "run", [])
    assert not recorder.lines("app.py")
    recorder.codes.clear()
    assert bootstrap.start(checkout(root, recorder), "run", []) == 0
    lines = recorder.lines()
    assert [line for line in lines if line.endswith("-r requirements.txt -e .")]
    assert not [line for line in lines if "venv --clear" in line]


def test_another_build_of_torch_can_be_asked_for_later(root: Path, recorder: Recorder) -> None:
    bootstrap.start(checkout(root, recorder, SVDLAB_TORCH="cpu"), "run", [])
    recorder.lines()
    bootstrap.start(checkout(root, recorder, "Linux", (13, 0), SVDLAB_TORCH="cu128"), "run", [])
    torch, _ = recorder.lines("pip install")
    assert "--force-reinstall" in torch
    bootstrap.start(checkout(root, recorder), "run", [])  # nothing asked: what is there is good
    assert not recorder.lines("pip install")


# --- what is started ---------------------------------------------------------------------------------------------


def test_testing_checks_first_and_ends_with_pytest(root: Path, recorder: Recorder, tmp_path: Path) -> None:
    chromium = tmp_path / "chromium"
    chromium.write_text("#!/bin/sh\n")
    chromium.chmod(0o755)
    options = {"SVDLAB_CHROMIUM": str(chromium), "SVDLAB_TEST_WORKERS": "3", "PATH": ""}
    assert bootstrap.start(checkout(root, recorder, **options), "test", ["-k", "settings"]) == 0
    environment = recorder.environments[-1]
    lines = recorder.lines()
    for tool in ("ruff check", "ruff format --check", "mypy", "importlinter"):
        assert [line for line in lines if tool in line], tool
    assert lines[-1].endswith("-m pytest -n 3 --dist loadfile -k settings")
    assert environment["SVDLAB_CHROMIUM"] == str(chromium)
    assert environment["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize("part", ["mypy", "pytest"])
def test_testing_fails_when_a_check_or_a_test_does(root: Path, recorder: Recorder, part: str) -> None:
    recorder.codes[f"-m {part}"] = 1
    assert bootstrap.start(checkout(root, recorder, PATH=""), "test", []) == 1
    assert recorder.lines("-m pytest")
    assert "No Chromium was found: the browser tests will be skipped." in recorder.said


@pytest.mark.parametrize("command", SCRIPTS)
def test_every_script_has_its_command(root: Path, recorder: Recorder, command: str) -> None:
    assert (ROOT / "scripts" / command).read_text().rstrip().endswith(f'start {command} "$@"')
    assert bootstrap.start(checkout(root, recorder, PATH=""), command, []) == 0
    assert recorder.lines()[-1].startswith(str(root / ".venv"))


@pytest.mark.parametrize("command", ["run", "test"])
def test_windows_has_the_two_commands(command: str) -> None:
    script = (ROOT / "scripts" / f"{command}.cmd").read_bytes()
    assert script.count(b"\r\n") == script.count(b"\n")  # cmd.exe may stumble over bare line feeds
    assert script.count(f'"%~dp0bootstrap.py" {command} %*'.encode()) == 3


# --- the shell's side --------------------------------------------------------------------------------------------

PYTHON = """#!/bin/bash
echo "$*" >>"$DIARY"
"""


def shell(tmp_path: Path, *arguments: str, pythons: Sequence[str] = ()) -> tuple[Any, list[str], Path]:
    """scripts/run in a copy, on a PATH with these Pythons, which only take notes."""
    folder, tools, diary = tmp_path / "a check out", tmp_path / "tools", tmp_path / "diary"
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    tools.mkdir()
    for tool in ("bash", "dirname"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    for name in pythons:
        python = tools / name
        python.write_text(PYTHON)
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
    result = subprocess.run(
        [tools / "bash", folder / "scripts" / "run", *arguments],
        env={"PATH": str(tools), "DIARY": str(diary)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return result, diary.read_text().splitlines() if diary.exists() else [], folder


def test_without_a_python_run_says_so_in_one_sentence(tmp_path: Path) -> None:
    result, _, folder = shell(tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("svdlab needs Python 3.11 or newer")
    assert result.stderr.count("\n") == 1
    assert not (folder / ".venv").exists()


def test_the_script_hands_over_to_the_python_it_finds(tmp_path: Path) -> None:
    result, diary, folder = shell(tmp_path, "--port", "7999", pythons=["python3.12"])
    assert result.returncode == 0, result.stderr
    assert diary[-1] == f"{folder}/scripts/bootstrap.py run --port 7999"


def test_an_old_python_is_told_what_is_needed() -> None:
    source = (ROOT / "scripts" / "bootstrap.py").read_text()
    ast.parse(source, feature_version=(3, 8))  # an older Python gets as far as the sentence
