"""What a wheel carries, what the pins cover, and how the scripts set up a checkout."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def requirements(name: str) -> list[Requirement]:
    lines = (re.sub(r"(^|\s+)#.*", "", line) for line in (ROOT / name).read_text("utf-8").splitlines())
    return [Requirement(line) for line in lines if line.strip()]


# --- the wheel -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """svdlab built as `pip install .` builds it, but without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True, stdin=subprocess.DEVNULL)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def read(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (path for path in archive.namelist() if path.endswith(f".dist-info/{name}"))
        return archive.read(path).decode()


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    return Parser().parsestr(read(wheel, "METADATA"))


def files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("folder", ["presets", "assets"])
def test_the_wheel_carries_presets_and_assets(names: set[str], folder: str) -> None:
    assert {f"svdlab/_data/{name}" for name in files(ROOT / folder)} <= names


def test_the_wheel_carries_code_styles_and_scripts_of_the_pages(names: set[str]) -> None:
    assert {
        name for name in files(ROOT / "svdlab") if Path(name).suffix in {".py", ".css", ".js", ".html"}
    } <= names


def test_the_wheel_carries_nothing_else(wheel: Path, names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"svdlab"}
    assert not [name for name in names if "__pycache__" in name]


def test_the_wheel_has_the_command_and_the_licence(wheel: Path, metadata: Message, names: set[str]) -> None:
    assert "svdlab = svdlab.cli:main" in read(wheel, "entry_points.txt")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_the_wheel_asks_for_what_the_requirements_name(metadata: Message) -> None:
    asked = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]

    def of(extra: str) -> set[str]:
        return {canonicalize_name(one.name) for one in asked if extra in str(one.marker or "")}

    def named(file: str) -> set[str]:
        return {canonicalize_name(one.name) for one in requirements(file)}

    assert {canonicalize_name(one.name) for one in asked if one.marker is None} == named("requirements.txt")
    assert of("cluster") == named("requirements-cluster.txt")
    assert of("dev") == named("requirements-dev.txt")


def test_an_installed_wheel_finds_its_own_presets_and_assets(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)  # what pip does with a wheel of plain files
    script = "import svdlab.resources as r; print(r.presets_dir(), r.assets_dir(), sep='\\n')"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    data = site / "svdlab" / "_data"
    assert result.stdout.splitlines() == [str(data / "presets"), str(data / "assets")]


def test_a_checkout_finds_its_own_presets_and_assets() -> None:
    from svdlab.resources import assets_dir, presets_dir

    assert (presets_dir(), assets_dir()) == (ROOT / "presets", ROOT / "assets")


# --- the pins --------------------------------------------------------------------------------------------------


def test_every_requirement_is_pinned_to_a_version_it_allows() -> None:
    pins = {canonicalize_name(pin.name): pin for pin in requirements("constraints.txt")}
    for file in ("requirements.txt", "requirements-dev.txt"):
        for wanted in requirements(file):
            (pin,) = pins[canonicalize_name(wanted.name)].specifier
            assert pin.operator == "=="
            assert wanted.specifier.contains(pin.version), (
                f"{file} wants {wanted}, constraints.txt has {pin.version}"
            )


def test_the_torch_pin_fits_every_build_of_torch() -> None:
    (torch,) = (pin for pin in requirements("constraints.txt") if pin.name == "torch")
    assert "+" not in str(torch.specifier), "a local version like +cpu would forbid the CUDA build"


# --- the scripts -----------------------------------------------------------------------------------------------

# Stands in for Python and pip in a checkout that is never really installed into: it keeps a diary, and its
# `-m venv` puts itself into the new folder.
PYTHON = """#!/bin/bash
echo "$*" >>"$DIARY"
case "$*" in
  *"print("*) echo "python 3.12" ;;
  "-m venv "*) for folder; do :; done; rm -rf "$folder"; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python" ;;
  *"-m pip install"*) exit "${PIP_EXIT:-0}" ;;
esac
"""


class Checkout:
    """A copy of the scripts, with a Python that only takes notes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.venv = folder / ".venv"
        self.diary = folder / "diary"
        shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        tools = folder / "tools"
        tools.mkdir()
        for tool in ("bash", "cat", "cksum", "cp", "dirname", "flock", "mkdir", "rm"):
            if path := shutil.which(tool):
                (tools / tool).symlink_to(path)

    def add_python(self, name: str) -> None:
        python = self.folder / "tools" / name
        python.write_text(PYTHON)
        python.chmod(python.stat().st_mode | stat.S_IXUSR)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.folder / "scripts" / "run"), *arguments],
            env={"PATH": str(self.folder / "tools"), "DIARY": str(self.diary), **environment},
            cwd=self.folder.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def notes(self, word: str) -> list[str]:
        """The lines with that word since the last time, and a clean page."""
        lines = self.diary.read_text().splitlines() if self.diary.exists() else []
        self.diary.unlink(missing_ok=True)
        return [line for line in lines if word in line]


@pytest.fixture
def bare(tmp_path: Path) -> Checkout:
    folder = tmp_path / "a check out"  # a folder name with a space is a folder name
    folder.mkdir()
    return Checkout(folder)


@pytest.fixture
def checkout(bare: Checkout) -> Checkout:
    bare.add_python("python3.12")
    return bare


def test_without_a_python_run_says_so_in_one_sentence(bare: Checkout) -> None:
    result = bare.run()
    assert result.returncode == 1
    assert result.stderr.startswith("svdlab needs Python 3.11 or newer")
    assert result.stderr.count("\n") == 1
    assert not bare.venv.exists()


def test_the_first_run_installs_and_hands_its_options_to_the_app(checkout: Checkout) -> None:
    result = checkout.run("--port", "7999")
    assert result.returncode == 0, result.stderr
    lines = checkout.notes("")
    (install,) = (line for line in lines if "pip install" in line)
    assert "-c constraints.txt -r requirements.txt" in install
    assert lines[-1] == f"{checkout.folder}/app.py --port 7999"


def test_the_second_run_neither_calls_pip_nor_makes_anything(checkout: Checkout) -> None:
    checkout.run()
    checkout.notes("")
    result = checkout.run()
    assert (result.returncode, result.stderr) == (0, "")
    assert len(checkout.notes("")) == 2  # its version, then the app


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt", "pyproject.toml"])
def test_what_changed_is_installed_again(checkout: Checkout, name: str) -> None:
    checkout.run()
    with (checkout.folder / name).open("a") as file:
        file.write("# changed\n")
    checkout.notes("")
    checkout.run()
    lines = checkout.notes("-m")
    assert len([line for line in lines if "pip install" in line]) == 1
    assert not [line for line in lines if "venv" in line]


def test_an_install_that_was_killed_is_begun_anew(checkout: Checkout) -> None:
    checkout.run()
    (checkout.venv / ".svdlab-installing").touch()
    checkout.notes("")
    assert checkout.run().returncode == 0
    assert checkout.notes("venv --clear")
    assert checkout.run().returncode == 0
    assert not checkout.notes("-m")


def test_a_venv_whose_python_is_gone_is_made_anew(checkout: Checkout) -> None:
    checkout.run()
    (checkout.venv / "bin" / "python").unlink()
    checkout.notes("")
    assert checkout.run().returncode == 0
    assert checkout.notes("venv --clear")


def test_an_install_that_failed_is_tried_again_and_starts_no_app(checkout: Checkout) -> None:
    result = checkout.run(PIP_EXIT="1")
    assert result.returncode == 1
    assert "installation failed" in result.stderr
    assert not checkout.notes("app.py")
    assert checkout.run().returncode == 0
    lines = checkout.notes("")
    assert [line for line in lines if "pip install" in line]
    assert not [line for line in lines if "venv --clear" in line]


def test_the_cpu_build_of_torch_can_be_asked_for(checkout: Checkout) -> None:
    checkout.run(SVDLAB_TORCH="cpu")
    torch, everything = checkout.notes("pip install")
    assert "https://download.pytorch.org/whl/cpu" in torch
    assert "pytorch.org" not in everything
