"""A zip that would take minutes or gigabytes is refused by its sizes, in no time."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from svdlab.errors import BadInput
from svdlab.exchange.zip_limits import MAX_REFUSED, check_directory
from svdlab.exchange.zip_reading import MAX_POSTER_SIDE, read_zip
from svdlab.exchange.zip_writing import NEEDED, write_zip
from svdlab.lab.lab import Lab
from tests.made import make_run

NAMED = {name: {"sha256": "0" * 64, "bytes": 10} for name in NEEDED}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def zip_naming(
    path: Path, runs: int, files: dict[str, object], there: bool = False, padding: int = 0
) -> Path:
    """An export of so many runs, whose files are `there` or not, made larger by `padding` bytes of nothing."""
    entries = [{"id": f"{n:017x}", "created": 1.0, "files": files} for n in range(runs)]
    told = {"svdlab_export": 1, "svdlab": "0", "written": 1.0, "runs": entries}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(told))
        for n in range(runs if there else 0):
            for name in files:
                archive.writestr(f"runs/{n:017x}/{name}", b"0123456789")
        if padding:
            archive.writestr("padding", bytes(padding))
    return path


@pytest.mark.parametrize(
    ("runs", "files", "there", "sentence"),
    [
        (150_000, {}, False, "the manifest of a.zip names far more than it holds"),
        (20_000, NAMED, False, "the manifest of a.zip names far more than it holds"),
        (20_000, NAMED, True, "a.zip names far more files than it holds"),
    ],
)
def test_a_zip_of_names_is_refused_before_they_are_read(
    lab: Lab, tmp_path: Path, runs: int, files: dict[str, object], there: bool, sentence: str
) -> None:
    path = zip_naming(tmp_path / "a.zip", runs, files, there)
    started = time.process_time()
    with pytest.raises(BadInput, match=sentence):
        read_zip(lab, path)
    assert time.process_time() - started < 1


def test_a_directory_that_hides_behind_the_large_format_is_seen(tmp_path: Path) -> None:
    path = zip_naming(tmp_path / "a.zip", 20_000, NAMED, there=True)
    data = path.read_bytes()
    assert len(data) > 10**6
    end = data.rindex(b"PK\5\6")
    true = data[end + 12 : end + 16]
    large = b"PK\6\6" + bytes(36) + true + bytes(4) + bytes(8)
    path.write_bytes(
        data[:end] + large + b"PK\6\7" + bytes(16) + data[end : end + 12] + bytes(4) + data[end + 16 :]
    )
    with pytest.raises(BadInput, match="far more files"):
        check_directory(path)


def test_after_many_refusals_the_rest_is_left(lab: Lab, tmp_path: Path) -> None:
    path = zip_naming(tmp_path / "a.zip", 5000, {}, padding=8 * 2**20)
    report = read_zip(lab, path)
    assert len(report.refused) == MAX_REFUSED + 1
    assert report.refused[-1].name == "the rest"
    assert not report.added
    assert list(lab.history.runs_folder.iterdir()) == []


def test_a_poster_of_50_megapixels_is_refused_by_its_header(lab: Lab, tmp_path: Path) -> None:
    run = make_run(lab, 0)
    out = io.BytesIO()
    Image.new("RGB", (7000, 7000)).save(out, "WEBP", lossless=True, quality=0, method=0)
    run.poster.write_bytes(out.getvalue())
    write_zip(lab, [run], tmp_path / "a.zip")
    with Lab(tmp_path / "other") as other:
        report = read_zip(other, tmp_path / "a.zip")
    assert [one.name for one in report.refused] == [run.id]
    assert f"at most {MAX_POSTER_SIDE} pixels" in report.refused[0].sentence
