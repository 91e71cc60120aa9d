"""Runs as tables and zips, and zips from elsewhere: nothing is taken that is not what it says."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from PIL import Image

from svdlab.cli import main
from svdlab.errors import BadInput, DataFolderError
from svdlab.exchange.tables import ImportReport, read_zip, to_table, write_table, write_zip
from svdlab.exchange.zip_writing import FILES, CheckedOutcome
from svdlab.lab.lab import Lab
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.records import Outcome, Run
from svdlab.recipes.settings import KNOBS
from tests.made import make_pair, make_run, picture_of

LATENTS = safetensors.numpy.save({"latents": np.zeros((1, 4, 4, 8, 12), np.float32)})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with a marked comparison, a third run from another picture, and one that is waiting."""
    with Lab(tmp_path_factory.mktemp("source")) as lab:
        pair = make_pair(lab)
        run = make_run(lab, seed=9, picture=picture_of(1), latents=LATENTS, preset="fast")
        lab.history.set_star(pair.id)
        lab.history.tag(pair.id, "both")
        lab.history.note(run.id, "=HYPERLINK(1)\n<script>alert(1)</script>")
        lab.history.rate(run.id, 3)
        lab.history.tag(run.id, "sea", "two words")
        lab.submit(run.recipe)
        yield lab


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "target") as lab:
        yield lab


def finished(lab: Lab) -> list[Run]:
    return lab.history.runs(states=("done",))


@pytest.fixture
def exported(source: Lab, tmp_path: Path) -> Path:
    path = tmp_path / "runs.zip"
    write_zip(source, finished(source), path, frames=True, latents=True)
    return path


# Tables


def test_a_table_has_every_knob_and_metric_of_every_run(source: Lab) -> None:
    runs = source.history.runs()
    table = to_table(runs)
    assert list(table["id"]) == [run.id for run in runs]
    assert {*KNOBS, *METRICS, "seconds_denoise", "peak_memory_bytes", "version_torch"} <= set(table.columns)
    for run, (_, row) in zip(runs, table.iterrows(), strict=True):
        for name, value in run.settings.model_dump().items():
            assert (pd.isna(row[name]) and value is None) or row[name] == value
        for name in METRICS:
            measured = run.outcome.metrics.get(name)
            assert (pd.isna(row[name]) and measured is None) or row[name] == measured
        assert row["created"].timestamp() == pytest.approx(run.created, abs=1e-5)
        assert row["state"] == run.state
    assert table["seed"].dtype == "int64"
    assert str(table["created"].dt.tz) == "UTC"


def test_a_table_of_nothing_has_the_same_columns() -> None:
    table = to_table([])
    assert len(table) == 0
    assert {*KNOBS, *METRICS, "id", "note"} <= set(table.columns)


def test_the_largest_seed_is_kept_to_the_last_digit(source: Lab) -> None:
    run = finished(source)[0]
    settings = run.settings.model_copy(update={"seed": 2**63 - 1})  # as older versions drew them
    recipe = run.recipe.model_copy(update={"settings": settings})
    assert to_table([replace(run, recipe=recipe)])["seed"][0] == 2**63 - 1


def test_csv_reads_back_and_no_text_becomes_a_formula(source: Lab, tmp_path: Path) -> None:
    assert write_table(source.history.runs(), tmp_path / "runs.csv") == 4
    table = pd.read_csv(tmp_path / "runs.csv")
    noted = table[table["note"].notna()].iloc[0]
    assert noted["note"].startswith("'=HYPERLINK(1)")
    assert noted["tags"] == "sea, two words"
    assert noted["rating"] == 3
    pans = [run.outcome.metrics["pan_x"] for run in finished(source)]
    assert table["pan_x"].dropna().tolist() == pytest.approx(pans)
    assert table["seed"].tolist() == [run.settings.seed for run in source.history.runs()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs.csv"]


def test_parquet_needs_pyarrow_and_says_so(source: Lab, tmp_path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        with pytest.raises(BadInput, match=r"needs pyarrow \(pip install pyarrow\); or export as CSV"):
            write_table(source.history.runs(), tmp_path / "runs.parquet", "parquet")
        return
    assert write_table(source.history.runs(), tmp_path / "runs.parquet", "parquet") == 4
    again = pd.read_parquet(tmp_path / "runs.parquet")
    pd.testing.assert_frame_equal(again, to_table(source.history.runs()), check_dtype=False)


def test_a_format_that_there_is_not_is_one_sentence(source: Lab, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a table can be written as csv or parquet, got 'xls'"):
        write_table(source.history.runs(), tmp_path / "runs.xls", "xls")


def test_a_table_that_cannot_be_written_is_one_sentence(source: Lab, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none/runs\.csv could not be written"):
        write_table(source.history.runs(), tmp_path / "none" / "runs.csv")


# Zips


def portable(run: Run) -> Run:
    return replace(run, folder=Path(), picture=Path(), step=0)


def test_a_zip_brings_everything_to_another_machine(source: Lab, target: Lab, exported: Path) -> None:
    report = read_zip(target, exported)
    runs = finished(source)
    assert report.refused == report.skipped == ()
    assert set(report.added) == {run.id for run in runs}
    assert set(report.pictures) == {run.recipe.picture_sha256 for run in runs}
    for run in runs:
        here = target.history.get(run.id)
        assert portable(here) == portable(run)
        for name in ("video.mp4", "poster.webp", "frames.zip"):
            assert (here.folder / name).read_bytes() == (run.folder / name).read_bytes()
        assert here.latents.is_file() == run.latents.is_file()
    [pair] = target.history.comparisons()
    original = source.history.comparisons()[0]
    assert (pair.id, pair.starred, pair.tags, pair.created) == (
        original.id,
        True,
        ("both",),
        original.created,
    )
    assert target.fairness(pair) == source.fairness(original)
    assert target.doctor() == []
    assert [run.id for run in target.history.find().runs] == [run.id for run in runs]


def test_reading_it_again_adds_nothing(target: Lab, exported: Path) -> None:
    first = read_zip(target, exported)
    target.delete([first.added[0]])
    again = read_zip(target, exported)
    assert (again.added, again.comparisons, again.pictures, again.refused) == ((), (), (), ())
    assert set(again.skipped) == set(first.added)
    assert target.history.get(first.added[0]).deleted is not None  # and nothing comes out of the bin by it


def test_frames_and_latents_are_left_at_home_unless_asked_for(
    source: Lab, target: Lab, tmp_path: Path
) -> None:
    written = write_zip(source, source.history.runs(), tmp_path / "small.zip")
    assert (written.runs, written.comparisons, written.pictures) == (3, 1, 2)
    assert written.left_out == tuple(run.id for run in source.history.runs(states=("queued",)))
    with zipfile.ZipFile(written.path) as archive:
        assert {name.rpartition("/")[2] for name in archive.namelist() if name.startswith("runs/")} == {
            "video.mp4",
            "poster.webp",
            "result.json",
        }
    assert len(read_zip(target, written.path).added) == 3
    assert not target.history.runs()[0].frames_zip.exists()


def test_one_side_alone_comes_without_its_comparison(source: Lab, target: Lab, tmp_path: Path) -> None:
    pair = source.history.comparisons()[0]
    assert write_zip(source, [pair.a], tmp_path / "a.zip").comparisons == 0
    assert read_zip(target, tmp_path / "a.zip").comparisons == ()
    assert target.history.get(pair.a.id).comparison is None
    write_zip(source, [pair.a, pair.b], tmp_path / "both.zip")
    assert read_zip(target, tmp_path / "both.zip").comparisons == (pair.id,)
    assert target.history.get(pair.b.id).comparison == pair.id


def test_nothing_finished_is_no_zip(source: Lab, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="none of these runs is finished"):
        write_zip(source, source.history.runs(states=("queued",)), tmp_path / "no.zip")
    with pytest.raises(BadInput, match="could not be written"):
        write_zip(source, finished(source), tmp_path / "none" / "no.zip")
    assert list(tmp_path.iterdir()) == []


def test_what_is_checked_of_an_outcome_is_all_of_it() -> None:
    assert set(CheckedOutcome.model_fields) == {field.name for field in fields(Outcome)}


# Zips that are not what they say


class Tampered:
    """The members of a zip to be changed, and its manifest as JSON."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}
        self.manifest: Any = json.loads(self.members.pop("manifest.json"))
        self.run = self.manifest["runs"][0]
        self.id: str = self.run["id"]
        self.extra: list[tuple[zipfile.ZipInfo | str, bytes]] = []
        self.text: bytes | None = None

    def put(self, name: str, data: bytes) -> None:
        """Another content of a run's file, with the manifest saying so."""
        self.members[f"runs/{self.id}/{name}"] = data
        self.run["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    def result(self, change: Callable[[Any, Any], object]) -> None:
        recipe, outcome = map(json.loads, self.members[f"runs/{self.id}/result.json"].splitlines())
        change(recipe, outcome)
        self.put("result.json", f"{json.dumps(recipe)}\n{json.dumps(outcome)}\n".encode())

    def save(self, path: Path) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (*self.members.items(), *self.extra):
                archive.writestr(name, data)
            archive.writestr("manifest.json", self.text or json.dumps(self.manifest))
        return path


def zip_of(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


def a_frame_of_another_size(t: Tampered) -> None:
    t.put("frames.zip", zip_of({f"frame_{i:03d}.png": png(96, 66) for i in range(4)}))


def other_latents(t: Tampered) -> None:
    t.put("latents.safetensors", safetensors.numpy.save({"latents": np.zeros((1, 9, 4, 8, 12), np.float32)}))


def the_video_of_another_run(t: Tampered) -> None:
    t.put("video.mp4", t.members[f"runs/{t.manifest['runs'][1]['id']}/video.mp4"])


def deep(t: Tampered) -> None:
    t.put("result.json", b"[" * 40_000 + b"\n" + b"[" * 40_000 + b"\n")


REFUSED: dict[str, tuple[Callable[[Tampered], object], str]] = {
    "another video than hashed": (
        lambda t: t.members.update({f"runs/{t.id}/video.mp4": b"x" * t.run["files"]["video.mp4"]["bytes"]}),
        "its video.mp4 is not the file that the manifest names: the hash differs",
    ),
    "a longer video than said": (
        lambda t: t.members.update({f"runs/{t.id}/video.mp4": t.members[f"runs/{t.id}/video.mp4"] + b"x"}),
        "the hash differs",
    ),
    "no video in the zip": (
        lambda t: t.members.pop(f"runs/{t.id}/video.mp4"),
        "is in the manifest and not in the zip",
    ),
    "no video in the manifest": (lambda t: t.run["files"].pop("video.mp4"), "it has no video.mp4"),
    "text as video": (lambda t: t.put("video.mp4", b"#EXTM3U\nfile:///etc/passwd\n"), "not an MP4 video"),
    "the video of another run": (the_video_of_another_run, "the recipe inside its video is another one"),
    "a size beyond any of ours": (
        lambda t: t.run["files"]["video.mp4"].update(bytes=FILES["video.mp4"] + 1),
        "its video.mp4 is larger than any of ours",
    ),
    "a web page as poster": (
        lambda t: t.put("poster.webp", b"<html><script>"),
        "its poster is no WebP picture",
    ),
    "a broken poster": (lambda t: t.put("poster.webp", b"RIFF\x10\0\0\0WEBPVP8 \xff\xff\xff\xff"), ""),
    "a recipe with more in it": (
        lambda t: t.result(lambda recipe, _: recipe.update(command="rm")),
        "no svdlab recipe, or one that was changed",
    ),
    "a recipe with a path": (
        lambda t: t.result(lambda recipe, _: recipe.update(checkpoint="../../x")),
        "no svdlab recipe, or one that was changed",
    ),
    "an outcome with more in it": (
        lambda t: t.result(lambda _, outcome: outcome.update(path="/etc")),
        "its outcome has something that cannot be: path",
    ),
    "a metric that is no number": (
        lambda t: t.result(lambda _, outcome: outcome["metrics"].update(zoom="<script>")),
        "its outcome has something that cannot be: metrics.zoom",
    ),
    "a metric that is not finite": (
        lambda t: t.result(lambda _, outcome: outcome["metrics"].update(zoom=float("nan"))),
        "cannot be: metrics.zoom",
    ),
    "another hash of the video": (
        lambda t: t.result(lambda _, outcome: outcome.update(video_sha256="0" * 64)),
        "its video is not the file that was rendered",
    ),
    "JSON as deep as it is long": (deep, "its outcome has something that cannot be"),
    "a result of three lines": (
        lambda t: t.put("result.json", b"{}\n{}\n{}\n"),
        "its result.json is not one of ours",
    ),
    "a result that is no text": (lambda t: t.put("result.json", b"\xff\xfe"), "it cannot be read"),
    "a frame of another size": (a_frame_of_another_size, "a frame of another size than its recipe says"),
    "frames by other names": (
        lambda t: t.put("frames.zip", zip_of({"../../x.png": png(96, 64)})),
        "its frames.zip does not hold the frames of its recipe",
    ),
    "frames that are a bomb": (
        lambda t: t.put("frames.zip", zip_of({f"frame_{i:03d}.png": b"\0" * 3_000_000 for i in range(4)})),
        "its frames.zip holds a frame larger than any of ours",
    ),
    "frames that are no zip": (lambda t: t.put("frames.zip", b"PK"), "not a zip file"),
    "latents of another clip": (other_latents, "its latents are not those of its recipe"),
    "a pickle as latents": (
        lambda t: t.put("latents.safetensors", b"\x80\x04K\x01." * 9),
        "not a safetensors file",
    ),
    "a tag with a line end": (lambda t: t.run.update(tags=["a\u2028b,"]), "a tag must be"),
    "a note with a zero byte": (lambda t: t.run.update(note="\0"), "zero byte"),
    "a run from the future": (lambda t: t.run.update(created=9e10), "it says it was made in the future"),
    "a preset that cannot be shown": (
        lambda t: t.run.update(preset="a\x1b[2J"),
        "its preset has a name that cannot",
    ),
}


@pytest.mark.parametrize(("tamper", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_run_that_is_not_what_it_says_is_refused_and_the_others_come(
    exported: Path, target: Lab, tmp_path: Path, tamper: Callable[[Tampered], object], sentence: str
) -> None:
    zipped = Tampered(exported)
    tamper(zipped)
    report = read_zip(target, zipped.save(tmp_path / "tampered.zip"))
    assert len(report.added) == 2
    assert zipped.id not in report.added
    refusal = next(refusal for refusal in report.refused if refusal.name == zipped.id)
    assert sentence in refusal.sentence
    assert "\n" not in refusal.sentence
    assert not (target.history.runs_folder / zipped.id).exists()
    assert not list(target.history.runs_folder.glob(".*"))
    assert target.doctor() == []


def with_slip(t: Tampered) -> None:
    for name in (
        "../evil.txt",
        "/tmp/evil.txt",
        f"runs/{t.id}/../../../evil.txt",
        "runs\\..\\evil.txt",
        "pictures/x",
    ):
        t.extra.append((name, b"evil"))
    link = zipfile.ZipInfo(f"runs/{t.id}/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    t.extra.append((link, b"/etc/passwd"))


def test_what_the_manifest_does_not_name_is_never_written(
    exported: Path, target: Lab, tmp_path: Path
) -> None:
    zipped = Tampered(exported)
    with_slip(zipped)
    report = read_zip(target, zipped.save(tmp_path / "tampered.zip"))
    assert len(report.added) == 3
    assert len(report.refused) == 6
    assert {refusal.sentence for refusal in report.refused} == {
        "it is not in the manifest, so it was left out"
    }
    written = {path.name for path in tmp_path.rglob("*")}
    assert not written & {"evil.txt", "link", "x"}
    assert not Path("/tmp/evil.txt").exists()


def a_picture_of_another_hash(t: Tampered) -> None:
    (first, second) = t.manifest["pictures"]
    data = t.members[f"pictures/{second}.png"]
    t.members[f"pictures/{first}.png"] = data
    t.manifest["pictures"][first] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def test_a_picture_of_another_hash_is_refused(exported: Path, target: Lab, tmp_path: Path) -> None:
    zipped = Tampered(exported)
    a_picture_of_another_hash(zipped)
    report = read_zip(target, zipped.save(tmp_path / "tampered.zip"))
    assert [refusal.sentence for refusal in report.refused] == ["it is not the picture of that hash"]
    assert (len(report.added), len(report.pictures)) == (3, 1)


def test_a_comparison_without_both_sides_is_refused(exported: Path, target: Lab, tmp_path: Path) -> None:
    zipped = Tampered(exported)
    zipped.manifest["comparisons"][0]["a"] = "0" * 17
    report = read_zip(target, zipped.save(tmp_path / "tampered.zip"))
    assert [refusal.sentence for refusal in report.refused] == ["one of its two runs is not here"]
    assert (len(report.added), report.comparisons) == (3, ())


def twice(t: Tampered) -> None:
    t.manifest["runs"].append(copy.deepcopy(t.run))


UNUSABLE: dict[str, tuple[Callable[[Tampered], object], str]] = {
    "one id twice": (twice, "names one id twice"),
    "an id with a path": (
        lambda t: t.run.update(id="../../etc/passwd1"),
        "of bad.zip is not one: runs.0.id",
    ),
    "another file name": (
        lambda t: t.run["files"].update({"../x": {"sha256": "0" * 64, "bytes": 1}}),
        "the manifest of bad.zip is not one: runs.0.files",
    ),
    "more than a manifest has": (lambda t: t.manifest.update(run_this="x"), "is not one: run_this"),
    "a rating of text": (lambda t: t.run.update(rating="5"), "is not one: runs.0.rating"),
    "a time that is no number": (lambda t: t.run.update(created=float("inf")), "is not one: "),
    "a newer form": (
        lambda t: t.manifest.update(svdlab_export=2),
        "exported by a newer svdlab; update svdlab",
    ),
    "no JSON": (lambda t: setattr(t, "text", b"{"), "is not one: the text"),
    "JSON as deep as it is long": (lambda t: setattr(t, "text", b"[" * 200_000), "is not one: "),
    "a bomb": (
        lambda t: t.extra.append((deflated("bomb"), b"\0" * 200_000_000)),
        "unpacks to 20. MB, far more than its size",
    ),
}


def deflated(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


@pytest.mark.parametrize(("tamper", "sentence"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_manifest_that_cannot_be_is_one_sentence_and_nothing_is_read(
    exported: Path, target: Lab, tmp_path: Path, tamper: Callable[[Tampered], object], sentence: str
) -> None:
    zipped = Tampered(exported)
    tamper(zipped)
    with pytest.raises(BadInput, match=sentence):
        read_zip(target, zipped.save(tmp_path / "bad.zip"))
    assert target.history.runs() == []
    assert list(target.history.runs_folder.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_files_that_are_no_zip_of_ours_are_one_sentence(exported: Path, target: Lab, tmp_path: Path) -> None:
    whole = exported.read_bytes()
    bad = tmp_path / "bad.zip"
    contents = {
        b"not a zip": "is not a zip file that can be read",
        b"": "is not a zip file that can be read",
        whole[: len(whole) // 2]: "bad.zip",  # the frames.zip inside may pass for its end
        zip_of({"a.txt": b"x"}): "was not exported by svdlab: it has no manifest.json",
    }
    for content, sentence in contents.items():
        bad.write_bytes(content)
        with pytest.raises(BadInput, match=sentence):
            read_zip(target, bad)
    zipped = Tampered(exported)
    zipped.extra.append((f"runs/{zipped.id}/video.mp4", b"second"))
    with pytest.raises(BadInput, match="two files of one name"):
        read_zip(target, zipped.save(bad))
    for nothing in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(BadInput, match="there is no file"):
            read_zip(target, nothing)
    assert target.history.runs() == []


def test_bits_that_flipped_on_the_way_never_get_in(exported: Path, tmp_path: Path, source: Lab) -> None:
    """Whatever single byte is changed: what is added is whole, everything else is refused in a sentence."""
    whole = bytearray(exported.read_bytes())
    draw = np.random.default_rng(5)
    with Lab(tmp_path / "flipped") as lab:
        for place in (None, *draw.integers(0, len(whole), 12)):
            flipped = bytearray(whole)
            if place is not None:
                flipped[place] ^= 1 << int(draw.integers(0, 8))
            (tmp_path / "flipped.zip").write_bytes(flipped)
            try:
                report = read_zip(lab, tmp_path / "flipped.zip")
            except BadInput:
                report = ImportReport()
            for id in report.added:
                assert portable(lab.history.get(id)).recipe == source.history.get(id).recipe
                assert lab.history.get(id).video.read_bytes() == source.history.get(id).video.read_bytes()
            lab.delete(report.added)
            lab.history.empty_bin(-1)
            for path in lab.history.pictures_folder.iterdir():
                path.unlink()
        assert lab.doctor() == []


KILLED = """
import os, signal, sys
from pathlib import Path
from svdlab.lab.lab import Lab
from svdlab.exchange.tables import read_zip
data, zipped, at = Path(sys.argv[1]), Path(sys.argv[2]), 0
import av, cv2  # loaded once, before the forks
while True:
    at += 17
    child = os.fork()
    if child == 0:
        steps = 0
        def step(*_):
            global steps
            steps += 1
            if steps == at:
                os.kill(os.getpid(), signal.SIGKILL)
        connections = []
        sys.addaudithook(lambda event, args: connections.append(args[0]) if event == "sqlite3.connect/handle" else None)
        lab = Lab(data / str(at))
        connections[0].set_trace_callback(step)
        sys.addaudithook(lambda event, _: step() if event in ("open", "os.rename", "os.remove", "os.mkdir") else None)
        read_zip(lab, zipped)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    lab = Lab(data / str(at))
    for run in lab.history.runs():
        assert run.done and run.video.is_file(), at
    report = read_zip(lab, zipped)
    assert not report.refused, report
    assert len(lab.history.runs()) == 3 and len(lab.history.comparisons()) == 1, at
    assert all(finding.kind == "leftover" for finding in lab.doctor()), at
    lab.close()
    if status == 0:
        break
print(at // 17)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_an_import_can_be_killed_and_done_again(exported: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(exported)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3


def test_a_folder_that_cannot_be_written_is_said(exported: Path, target: Lab) -> None:
    target.history.runs_folder.rmdir()
    target.history.runs_folder.write_text("in the way")
    with pytest.raises(DataFolderError, match="the runs could not be written to"):
        read_zip(target, exported)
    target.history.runs_folder.unlink()
    target.history.runs_folder.mkdir()


# The shell


def shell(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_the_shell_exports_and_imports(
    source: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = ("--data-dir", source.data_dir), ("--data-dir", tmp_path / "there")
    csv, zipped = tmp_path / "runs.csv", tmp_path / "runs.zip"
    code, out, err = shell(capsys, "runs", "export", "--csv", csv, "--zip", zipped, "--sort", "fps", *here)
    assert (code, out, err) == (
        0,
        f"{csv}: 4 rows\n{zipped}: 3 runs, 1 comparisons; 1 left out, not finished\n",
        "",
    )
    code, out, _ = shell(capsys, "runs", "import", zipped, *there)
    assert code == 0
    assert out.splitlines()[-1] == "3 runs, 1 comparisons and 2 pictures added, 0 here already, 0 refused"
    report = json.loads(shell(capsys, "runs", "import", zipped, "--json", *there)[1])
    assert (report["added"], len(report["skipped"])) == ([], 3)
    last = finished(source)[0].id
    assert shell(capsys, "runs", "export", last, "--csv", csv, *here)[1] == f"{csv}: 1 rows\n"
    assert pd.read_csv(csv)["id"].tolist() == [last]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["export"], "say as what: --csv FILE, --parquet FILE or --zip FILE"),
        (["export", "--csv", "{folder}/runs.txt"], "the name of that file must end in .csv, got runs.txt"),
        (["export", "--csv", "{folder}/none/runs.csv"], "{folder}/none/runs.csv could not be written"),
        (["export", "--zip", "{folder}/x.zip", "--tag", "never"], "there are no such runs to export"),
        (["export", "x", "--zip", "{folder}/x.zip"], "there is no run 'x'"),
        (["import", "{folder}/none.zip"], "there is no file {folder}/none.zip"),
    ],
)
def test_the_shell_says_in_one_sentence_what_is_wrong(
    source: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    given = [argument.format(folder=tmp_path) for argument in arguments]
    code, out, err = shell(capsys, "runs", *given, "--data-dir", source.data_dir)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"svdlab: {sentence.format(folder=tmp_path)}")
