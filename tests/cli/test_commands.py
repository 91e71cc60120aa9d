"""The shell: real runs on the embedded demo checkpoints, at the smallest settings."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from svdlab import __version__
from svdlab.cli import files, main
from svdlab.cli.flags import flag_of
from svdlab.cli.progress import fraction
from svdlab.clips import video
from svdlab.clips.frames import read_frames_zip, write_frames_dir
from svdlab.errors import BadInput
from svdlab.files import write_whole
from svdlab.lab.lab import Lab
from svdlab.lab.visit import Visit
from svdlab.recipes.events import Event
from svdlab.recipes.limits import defaults_for
from svdlab.recipes.presets import Presets
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import KNOBS
from svdlab.recipes.visitors import OPERATOR
from svdlab.weights.catalogue import Catalogue
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent.parent
HEAVY = ("torch", "diffusers", "transformers", "gradio", "pandas", "cv2", "av", "huggingface_hub", "ray")
SMALL = ["--num-inference-steps", "2", "--num-frames", "3", "--width", "96", "--height", "64"]


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Shell = Callable[..., Said]


def spawned(*arguments: str, env: dict[str, str] | None = None) -> Said:
    """The command in a process of its own, as a person starts it."""
    done = subprocess.run(
        [sys.executable, "-m", "svdlab", *arguments],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs a command in this process."""

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small picture with soft and sharp parts."""
    y, x = np.mgrid[0:180, 0:320]
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.fromarray(np.stack([x * 255 // 320, y * 255 // 180, (x * 8 + y) % 256], -1).astype("uint8")).save(
        path
    )
    return path


@dataclass(frozen=True)
class Made:
    """One generated clip and where it went."""

    data_dir: Path
    output: Path
    frames: Path
    report: dict[str, Any]
    err: str


@pytest.fixture(scope="module")
def made(picture: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """`svdlab generate` in a process of its own, with everything it can write."""
    folder = tmp_path_factory.mktemp("made")
    output, frames, data_dir = folder / "out.mp4", folder / "frames", folder / "data"
    said = spawned(
        *("generate", str(picture), "--checkpoint", "demo-1-1", "--motion-bucket-id", "130", "--seed", "7"),
        *(*SMALL, "-o", str(output), "--frames", str(frames), "--json", "--data-dir", str(data_dir)),
    )
    assert said.code == 0, said.err
    return Made(data_dir, output, frames, said.json, said.err)


@pytest.fixture(scope="module")
def compared(picture: Path, made: Made) -> tuple[Path, dict[str, Any]]:
    """`svdlab compare` of the demo pair."""
    output, out = made.output.with_name("pair.mp4"), io.StringIO()
    arguments = ["compare", str(picture), "-a", "demo-1-0", "-b", "demo-1-1", "--seed", "7", *SMALL]
    with redirect_stdout(out):
        assert main([*arguments, "-o", str(output), "--json", "--data-dir", str(made.data_dir)]) == 0
    return output, json.loads(out.getvalue())


# Starting


def test_help_loads_no_heavy_library() -> None:
    asked = [["--version"], ["--help"], ["generate", "--help"], ["runs", "--help"], ["presets"]]
    script = (
        f"import sys; from svdlab.cli import main\nfor asked in {asked!r}:\n    main(asked);"
        f"print('loaded:', *asked, *sorted({set(HEAVY)!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    loaded = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("loaded:")]
    assert loaded == asked, done.stderr


def test_help_names_every_command(shell: Shell) -> None:
    out = shell("--help").out
    names = [
        "app",
        "generate",
        "compare",
        "sweep",
        "sweeps",
        "plan",
        "reproduce",
        "loss",
        "measure",
        "study",
        "votes",
        "runs",
        "checkpoints",
        "loras",
        "presets",
        "doctor",
        "examples",
    ]
    names.append("bench")
    assert re.findall(r"^  ([a-z]+)  ", out, re.MULTILINE) == names


def test_without_a_command_the_help_is_shown(shell: Shell) -> None:
    assert shell() == shell("--help")
    assert shell().code == 0


def test_version(shell: Shell) -> None:
    assert shell("--version").out == f"svdlab {__version__}\n"


@pytest.mark.parametrize("command", ["generate", "compare", "plan", "bench"])
def test_every_knob_is_a_flag_with_its_own_help(shell: Shell, command: str) -> None:
    out = " ".join(shell(command, "--help").out.split())
    for name, knob in KNOBS.items():
        assert f"{flag_of(name)} " in out
        assert " ".join(knob.help.split()) in out


def test_the_docs_are_current() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "make_docs"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Generating


def test_the_clip_plays(made: Made) -> None:
    frames, fps = video.read_mp4_frames(made.output)
    assert frames.shape == (3, 64, 96, 3)
    assert fps == pytest.approx(defaults_for(Catalogue().get("demo-1-1")).fps)


def test_the_clip_carries_the_recipe_that_was_asked_for(made: Made) -> None:
    recipe = Recipe.from_json(video.read_comment(made.output) or "")
    assert recipe.checkpoint == "demo-1-1"
    assert recipe.settings.motion_bucket_id == 130
    assert recipe.settings.seed == 7
    assert recipe.settings.num_inference_steps == 2
    assert recipe.model_dump(mode="json") == made.report["recipe"]


def test_the_frames_are_the_runs_own_without_loss(made: Made) -> None:
    paths = sorted(made.frames.iterdir())
    assert [path.name for path in paths] == ["frame_000.png", "frame_001.png", "frame_002.png"]
    written = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    assert np.array_equal(written, read_frames_zip(made.report["frames_zip"]))


def test_json_says_all_there_is_to_know(made: Made) -> None:
    report = made.report
    assert report["state"] == "done"
    assert report["seed"] == 7
    assert report["rendered_before"] is False
    assert report["output"] == str(made.output)
    assert Path(report["video"]).is_file()
    assert Path(report["video"]).read_bytes() == made.output.read_bytes()
    assert len(report["noise_sha256"]) == 64
    assert set(report["seconds"]) == {"load", "encode", "denoise", "decode", "write"}
    assert {note["knob"] for note in report["notes"]} >= {"motion_bucket_id", "width"}


def test_what_the_checkpoint_was_not_made_for_is_noted(made: Made) -> None:
    assert "Note: Demo 1.1 was tuned at motion bucket 127 only." in made.err
    assert "Traceback" not in made.err


def test_nothing_but_the_results_is_left(made: Made, compared: tuple[Path, dict[str, Any]]) -> None:
    assert sorted(path.name for path in made.output.parent.iterdir()) == [
        "data",
        "frames",
        "out.mp4",
        "pair.mp4",
    ]


def test_the_same_recipe_is_taken_from_the_history_and_that_is_said(
    shell: Shell, made: Made, picture: Path, tmp_path: Path
) -> None:
    output = tmp_path / "again.webp"
    said = shell(
        *("generate", picture, "-c", "demo-1-1", "--motion_bucket_id", 130, "--seed", 7, *SMALL),
        *("-o", output, "--data-dir", made.data_dir),
    )
    assert said.code == 0
    assert f"Rendered before, as run {made.report['run']}" in said.err
    assert made.report["run"] in said.out
    assert "seed 7" in said.out
    with Image.open(output) as clip:
        assert (clip.format, clip.size, clip.n_frames) == ("WEBP", (96, 64), 3)


def test_again_renders_the_same_bytes_as_another_run(
    shell: Shell, made: Made, picture: Path, tmp_path: Path
) -> None:
    output = tmp_path / "again.mp4"
    said = shell(
        *("generate", picture, "-c", "demo-1-1", "--motion-bucket-id", 130, "--seed", 7, *SMALL),
        *("--again", "--json", "-o", output, "--data-dir", made.data_dir),
    )
    assert said.code == 0, said.err
    assert said.json["run"] != made.report["run"]
    assert said.json["rendered_before"] is False
    assert output.read_bytes() == made.output.read_bytes()


def test_a_random_seed_is_resolved_and_printed(shell: Shell, made: Made, picture: Path) -> None:
    said = shell(
        "--data-dir", made.data_dir, "generate", picture, "-c", "demo-1-1", "--seed", "random", *SMALL
    )
    assert said.code == 0, said.err
    found = re.search(r"seed (\d+), noise ([0-9a-f]{8}), .* run ([0-9a-f]+)$", said.out.strip())
    assert found is not None, said.out
    with Lab(made.data_dir) as lab:
        run = lab.history.get(found[3])
    assert str(run.settings.seed) == found[1]
    assert run.outcome.noise_sha256.startswith(found[2])


def test_a_preset_is_the_start_and_flags_change_it(shell: Shell, made: Made, picture: Path) -> None:
    said = shell(
        *("generate", picture, "-c", "demo-1-1", "--preset", "comfyui", "--fps", 9, *SMALL, "--json"),
        *("--data-dir", made.data_dir),
    )
    settings = said.json["recipe"]["settings"]
    assert said.json["preset"] == "comfyui"
    assert (settings["fps"], settings["playback_fps"], settings["noise_aug_strength"]) == (9, 10, 0)
    assert settings["num_frames"] == 3


def test_stale_frames_of_a_longer_clip_do_not_mix_in(made: Made, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for name in ("frame_000.png", "frame_017.png", "notes.txt"):
        (frames / name).write_text("old")
    clip = read_frames_zip(made.report["frames_zip"])
    files.write_frames(frames, lambda folder: write_frames_dir(folder, clip))
    names = ["frame_000.png", "frame_001.png", "frame_002.png", "notes.txt"]
    assert sorted(path.name for path in frames.iterdir()) == names
    assert (frames / "frame_000.png").read_bytes() != b"old"


def test_a_failed_write_leaves_the_old_file_and_no_half_one(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("old")

    def full_disk(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(BadInput, match="no space left on device"):
        write_whole(target, full_disk)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


# Comparing


def test_the_pair_plays_side_by_side(compared: tuple[Path, dict[str, Any]]) -> None:
    frames, _ = video.read_mp4_frames(compared[0])
    assert len(frames) == 3
    assert frames.shape[2] > 2 * 96


def test_the_pair_is_fair_and_proves_it(compared: tuple[Path, dict[str, Any]]) -> None:
    report = compared[1]
    assert report["fair"]
    assert report["differences"] == []
    assert report["a"]["noise_sha256"] == report["b"]["noise_sha256"]
    assert report["a"]["noise_sha256"].startswith(report["noise"])
    assert [report[side]["checkpoint"] for side in "ab"] == ["demo-1-0", "demo-1-1"]


def test_a_comparison_made_before_is_shown_at_once(
    shell: Shell, made: Made, compared: tuple[Path, dict[str, Any]], picture: Path, tmp_path: Path
) -> None:
    output = tmp_path / "pair.webp"
    said = shell(
        *("compare", picture, "-a", "demo-1-0", "-b", "demo-1-1", "--seed", 7, *SMALL),
        *("-o", output, "--data-dir", made.data_dir),
    )
    assert said.code == 0, said.err
    assert f"Rendered before, as comparison {compared[1]['comparison']}" in said.err
    assert f"Same picture, same settings, same noise {compared[1]['noise']}" in said.out
    with Image.open(output) as clip:
        assert (clip.format, clip.n_frames) == ("WEBP", 3)


# What there is


def test_runs_lists_the_clip(shell: Shell, made: Made) -> None:
    lines = shell("runs", "--data-dir", made.data_dir).out.splitlines()
    assert lines[0].split()[:2] == ["run", "state"]
    assert [line.split()[1] for line in lines if line.startswith(made.report["run"])] == ["done"]
    assert made.report["run"] in [
        run["run"] for run in shell("--data-dir", made.data_dir, "runs", "--json").json
    ]


def test_runs_shows_one(shell: Shell, made: Made) -> None:
    for before, after in ((["--data-dir", made.data_dir], []), ([], ["--data-dir", made.data_dir])):
        said = shell(*before, "runs", "show", made.report["run"], *after)
        assert made.report["recipe"]["picture_sha256"] in said.out
    assert shell("runs", "--data-dir", made.data_dir, "show", "last", "--json").json["state"] == "done"


def test_a_waiting_run_is_cancelled_and_resumed(
    shell: Shell, made: Made, data_dir: Path, picture: Path
) -> None:
    with Lab(data_dir) as lab:
        settings = lab.settings(
            "demo-1-1", {"num_inference_steps": 1, "num_frames": 2, "width": 64, "height": 64}
        )
        run = lab.submit(lab.recipe("demo-1-1", lab.add_picture(picture), settings))
    assert shell("runs", "cancel", run.id).out == f"{run.id}: cancelled\n"
    assert shell("runs", "--state", "cancelled").out.splitlines()[1].startswith(run.id)
    refused = shell("runs", "cancel", run.id)
    assert (refused.code, refused.err) == (
        2,
        f"svdlab: run {run.id} is cancelled, so there is nothing to cancel\n",
    )
    assert shell("runs", "resume", "last").code == 0
    assert shell("runs", "show", run.id, "--json").json["state"] == "done"
    assert shell("runs", "resume", run.id).code == 2


def test_an_empty_history_says_so(shell: Shell, data_dir: Path) -> None:
    said = shell("runs")
    assert (said.code, said.out, said.err) == (0, "", "There are no runs yet.\n")
    assert shell("runs", "show", "last").code == 2


def test_checkpoints_says_what_is_here_and_under_which_licence(shell: Shell, data_dir: Path) -> None:
    out = shell("checkpoints").out
    for checkpoint in Catalogue():
        assert re.search(rf"^{checkpoint.id} ", out, re.MULTILINE)
        assert checkpoint.licence in out
    by_id = {one["id"]: one for one in shell("checkpoints", "--json").json}
    assert by_id["demo-1-1"]["state"] == "embedded"
    assert by_id["demo-1-1"]["bytes_on_disk"] > 100_000
    assert by_id["svd"]["frames"] == 14


def test_presets_lists_all_and_shows_one(shell: Shell) -> None:
    out = shell("presets").out
    assert [line.split()[1] for line in out.splitlines()[1:]] == [preset.id for preset in Presets()]
    one = shell("presets", "article-5-pair-8-135").out
    assert "svd-xt-image-decoder and svd-xt-1-1" in one
    assert "motion_bucket_id = 135" in one
    assert len(shell("presets", "--json").json) == len(list(Presets()))


# Bad input

BAD = {
    "no picture": (["generate"], "missing argument"),
    "no such picture": (["generate", "nowhere.jpg", "-c", "demo-1-1"], "there is no file nowhere.jpg"),
    "not a picture": (["generate", "{text}", "-c", "demo-1-1"], "text.png"),
    "unknown checkpoint": (["generate", "{picture}", "-c", "svd-2"], "there is no checkpoint 'svd-2'"),
    "unknown preset": (["generate", "{picture}", "--preset", "nope"], "there is no preset 'nope'"),
    "text for a number": (
        ["generate", "{picture}", "--fps", "fast"],
        "fps must be a whole number from 1 to 60",
    ),
    "out of range": (["generate", "{picture}", "--motion-bucket-id", "5000"], "motion_bucket_id must be"),
    "not a number": (["generate", "{picture}", "--noise-aug-strength", "nan"], "noise_aug_strength must be"),
    "unknown choice": (["generate", "{picture}", "--schedule", "cosine"], "schedule must be karras or ays"),
    "bad seed": (["generate", "{picture}", "--seed", "lucky"], "seed must be a whole number"),
    "bad size": (
        ["generate", "{picture}", "-c", "svd-xt", "--width", "1000"],
        "width must be a multiple of 64",
    ),
    "impossible pair": (
        ["generate", "{picture}", "--min-guidance-scale", "2", "--max-guidance-scale", "1"],
        "max_guidance_scale must be above 1",
    ),
    "unknown flag": (["generate", "{picture}", "--fpss", "6"], "no such option: --fpss"),
    "flag without value": (["generate", "{picture}", "--fps"], "requires an argument"),
    "unknown command": (["render"], "no such command 'render'"),
    "folder as output": (["generate", "{picture}", "-o", "{folder}"], "is a folder"),
    "output in no folder": (["generate", "{picture}", "-o", "{folder}/none/out.mp4"], "there is no folder"),
    "output of another kind": (
        ["generate", "{picture}", "-o", "{folder}/out.gif"],
        "must end in .mp4 or .webp",
    ),
    "file as frames folder": (["generate", "{picture}", "--frames", "{picture}"], "is a file"),
    "unknown device": (["generate", "{picture}", "--device", "gpu"], "device must be auto, cpu"),
    "unknown dtype": (["generate", "{picture}", "--dtype", "int8"], "dtype must be auto"),
    "compare unknown": (["compare", "{picture}", "-a", "demo-1-0", "-b", "x"], "there is no checkpoint 'x'"),
    "compare folder": (["compare", "{picture}", "-o", "{folder}"], "is a folder"),
    "unknown run": (["runs", "show", "0123"], "there is no run '0123'"),
    "unknown state": (["runs", "--state", "lost"], "state must be queued"),
    "text for a port": (["app", "--port", "http"], "--port"),
    "bench of nothing": (["bench", "-c", "svd-2"], "there is no checkpoint 'svd-2'"),
    "plan of no size": (
        ["plan", "--memory", "lots"],
        "memory must be a number of gigabytes such as 6G, got 'lots'",
    ),
    "plan for nothing": (
        ["plan", "--memory", "0"],
        "memory must be a number of gigabytes such as 6G, got '0'",
    ),
    "bench without a card": (
        ["bench", "--gpu", "--device", "cpu"],
        "bench --gpu is at full size, which needs a CUDA device; --small is not",
    ),
    "bench out of range": (["bench", "--no-startup", "--num-frames", "1"], "num_frames must be"),
}


@pytest.mark.parametrize(("arguments", "said"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_sentence_and_exit_code_2(
    shell: Shell, data_dir: Path, picture: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    places = {"picture": str(picture), "text": str(text), "folder": str(tmp_path)}
    answer = shell(*(argument.format(**places) for argument in arguments))
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("svdlab: ")
    assert answer.err.count("\n") == 1
    assert said in answer.err


def test_the_video_never_replaces_its_picture(shell: Shell, data_dir: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.webp"
    Image.new("RGB", (96, 64), "teal").save(picture)
    before = picture.read_bytes()
    said = shell("generate", picture, "-c", "demo-1-1", *SMALL, "-o", picture)
    assert (said.code, said.out) == (2, "")
    assert "is the picture itself" in said.err
    assert picture.read_bytes() == before


def test_weights_that_cannot_be_had_are_exit_code_3_and_no_run(
    shell: Shell, data_dir: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = shell("generate", picture, "--checkpoint", "svd-xt")
    assert said.code == 3
    assert said.err.splitlines()[-1].startswith("svdlab: svd-xt: Not on disk")
    assert shell("runs").err == "There are no runs yet.\n"


def test_a_data_folder_that_is_a_file_is_exit_code_5(shell: Shell, picture: Path) -> None:
    said = shell("--data-dir", picture, "runs")
    assert (said.code, said.err.count("\n")) == (5, 1)


def test_bad_input_in_a_process_of_its_own_prints_no_traceback(picture: Path, tmp_path: Path) -> None:
    said = spawned("generate", str(picture), "--fps", "0", env={"SVDLAB_DATA_DIR": str(tmp_path / "data")})
    assert (said.code, said.out) == (2, "")
    assert said.err == "svdlab: fps must be a whole number from 1 to 60, got '0'\n"


def test_a_render_that_fails_is_exit_code_4_and_one_sentence(
    shell: Shell, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVDLAB_FAILPOINT", "video-written=full")
    said = shell("generate", picture, "-c", "demo-1-1", *SMALL, "--data-dir", tmp_path / "data")
    assert said.code == 4
    full = "the video could not be written: the disk is full; free some room and try again"
    assert said.err.splitlines()[-1] == f"svdlab: {full}"
    assert "Traceback" not in said.err


@pytest.mark.parametrize("command", ["generate", "compare"])
def test_a_device_that_is_not_there_is_said_before_anything_is_accepted(
    shell: Shell, picture: Path, tmp_path: Path, command: str
) -> None:
    said = shell(command, picture, *SMALL, "--device", "cuda:99", "--data-dir", tmp_path / "data")
    assert said.code == 2
    assert re.fullmatch(r"svdlab: there is no (CUDA device|cuda:99) .*", said.err.splitlines()[-1])
    with Lab(tmp_path / "data") as lab:
        assert lab.history.runs() == []


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SVDLAB_DEVICE", "gpu", "SVDLAB_DEVICE must be auto, cpu, mps, cuda or cuda:1 and so on, got 'gpu'"),
        ("SVDLAB_DTYPE", "int8", "SVDLAB_DTYPE must be auto, float32, float16 or bfloat16, got 'int8'"),
        ("SVDLAB_PORT", "no", "SVDLAB_PORT must be a whole number from 1 to 65535, got 'no'"),
        ("SVDLAB_WORKER", "cloud", "worker must be cluster or local or zerogpu, got 'cloud'"),
    ],
)
def test_a_wrong_variable_is_one_sentence(
    shell: Shell, data_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    assert shell("app", "--help").code == 0
    said = shell("app")
    assert (said.code, said.err) == (2, f"svdlab: {sentence}\n")
    assert not data_dir.exists()


def test_a_misspelt_variable_is_said_with_the_one_that_is_meant(data_dir: Path) -> None:
    said = spawned("presets", env={"SVDLAB_DATADIR": "/x"})
    assert said.code == 0
    meant = "SVDLAB_DATADIR is no variable of svdlab's, so it changes nothing; did you mean SVDLAB_DATA_DIR?"
    assert said.err == f"svdlab: {meant}\n"


# Stopping


@pytest.mark.skipif(os.name == "nt", reason="sends an interrupt as a terminal on Unix does")
def test_ctrl_c_cancels_the_run_and_writes_nothing(picture: Path, tmp_path: Path) -> None:
    output, data_dir = tmp_path / "out.mp4", tmp_path / "data"
    command = [
        sys.executable,
        "-m",
        "svdlab",
        "generate",
        str(picture),
        "-c",
        "demo-1-1",
        "--data-dir",
        str(data_dir),
    ]
    command += [
        "--num-inference-steps",
        "200",
        "--num-frames",
        "3",
        "--width",
        "96",
        "--height",
        "64",
        "-o",
        str(output),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until(lambda: running_step(data_dir), "a first step")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "svdlab: cancelled; nothing was written"
    assert "Traceback" not in err
    with Lab(data_dir) as lab:
        assert [run.state for run in lab.history.runs()] == ["cancelled"]
    assert list(tmp_path.iterdir()) == [data_dir]


@pytest.mark.skipif(os.name == "nt", reason="sends an interrupt as a terminal on Unix does")
def test_a_second_ctrl_c_leaves_at_once_and_the_run_can_be_resumed(picture: Path, tmp_path: Path) -> None:
    slow = ["--num-frames", "25", "--width", "1024", "--height", "576", "--num-inference-steps", "50"]
    command = [sys.executable, "-m", "svdlab", "generate", str(picture), "-c", "demo-1-1", *slow]
    with subprocess.Popen(
        [*command, "--data-dir", str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        until(lambda: states(tmp_path) == ["running"], "the run")
        process.send_signal(signal.SIGINT)
        while "Ctrl-C again leaves at once" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    with Lab(tmp_path) as lab:
        assert [run.state for run in lab.interrupted] == ["interrupted"]  # nobody waited for its step
        assert lab.resume(lab.interrupted[0].id)[0].state == "queued"


def states(data_dir: Path) -> list[str]:
    """How the runs of a data folder are, as another process sees them."""
    if not (data_dir / "svdlab.db").is_file():
        return []
    with Lab(data_dir) as lab:
        return [run.state for run in lab.history.runs()]


def running_step(data_dir: Path) -> int:
    """How far the only run is, as another process sees it."""
    if not (data_dir / "svdlab.db").is_file():
        return 0
    with Lab(data_dir) as lab:
        return max((run.step for run in lab.history.runs()), default=0)


@pytest.mark.skipif(os.name == "nt", reason="sends an interrupt as a terminal on Unix does")
def test_app_serves_the_page_until_ctrl_c(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "svdlab", "app", "--port", str(port), "--data-dir", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert f"127.0.0.1:{port}" in process.stdout.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
            assert page.status == 200
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode in (0, 130)


def test_the_web_entry_is_svdlab_app_with_its_options(shell: Shell) -> None:
    said = subprocess.run(
        [sys.executable, "app.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout == shell("app", "--help").out
    wrong = subprocess.run(
        [sys.executable, "app.py", "--port", "no"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("svdlab: invalid value for '--port'")


# Progress


def test_a_bar_only_moves_forward() -> None:
    kinds = [("queued", 0, 0), ("loading", 0, 4), ("encoding", 0, 4), *(("step", i, 4) for i in range(1, 5))]
    kinds += [("decoding", 1, 2), ("decoding", 2, 2), ("saving", 4, 4), ("done", 4, 4)]
    parts = [fraction(Event("run", kind, step, steps)) for kind, step, steps in kinds]  # type: ignore[arg-type]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0.0, 1.0)


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_a_terminal_sees_a_bar_for_each_side(made: Made, picture: Path) -> None:
    import pty

    main_end, terminal = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "svdlab",
        "compare",
        str(picture),
        "-a",
        "demo-1-0",
        "-b",
        "demo-1-1",
        *SMALL,
    ]
    command += ["--data-dir", str(made.data_dir)]
    env = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=terminal, text=True)
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(main_end, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(main_end)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Same picture, same settings, same noise" in out
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"demo-1-0 .*Rendering: 1 of 2 steps, about", text)
    assert re.search(r"demo-1-1 .*Rendering: 1 of 2 steps, about", text)


# Measuring


def test_plan_says_how_a_clip_fits_on_a_card_that_is_not_here(shell: Shell) -> None:
    said = shell("plan", "-c", "svd-xt", "--memory", "4G")
    assert said.code == 0
    first, sentence, _, head, *cards = said.out.splitlines()
    assert first == "svd-xt, 1024×576, 25 frames, float16."
    assert sentence.startswith("Takes 2.9 GB of 3.6 GB: weights streamed, ")
    assert sentence.endswith(", decoded 2 frames at once.")
    assert head.split("  ")[0] == "card"
    assert [card[:5].strip() for card in cards] == ["3 GB", "4 GB", "6 GB", "8 GB", "12 GB", "16 GB", "24 GB"]
    small = shell("plan", "-c", "demo-1-0", "--json")
    assert small.code == 0
    assert json.loads(small.out)["plan"]["fits"] is True


def test_bench_measures_and_finds_the_frames_equal(shell: Shell) -> None:
    small = ["--num-frames", 2, "--width", 64, "--height", 64, "--num-inference-steps", 1, "--repeats", 1]
    said = shell("bench", "--no-startup", *small, "--json")
    assert said.code == 0, said.err
    figures = {figure["what"]: figure for figure in said.json["figures"]}
    assert figures["frames of ours and of diffusers"]["measured"] == "equal"
    assert figures["conditioning computed for 10 buckets"]["value"] == 1
    ratios = [figure for what, figure in figures.items() if what.endswith("ours ÷ diffusers")]
    assert len(ratios) == 4
    assert None not in [figure["value"] for figure in ratios]
    assert "64×64, 2 frames, 1 steps" in said.json["where"]


def test_bench_times_the_help_and_nothing_that_failed(shell: Shell) -> None:
    from svdlab.engine import bench

    timed = subprocess.run(bench.help_command(), capture_output=True, text=True, check=True)
    assert timed.stdout.splitlines()[0] == shell("--help").out.splitlines()[0]
    with pytest.raises(subprocess.CalledProcessError):
        bench.help_seconds([sys.executable, "-c", "raise SystemExit(1)"])


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGTERM to be caught")
def test_a_terminated_app_lets_its_followers_go_and_leaves_the_run_to_be_resumed(
    picture: Path, tmp_path: Path
) -> None:
    with Lab(tmp_path) as lab:
        slow = {"num_inference_steps": 200, "num_frames": 3, "width": 96, "height": 64}
        run = Visit(lab, OPERATOR).order(picture, "demo-1-1", seed=1, **slow)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "svdlab", "app", "--port", str(port), "--data-dir", str(tmp_path)]
    new = tmp_path / "new" / "tmp"  # the folder of passing files is made where it is not there
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(new)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert f"127.0.0.1:{port}" in process.stdout.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/events?id={run.id}", timeout=60) as events:
            while b'"step"' not in events.readline():
                pass
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60) as healthz:
                assert json.load(healthz) == {"ok": True, "waiting": 0, "rendering": 1, "problems": []}
            process.send_signal(signal.SIGTERM)
            assert b"event: end" not in events.read()  # it may go on: who followed comes back
        _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert new.is_dir()
    with Lab(tmp_path) as lab:
        assert [run.state for run in lab.history.runs()] == ["interrupted"]
        assert lab.resume(run.id)[0].state == "queued"
