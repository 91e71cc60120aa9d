"""What a wheel carries, and what the pins cover."""

from __future__ import annotations

import json
import os
import re
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
    assert of("heic") == named("requirements-heic.txt")
    assert of("mcp") == named("requirements-mcp.txt")
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


# --- the Space -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_a_space_is_given_what_it_runs_by_and_no_tests() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "space"), "someone/svdlab", "--dry-run"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[1:]
    needed = {"README.md", "app.py", "requirements.txt", "pre-requirements.txt", "svdlab/__init__.py"}
    assert needed <= set(said)
    assert [name for name in said if name.startswith("assets/demo-1-1/unet/")]
    assert not [name for name in said if name.startswith(("tests/", "training/", ".venv/"))]


def test_the_readme_begins_with_what_a_space_needs_to_know() -> None:
    header = (ROOT / "README.md").read_text("utf-8").split("---\n")[1]
    known = dict(line.split(": ", 1) for line in header.splitlines() if ": " in line)
    assert (known["sdk"], known["app_file"], known["hf_oauth"]) == ("gradio", "app.py", "true")
    (gradio,) = (one for one in requirements("requirements.txt") if one.name == "gradio")
    assert gradio.specifier.contains(known["sdk_version"])
    (torch,) = requirements("pre-requirements.txt")  # the one that ZeroGPU knows is enough for svdlab
    (wanted,) = (one for one in requirements("requirements.txt") if one.name == "torch")
    assert wanted.specifier.contains("2.11.0")
    assert torch.specifier.contains("2.11.0")


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


# --- known holes, and the bill of materials ----------------------------------------------------------------------

HOLES = {  # the last version that has one
    "diffusers": "0.42.0",
    "gradio": "6.6.0",
    "h11": "0.15.0",
    "jinja2": "3.1.5",
    "pillow": "12.2.0",
    "pyarrow": "23.0.0",
    "python-multipart": "0.0.31",
    "starlette": "1.3.0",
    "transformers": "5.2.0",
}


def test_versions_with_known_holes_are_not_allowed() -> None:
    wanted = {canonicalize_name(one.name): one.specifier for one in requirements("requirements.txt")}
    assert {name for name, version in HOLES.items() if wanted[name].contains(version)} == set()


def test_no_pickle_is_opened() -> None:
    """What is wrong with `torch.load` in some versions of torch does not concern svdlab."""
    code = "".join(path.read_text("utf-8") for path in (ROOT / "svdlab").rglob("*.py"))
    assert not re.search(r"(?<!safetensors\.)torch\.load\(|pickle\.load|allow_pickle=True", code)


def test_the_bill_of_materials_names_all_that_is_installed_and_is_the_same_each_time() -> None:
    made = [
        subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "make_bom")], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert made[0] == made[1]
    bill = json.loads(made[0])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    named = {one["name"]: one for one in bill["components"]}
    assert {canonicalize_name(one.name) for one in requirements("requirements.txt")} <= named.keys()
    assert "pytest" not in named
    refs = {one["bom-ref"] for one in bill["components"]}
    assert len(refs) == len(bill["components"])
    edges = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    assert edges.keys() == refs | {bill["metadata"]["component"]["bom-ref"]}
    assert all(set(below) <= refs for below in edges.values())
    assert named["gradio"]["purl"] == f"pkg:pypi/gradio@{named['gradio']['version']}"
