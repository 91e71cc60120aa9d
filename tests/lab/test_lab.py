"""The lab from end to end on the real demo checkpoints: a worker thread, a data folder, finished files."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from svdlab.clips import video
from svdlab.clips.frames import read_frames_zip
from svdlab.environment import Environment
from svdlab.errors import BadInput, BadPicture, BadSettings, Cancelled, NotFound, RenderFailed
from svdlab.lab.lab import Lab
from svdlab.recipes.events import Event
from svdlab.recipes.records import Recipe
from svdlab.workers import Compute, LocalWorker, open_lab
from tests import rows
from tests.made import make_run

SMALL = {"width": 96, "height": 64, "num_frames": 4, "num_inference_steps": 3}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(tmp_path_factory.mktemp("lab"), device="cpu") as lab:
        yield lab


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "hills.png"
    y, x = np.mgrid[0:90, 0:160]
    hills = np.stack([120 + 80 * np.sin(x / 17), y * 2, 255 - y * 2], axis=2)
    Image.fromarray(hills.astype(np.uint8)).save(path)
    return path


def recipe(lab: Lab, picture: Path, checkpoint: str = "demo-1-0", **changes: object) -> Recipe:
    settings = lab.settings(checkpoint, {**SMALL, **changes}, seed=str(changes.get("seed", 7)))
    return lab.recipe(checkpoint, lab.add_picture(picture), settings)


def test_a_picture_becomes_a_video_with_its_recipe_inside(lab: Lab, picture: Path) -> None:
    run = lab.generate(picture, "demo-1-0", seed=7, **SMALL)
    assert run.done
    frames, fps = video.read_mp4_frames(run.video)
    assert frames.shape == (4, 64, 96, 3)
    assert fps == 6
    inside = Recipe.from_json(video.read_comment(run.video) or "")
    assert inside == run.recipe
    assert inside.settings.seed == 7
    assert {"svdlab", "torch", "diffusers", "device", "dtype", "unet_sha256"} <= set(inside.versions)
    with zipfile.ZipFile(run.frames_zip) as archive:
        assert "frame_003.png" in archive.namelist()
    with Image.open(run.poster) as still:
        assert still.size == (96, 64)
    assert 0 <= run.outcome.metrics["fidelity"] <= 1
    assert set(run.outcome.seconds) == {"load", "encode", "denoise", "decode", "write"}


def test_the_same_recipe_gives_the_same_file_byte_for_byte(lab: Lab, picture: Path) -> None:
    one = lab.generate(picture, "demo-1-0", seed=21, **SMALL)
    two = lab.generate(picture, "demo-1-0", seed=21, **SMALL)
    assert one.id != two.id
    assert one.video.read_bytes() == two.video.read_bytes()
    other = lab.generate(picture, "demo-1-0", seed=22, **SMALL)
    assert other.video.read_bytes() != one.video.read_bytes()


def test_a_recipe_rendered_before_is_found_before_rendering_again(lab: Lab, picture: Path) -> None:
    asked = recipe(lab, picture, seed=31)
    assert lab.before.run(asked) is None
    run = lab.submit(asked)
    lab.wait(run.id)
    found = lab.before.run(asked)
    assert found is not None
    assert found.id == run.id


def test_watching_tells_the_whole_story_in_order(lab: Lab, picture: Path) -> None:
    run = lab.submit(recipe(lab, picture, seed=41, num_inference_steps=4))
    events = list(lab.watch(run.id))
    kinds = [event.kind for event in events]
    assert events[-1].kind == "done"
    assert events[-1].final
    order = ["queued", "loading", "encoding", "step", "decoding", "saving", "done"]
    assert [order.index(k) for k in kinds] == sorted(order.index(k) for k in kinds)
    steps = [event for event in events if event.kind == "step" and event.preview]
    assert steps, "no step with a preview was seen"
    with Image.open(io.BytesIO(steps[-1].preview or b"")) as shown:
        assert shown.n_frames == 4
    assert all(event.steps == 4 for event in steps)


def test_watching_an_ended_run_says_so_at_once(lab: Lab, picture: Path) -> None:
    run = lab.generate(picture, "demo-1-0", seed=7, **SMALL)
    assert [event.kind for event in lab.watch(run.id)] == ["done"]


def test_leaving_does_not_stop_the_run(lab: Lab, picture: Path) -> None:
    run = lab.submit(recipe(lab, picture, seed=51))
    watching = lab.watch(run.id)
    next(watching)
    watching.close()
    assert lab.wait(run.id)[0].done


def test_cancelling_takes_effect_within_a_step(lab: Lab, picture: Path) -> None:
    run = lab.submit(recipe(lab, picture, seed=61, num_inference_steps=100))
    seen: list[Event] = []
    asked_at = 0
    for event in lab.watch(run.id):
        seen.append(event)
        if event.kind == "step" and not asked_at:
            lab.cancel(run.id)
            asked_at = event.step
    assert seen[-1].kind == "cancelled"
    assert max(e.step for e in seen if e.kind == "step") <= asked_at + 1
    assert not run.folder.exists()
    assert lab.generate(picture, "demo-1-0", seed=7, **SMALL).done  # the next job works


def test_cancelling_a_waiting_run_never_starts_it(lab: Lab, picture: Path) -> None:
    first = lab.submit(recipe(lab, picture, seed=71, num_inference_steps=30))
    second = lab.submit(recipe(lab, picture, seed=72))
    lab.cancel(second.id)
    assert [e.kind for e in lab.watch(second.id)][-1] == "cancelled"
    with pytest.raises(Cancelled):
        lab.wait(second.id)
    lab.cancel(first.id)


def test_a_cancelled_run_can_be_queued_again(lab: Lab, picture: Path) -> None:
    run = lab.submit(recipe(lab, picture, seed=81, num_inference_steps=60))
    lab.cancel(run.id)
    list(lab.watch(run.id))
    assert lab.history.get(run.id).state == "cancelled"
    lab.resume(run.id)
    assert lab.wait(run.id)[0].done


def test_a_comparison_renders_both_sides_on_the_same_noise(lab: Lab, picture: Path) -> None:
    pair = lab.compare(picture, "demo-1-0", "demo-1-1", seed=5, **SMALL)
    said = lab.fairness(pair)
    assert said.fair
    assert said.differences == ()
    assert len(said.noise) == 8
    assert pair.a.outcome.noise_sha256 == pair.b.outcome.noise_sha256
    assert pair.a.recipe.checkpoint == "demo-1-0"
    assert pair.b.recipe.checkpoint == "demo-1-1"


def test_both_sides_of_a_comparison_advance_together(lab: Lab, picture: Path) -> None:
    recipes = lab.comparison_recipes(lab.add_picture(picture), "demo-1-0", "demo-1-1", seed=6, changes=SMALL)
    pair = lab.submit_comparison(*recipes)
    step = {pair.a.id: 0, pair.b.id: 0}
    apart = 0
    for event in lab.watch(pair.a.id, pair.b.id):
        if event.kind == "step":
            step[event.run_id] = event.step
            apart = max(apart, abs(step[pair.a.id] - step[pair.b.id]))
    assert apart <= 1


def test_each_side_can_have_its_native_frame_count(lab: Lab, picture: Path) -> None:
    recipes = lab.comparison_recipes(lab.add_picture(picture), "svd", "svd-xt", seed=6, native_frames=True)
    assert [r.settings.num_frames for r in recipes] == [14, 25]


def test_the_image_decoder_side_decodes_with_what_it_has(lab: Lab, picture: Path) -> None:
    a, b = lab.comparison_recipes(lab.add_picture(picture), "svd-xt-image-decoder", "svd-xt-1-1", seed=6)
    assert (a.settings.decoder, b.settings.decoder) == ("image", "temporal")


def test_side_by_side_is_exported_with_labels(lab: Lab, picture: Path, tmp_path: Path) -> None:
    pair = lab.compare(picture, "demo-1-0", "demo-1-1", seed=5, **SMALL)
    mp4 = lab.export_side_by_side(pair, tmp_path / "pair.mp4")
    frames, fps = video.read_mp4_frames(mp4)
    assert len(frames) == 4
    assert fps == 6
    assert frames.shape[2] >= 2 * 96
    assert frames.shape[1] > 64
    webp = lab.export_side_by_side(pair, tmp_path / "pair.webp")
    with Image.open(webp) as shown:
        assert shown.n_frames == 4


def test_a_checkpoint_that_cannot_be_had_fails_with_what_to_do_and_the_next_job_works(
    lab: Lab, picture: Path
) -> None:
    small = {**SMALL, "width": 128, "height": 64}
    with pytest.raises(
        RenderFailed, match=r"svd: Not on disk, and HF_HUB_OFFLINE is set; unset it to download"
    ):
        lab.generate(picture, "svd", seed=1, **small)
    assert lab.generate(picture, "demo-1-0", seed=7, **SMALL).done


# Decoding again


def test_kept_latents_are_decoded_again_without_sampling(lab: Lab, picture: Path) -> None:
    run = lab.generate(picture, "demo-1-0", seed=33, **SMALL)
    assert run.latents.is_file()
    pair = lab.decode_again(run.id, decode_chunk_size=1)
    assert pair.a.id == run.id
    again = lab.wait(pair.b.id)[0]
    assert again.outcome.latents_of == run.id
    assert "denoise" not in again.outcome.seconds
    assert again.outcome.decode_chunk_size == 1
    assert not again.latents.is_file()  # once is enough
    sampled = lab.generate(picture, "demo-1-0", seed=33, decode_chunk_size=1, **SMALL)
    assert np.array_equal(read_frames_zip(again.frames_zip), read_frames_zip(sampled.frames_zip))
    said = lab.fairness(lab.history.comparison(pair.id))
    assert said.fair
    assert said.subject == "decoding"
    assert lab.labels(lab.history.comparison(pair.id)) == (
        "temporal decoder, all frames at once",
        "temporal decoder, 1 at once",
    )
    third = lab.decode_again(again.id, decode_chunk_size=2)  # of a clip that was itself decoded again
    assert lab.wait(third.b.id)[0].outcome.latents_of == run.id


@pytest.mark.parametrize(("limit", "kept"), [(3, False), (4, True)])
def test_latents_are_kept_up_to_a_limit(tmp_path: Path, limit: int, kept: bool) -> None:
    with Lab(tmp_path, environment=Environment(kept_latents_bytes=limit)) as own:
        assert make_run(own, latents=b"four").latents.is_file() == kept


def test_what_cannot_be_decoded_again_says_why(lab: Lab, picture: Path) -> None:
    run = lab.generate(picture, "demo-1-0", seed=34, **SMALL)
    with pytest.raises(BadInput, match="choose another decoder or another chunk size"):
        lab.decode_again(run.id)
    with pytest.raises(BadSettings, match="decoder must be temporal for demo-1-0, got image"):
        lab.decode_again(run.id, "image")
    latents = run.latents.read_bytes()
    run.latents.write_bytes(latents[:-10])
    with pytest.raises(RenderFailed, match="the kept latents cannot be read"):
        lab.wait(lab.decode_again(run.id, decode_chunk_size=1).b.id)
    run.latents.unlink()
    with pytest.raises(BadInput, match="the latents of this run were not kept"):
        lab.decode_again(run.id, decode_chunk_size=1)
    waiting = lab.submit(recipe(lab, picture, seed=36, num_inference_steps=50))
    with pytest.raises(BadInput, match="only a finished run"):
        lab.decode_again(waiting.id, decode_chunk_size=1)
    lab.cancel(waiting.id)
    list(lab.watch(waiting.id))


def test_a_checkpoint_is_loaded_once_and_the_pair_shares_what_is_equal(picture: Path, tmp_path: Path) -> None:
    with Lab(tmp_path) as own:
        worker = LocalWorker(own, Compute("cpu")).start()
        own.generate(picture, "demo-1-0", seed=1, **SMALL)
        assert worker.renderer.residency.loads == 3
        own.generate(picture, "demo-1-0", seed=2, **SMALL)
        assert worker.renderer.residency.loads == 3
        own.generate(picture, "demo-1-1", seed=2, **SMALL)
        resident = {
            part.part: part.used_by for part in worker.renderer.residency.resident() if len(part.used_by) > 1
        }
        assert set(resident) == {"image_encoder", "vae"}
        assert [one.part for one in own.resident()].count("unet") == 2
        assert worker.renderer.residency.loads == 4


def test_ten_cells_on_one_picture_encode_it_once(picture: Path, tmp_path: Path) -> None:
    with Lab(tmp_path) as own:
        worker = LocalWorker(own, Compute("cpu")).start()
        for bucket in range(20, 220, 20):
            own.generate(
                picture, "demo-1-0", seed=1, motion_bucket_id=bucket, **{**SMALL, "num_inference_steps": 1}
            )
        assert worker.renderer.encodes == 1


def test_bad_pictures_and_settings_never_become_runs(lab: Lab, picture: Path, tmp_path: Path) -> None:
    before = len(lab.history.runs(limit=1000))
    (tmp_path / "no.png").write_text("not a picture")
    with pytest.raises(BadPicture):
        lab.generate(tmp_path / "no.png", "demo-1-0")
    with pytest.raises(BadSettings, match="width must be a multiple of"):
        lab.generate(picture, "demo-1-0", width=101)
    with pytest.raises(NotFound):
        lab.generate(picture, "no-such")
    unknown = recipe(lab, picture).model_copy(update={"picture_sha256": "0" * 64})
    with pytest.raises(NotFound, match="picture of that recipe is not in this lab"):
        lab.submit(unknown)
    assert len(lab.history.runs(limit=1000)) == before


def test_a_full_disk_fails_the_run_in_one_sentence(picture: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0 and not Path("/dev/full").exists():
        pytest.skip("needs a way to make writing fail")
    with open_lab(tmp_path, device="cpu") as own:
        run_id = own.submit(recipe(own, picture)).id
        # A file where the runs' folder should be: every write of results fails as on a broken disk.
        own.history.runs_folder.rmdir()
        own.history.runs_folder.write_text("in the way")
        with pytest.raises(RenderFailed, match="the video could not be written"):
            own.wait(run_id)
        own.history.runs_folder.unlink()
        own.history.runs_folder.mkdir()
        assert own.generate(picture, "demo-1-0", seed=7, **SMALL).done


CHILD = """
import sys, time
from svdlab.workers import Compute, LocalWorker, open_lab
from tests import rows
lab = open_lab(sys.argv[1], device="cpu")
settings = lab.settings("demo-1-0", {"width": 96, "height": 64, "num_frames": 4, "num_inference_steps": 200}, seed=3)
stored = lab.add_picture(sys.argv[2])
ids = [lab.submit(lab.recipe("demo-1-0", stored, settings.but(seed=seed))).id for seed in (3, 4)]
for event in lab.watch(ids[0]):
    if event.kind == "step":
        print(*ids, flush=True)
        time.sleep(600)
"""


def test_after_kill_9_the_run_is_listed_as_interrupted_and_can_be_resumed(
    picture: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(data), str(picture)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    running, waiting = child.stdout.readline().split()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with Lab(data) as again:  # no worker yet: what the page lists at the next start
        assert [run.id for run in again.interrupted] == [running]
        assert again.history.get(running).state == "interrupted"
        assert again.history.get(waiting).state == "queued"
        assert not again.history.get(running).folder.exists()
        again.cancel(waiting)
        rows.change(
            again.history,
            "UPDATE runs SET recipe = replace(recipe, '\"num_inference_steps\": 200', '\"num_inference_steps\": 2')",
        )
        assert [run.state for run in again.resume(running)] == ["queued"]
    with open_lab(data, device="cpu") as once_more:
        finished = once_more.wait(running)[0]
        assert finished.done
        assert len(video.read_mp4_frames(finished.video)[0]) == 4


def test_closing_the_lab_interrupts_what_is_being_rendered(picture: Path, tmp_path: Path) -> None:
    own = open_lab(tmp_path, device="cpu")
    run = own.submit(recipe(own, picture, num_inference_steps=200))
    for event in own.watch(run.id):
        if event.kind == "step":
            break
    own.close()
    with Lab(tmp_path) as again:
        assert again.history.get(run.id).state == "interrupted"


def test_two_processes_share_one_folder(lab: Lab, picture: Path) -> None:
    """A second lab without a worker submits and watches; this process's worker renders."""
    second = Lab(lab.data_dir)
    run = second.submit(recipe(second, picture, seed=91))
    assert [event.kind for event in second.watch(run.id)][-1] == "done"
    slow = second.submit(recipe(second, picture, seed=92, num_inference_steps=200))
    kinds = []
    for event in second.watch(slow.id):
        if event.kind == "step" and "step" not in kinds:
            second.cancel(slow.id)
        kinds.append(event.kind)
    assert kinds[-1] == "cancelled"
    second.close()


def test_the_estimate_comes_from_what_was_rendered(lab: Lab, picture: Path) -> None:
    lab.generate(picture, "demo-1-0", seed=7, **SMALL)
    short = lab.settings("demo-1-0", {**SMALL}, seed=1)
    long = lab.settings("demo-1-0", {**SMALL, "num_frames": 8}, seed=1)
    assert lab.estimate("demo-1-0", long) == pytest.approx(2 * (lab.estimate("demo-1-0", short) or 0))
    assert lab.estimate("svd", short) is None


def test_results_are_plain_files_a_person_can_read(lab: Lab, picture: Path) -> None:
    run = lab.generate(picture, "demo-1-0", seed=7, **SMALL)
    first, second = (run.folder / "result.json").read_text().splitlines()
    assert json.loads(first)["checkpoint"] == "demo-1-0"
    assert json.loads(second)["device"] == "cpu"
