"""A clip rendered again, on the real demo checkpoint: the same bytes, the same frames, or what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from svdlab.cli import main
from svdlab.clips import video
from svdlab.clips.frames import read_frames_zip
from svdlab.errors import BadInput, BadVideo, NotFound
from svdlab.exchange.reproduce import prepare, reproduce
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Recipe, Run
from svdlab.recipes.work import Rendered
from svdlab.workers import open_lab

SMALL = {"width": 96, "height": 64, "num_frames": 3, "num_inference_steps": 2}


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "hills.png"
    y, x = np.mgrid[0:90, 0:160]
    hills = np.stack([120 + 80 * np.sin(x / 17), y * 2, 255 - y * 2], axis=2)
    Image.fromarray(hills.astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(tmp_path_factory.mktemp("lab"), device="cpu") as lab:
        yield lab


@pytest.fixture(scope="module")
def run(lab: Lab, picture: Path) -> Run:
    return lab.generate(picture, "demo-1-1", seed=7, motion_bucket_id=140, **SMALL)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Lab]:
    """Another lab, without the run and its picture."""
    with open_lab(tmp_path / "elsewhere", device="cpu") as lab:
        yield lab


def written_as(run: Run, path: Path, frames: np.ndarray, **versions: str) -> Path:
    """A clip of these frames with the run's recipe, as another version would have written it."""
    recipe = run.recipe.model_copy(update={"versions": {**run.recipe.versions, **versions}})
    video.write_mp4(path, frames, run.settings.effective_playback_fps, recipe.to_json())
    return path


def test_a_clip_comes_out_the_same_to_the_byte(lab: Lab, run: Run) -> None:
    again = reproduce(lab, run.video)
    assert (again.verdict, again.compared, again.identical) == ("identical bytes", "files", True)
    assert again.run.id != run.id
    assert again.original == run.id
    assert again.run.video.read_bytes() == run.video.read_bytes()
    assert again.differences == ()
    assert again.sentence == "The same clip, byte for byte."


def test_on_another_machine_the_picture_is_all_it_needs(
    elsewhere: Lab, run: Run, picture: Path, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(run.video.read_bytes())
    with pytest.raises(NotFound, match=r"is not in this lab; give its file with --picture"):
        reproduce(elsewhere, clip)
    again = reproduce(elsewhere, clip, picture)
    assert (again.verdict, again.original) == ("identical bytes", None)


def test_another_picture_is_refused(elsewhere: Lab, run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (160, 90), "teal").save(tmp_path / "teal.png")
    with pytest.raises(BadInput, match=r"teal\.png is not the picture this clip was made from"):
        prepare(elsewhere, run.video, tmp_path / "teal.png")
    assert elsewhere.history.runs() == []


def test_the_same_frames_of_another_version_are_the_same_frames(lab: Lab, run: Run, tmp_path: Path) -> None:
    frames = read_frames_zip(run.frames_zip)
    clip = written_as(run, tmp_path / "clip.mp4", frames, torch="2.7.0", unet_sha256="f" * 64)
    again = reproduce(lab, clip)
    assert (again.verdict, again.compared, again.original) == ("identical frames", "decoded frames", None)
    now = again.run.recipe.versions
    assert again.differences == (
        f"demo-1-1 has other weights now: its UNet was ffffffff then and is {now['unet_sha256'][:8]} now.",
        f"torch was 2.7.0 then and is {now['torch']} now.",
    )


def finished_as(lab: Lab, run: Run, frames: np.ndarray) -> Run:
    """A run of the same recipe in the history that an older version rendered to these frames."""
    submitted = lab.submit(run.recipe.model_copy(update={"versions": {}}))
    desk = Desk(lab, only=[submitted.id])
    [claimed] = desk.claim()
    versions = {**run.recipe.versions, "torch": "2.7.0"}
    return desk.finish(claimed, Rendered(claimed.id, frames, b"", versions, run.outcome))


@pytest.fixture
def idle(tmp_path: Path, picture: Path) -> Iterator[Lab]:
    """A lab without a worker, so that a test can claim runs itself."""
    with Lab(tmp_path / "idle") as lab:
        lab.add_picture(picture)
        yield lab


def test_where_the_original_is_in_the_history_its_lossless_frames_are_compared(idle: Lab, run: Run) -> None:
    frames = read_frames_zip(run.frames_zip)
    older = finished_as(idle, run, frames)
    with open_lab(idle.data_dir, device="cpu") as lab:
        again = reproduce(lab, older.video)
    assert (again.verdict, again.compared, again.original) == (
        "identical frames",
        "lossless frames",
        older.id,
    )
    assert again.psnr is None


def test_other_frames_are_told_in_figures(idle: Lab, run: Run) -> None:
    frames = read_frames_zip(run.frames_zip)
    frames[1, 10:20] = np.where(frames[1, 10:20] < 128, frames[1, 10:20] + 9, frames[1, 10:20] - 9)
    older = finished_as(idle, run, frames)
    with open_lab(idle.data_dir, device="cpu") as lab:
        again = reproduce(lab, older.video)
    assert (again.verdict, again.identical) == ("different", False)
    assert again.max_difference == 9
    share = 10 / (3 * 64)  # of the rows
    assert again.psnr == pytest.approx(10 * np.log10(255**2 / (81 * share)), abs=0.01)
    assert again.differences[0].startswith("torch was 2.7.0 then and is ")
    assert "at most 9 of 255 (lossless frames compared)" in again.sentence


def test_a_clip_of_another_length_than_its_recipe_is_another_clip(lab: Lab, run: Run, tmp_path: Path) -> None:
    frames = read_frames_zip(run.frames_zip)
    again = reproduce(lab, written_as(run, tmp_path / "short.mp4", frames[:2]))
    assert (again.verdict, again.psnr) == ("different", None)
    assert "of another size or number" in again.sentence


def test_an_unknown_checkpoint_is_one_sentence(lab: Lab, run: Run, tmp_path: Path) -> None:
    recipe = Recipe.from_json(run.recipe.to_json().replace("demo-1-1", "mine-2"))
    video.write_mp4(tmp_path / "mine.mp4", read_frames_zip(run.frames_zip), 6, recipe.to_json())
    with pytest.raises(NotFound, match="there is no checkpoint 'mine-2'"):
        prepare(lab, tmp_path / "mine.mp4")


def test_only_a_clip_of_ours_can_be_reproduced(lab: Lab, run: Run, tmp_path: Path) -> None:
    bare = tmp_path / "bare.mp4"
    video.write_mp4(bare, read_frames_zip(run.frames_zip), 6)
    with av.open(str(tmp_path / "other.mp4"), "w") as container:
        container.metadata["comment"] = '{"prompt": "{}"}'
        stream = container.add_stream("libx264", rate=6)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.mux(
            stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24"))
        )
        container.mux(stream.encode(None))
    (tmp_path / "text.mp4").write_text("hello")
    for name in ("bare.mp4", "other.mp4", "text.mp4", "nowhere.mp4"):
        with pytest.raises(BadVideo):
            prepare(lab, tmp_path / name)


# From the shell


def shell(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(one) for one in arguments])
    return (code, *capsys.readouterr())


def test_the_shell_says_the_verdict_and_the_exit_code(
    idle: Lab, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--device", "cpu", "--data-dir", idle.data_dir)
    code, out, _ = shell(capsys, "reproduce", run.video, *where)
    assert code == 0
    assert out.splitlines()[0] == "The same clip, byte for byte."
    frames = read_frames_zip(run.frames_zip)
    clip = written_as(run, tmp_path / "clip.mp4", 255 - frames, torch="2.7.0")
    code, out, err = shell(capsys, "reproduce", clip, "--json", *where)
    report = json.loads(out)
    assert code == 1
    assert err == ""
    assert (report["verdict"], report["identical"], report["compared"]) == (
        "different",
        False,
        "decoded frames",
    )
    assert report["psnr"] < 20
    assert report["max_difference"] > 100
    assert report["differences"][0].startswith("torch was 2.7.0 then")
    assert report["run"]["state"] == "done"
    code, out, err = shell(capsys, "reproduce", __file__, *where)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_like_starts_from_a_files_settings_picture_and_seed(
    idle: Lab, run: Run, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--json", "--device", "cpu", "--data-dir", idle.data_dir)
    code, out, _ = shell(capsys, "generate", "--like", run.poster, *where)
    assert code == 0
    same = json.loads(out)
    assert same["recipe_hash"] == run.recipe.hash
    code, out, _ = shell(capsys, "generate", "--like", run.video, "--motion-bucket-id", 90, *where)
    other = json.loads(out)["recipe"]
    assert other["settings"] == {**same["recipe"]["settings"], "motion_bucket_id": 90}
    assert (other["checkpoint"], other["picture_sha256"]) == ("demo-1-1", run.recipe.picture_sha256)
    code, out, _ = shell(capsys, "generate", picture, "--like", run.video, "--seed", "random", *where)
    assert json.loads(out)["seed"] != 7


def test_like_without_its_picture_asks_for_it(
    run: Run, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = shell(capsys, "generate", "--like", run.video)
    assert (code, out) == (2, "")
    assert (
        err.splitlines()[-1] == "svdlab: the picture of that file is not in this lab; give it before --like"
    )
