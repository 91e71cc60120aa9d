"""Settings out of files that are dropped in: everything svdlab writes, and whatever else somebody drops."""

from __future__ import annotations

import io
import json
import math
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from svdlab.cli import main
from svdlab.clips import video
from svdlab.clips.carried import MAX_TEXT_BYTES
from svdlab.clips.frames import read_frames_zip, write_frames_dir
from svdlab.clips.sheets import write_poster
from svdlab.errors import BadInput
from svdlab.exchange.restore import Restored, fitted, restore, settings_in
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Run
from tests import hostile_pictures
from tests.made import make_run


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def run(lab: Lab) -> Run:
    return make_run(lab, seed=11, preset="low-motion", motion_bucket_id=40, playback_fps=9.5)


def test_a_recipe_of_other_weights_says_that_its_clip_will_be_another(lab: Lab, run: Run) -> None:
    told = json.loads(run.recipe.to_json())
    assert restore(lab, json.dumps(told).encode()).notes == ()
    told["versions"] |= {"unet_sha256": "0" * 64, "vae_sha256": "1" * 64}
    assert restore(lab, json.dumps(told).encode()).notes == (
        "Rendered with other weights than demo-1-0 has now: its UNet and autoencoder are not the same, "
        "so rendering it again gives another clip.",
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Lab]:
    """Another lab that has neither the run nor its picture."""
    with Lab(tmp_path / "elsewhere") as lab:
        yield lab


def png(key: str, text: str) -> bytes:
    out, info = io.BytesIO(), PngInfo()
    info.add_itxt(key, text)
    Image.new("RGB", (16, 16)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def frame_of(run: Run, folder: Path) -> Path:
    frames = read_frames_zip(run.frames_zip)
    return write_frames_dir(folder / "frames", frames, run.recipe.to_json())[1]


def webp_of(run: Run, folder: Path) -> Path:
    path = folder / "clip.webp"
    video.write_webp(path, read_frames_zip(run.frames_zip), 6, comment=run.recipe.to_json())
    return path


def text_of(text: str) -> Callable[[Run, Path], Path]:
    def write(run: Run, folder: Path) -> Path:
        path = folder / "dropped.json"
        path.write_text(text.format(run.recipe.to_json()), encoding="utf-8-sig")
        return path

    return write


OURS: dict[str, Callable[[Run, Path], Path]] = {
    "clip": lambda run, folder: run.video,
    "poster": lambda run, folder: run.poster,
    "result": lambda run, folder: run.folder / "result.json",
    "frame": frame_of,
    "animated WebP": webp_of,
    "recipe": text_of("{}"),
    "recipe among lines": text_of("0123: done\nsome words\n{}\n"),
    "report": text_of('{{"run": "0123", "preset": "low-motion", "recipe": {}}}'),
}


@pytest.mark.parametrize("kind", OURS)
def test_everything_svdlab_writes_gives_its_settings_back(
    lab: Lab, run: Run, kind: str, tmp_path: Path
) -> None:
    path = OURS[kind](run, tmp_path)
    wanted = Restored(
        settings=run.settings,
        checkpoint="demo-1-0",
        preset="low-motion",
        picture_sha256=run.recipe.picture_sha256,
        picture_here=True,
        origin="svdlab recipe",
        notes=(),
    )
    assert restore(lab, path) == wanted
    assert restore(lab, str(path)) == wanted
    assert restore(lab, path.read_bytes()) == wanted


def test_what_the_shell_prints_of_a_run_can_be_dropped_in(
    lab: Lab, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags in ([], ["--json"]):
        assert main(["runs", "show", run.id, *flags, "--data-dir", str(lab.data_dir)]) == 0
        assert restore(lab, capsys.readouterr().out.encode()).settings == run.settings


def test_the_recipe_changes_no_pixel_of_a_poster_or_frame(run: Run, tmp_path: Path) -> None:
    frames = read_frames_zip(run.frames_zip)
    with Image.open(frame_of(run, tmp_path)) as frame:
        assert np.array_equal(np.asarray(frame), frames[1])
    write_poster(tmp_path / "bare.webp", frames, 480)
    with Image.open(run.poster) as poster, Image.open(tmp_path / "bare.webp") as bare:
        assert np.array_equal(np.asarray(poster), np.asarray(bare))


def test_where_the_picture_is_not_here_that_is_said(elsewhere: Lab, run: Run) -> None:
    found = restore(elsewhere, run.video)
    assert (found.settings, found.preset) == (run.settings, None)
    assert (found.picture_sha256, found.picture_here) == (run.recipe.picture_sha256, False)
    assert found.notes == (
        f"The picture ({run.recipe.picture_sha256[:8]}…) is not in this lab; drop it in as well.",
    )


def changed(run: Run, **changes: Any) -> bytes:
    """The run's recipe with other parts, as a file."""
    recipe = json.loads(run.recipe.to_json())
    settings = recipe["settings"] | changes.pop("settings", {})
    return json.dumps({**recipe, **changes, "settings": settings}).encode()


def test_an_unknown_checkpoint_is_said_and_the_settings_are_kept(lab: Lab, run: Run) -> None:
    found = restore(lab, changed(run, checkpoint="mine-2"))
    assert (found.checkpoint, found.settings) == (None, run.settings)
    assert found.notes == ("There is no checkpoint mine-2 here: choose another, or add it.",)


def test_an_unknown_preset_is_said(lab: Lab, run: Run) -> None:
    report = json.dumps({"preset": "gone", "recipe": json.loads(run.recipe.to_json())})
    found = restore(lab, report.encode())
    assert found.preset is None
    assert found.notes == ("There is no preset gone here; its settings are kept.",)


@pytest.mark.parametrize(
    ("settings", "now", "sentence"),
    [
        (
            {"fps": 300},
            {"fps": 60},
            "fps was 300 in the file; a whole number from 1 to 60 is possible, so it is 60 now.",
        ),
        ({"fps": "fast"}, {"fps": 6}, "fps was fast in the file"),
        ({"fps": True}, {"fps": 6}, "fps was true in the file"),
        ({"fps": [[1]]}, {"fps": 6}, "fps was a list in the file"),
        ({"fps": {"a": None}}, {"fps": 6}, "fps was an object in the file"),
        ({"fps": None}, {"fps": 6}, "fps was nothing in the file"),
        ({"fps": math.nan}, {"fps": 6}, "fps was not a number in the file"),
        ({"fps": -math.inf}, {"fps": 6}, "fps was infinite in the file"),
        ({"seed": -(10**400)}, {"seed": 0}, "seed was -1000"),
        ({"noise_aug_strength": 99}, {"noise_aug_strength": 10.0}, "noise_aug_strength was 99"),
        (
            {"schedule": "<script>"},
            {"schedule": "karras"},
            "schedule was ?script? in the file; karras or ays",
        ),
        ({"glow": 3}, {}, "There is no knob glow here; it was left out."),
        (
            {"width": 100},
            {"width": 96},
            "width was 100 in the file; Demo 1.0 cannot do that, so it is 96 now.",
        ),
        (
            {"decoder": "image"},
            {"decoder": "temporal"},
            "decoder was image in the file; Demo 1.0 cannot do that",
        ),
        (
            {"min_guidance_scale": 2, "max_guidance_scale": 0.5},
            {"min_guidance_scale": 1.0, "max_guidance_scale": 1.0},
            "Guidance from 2 to 0.5 is not possible here; both are 1 now.",
        ),
    ],
)
def test_a_knob_that_cannot_be_so_is_brought_in_and_that_is_said(
    lab: Lab, run: Run, settings: dict[str, Any], now: dict[str, Any], sentence: str
) -> None:
    found = restore(lab, changed(run, settings=settings))
    assert found.settings == run.settings.but(**now)
    assert len(found.notes) == 1
    assert sentence in found.notes[0]
    lab.recipe("demo-1-0", run.recipe.picture_sha256, found.settings)


def test_two_guidance_values_above_the_default_are_both_kept(lab: Lab, run: Run) -> None:
    pair = {"min_guidance_scale": 5.0, "max_guidance_scale": 4.0}
    found = restore(lab, changed(run, settings=pair, glow=1))
    assert found.settings == run.settings.but(**pair)


@pytest.mark.parametrize("hash", ["../../etc/passwd", "A" * 64, 5, ["x"], "<script>", None])
def test_a_picture_that_is_no_hash_is_no_path_either(lab: Lab, run: Run, hash: Any) -> None:
    found = restore(lab, changed(run, picture_sha256=hash))
    assert (found.picture_sha256, found.picture_here) == (None, False)
    assert ("no hash" in " ".join(found.notes)) == (hash is not None)


# What somebody else drops


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb() -> bytes:
    packed = zlib.compress(b"{" + b" " * (64 * 2**20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"zTXt", b"prompt\0\0" + packed) + chunk(b"IEND", b"")


def webp(exif: bytes) -> bytes:
    body = b"WEBP" + b"EXIF" + struct.pack("<I", len(exif)) + exif
    return b"RIFF" + struct.pack("<I", len(body)) + body


DEEP = '{"svdlab_recipe": 1, "checkpoint": "demo-1-0", "settings": ' + '{"a":' * 50_000 + "1" + "}" * 50_001
NEITHER = "carries neither an svdlab recipe nor a ComfyUI workflow"
NO_JSON = "holds no JSON that can be read"

HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "text": (b"hello", NO_JSON),
    "binary": (bytes(range(256)), "of a kind that carries no settings"),
    "JPEG": (b"\xff\xd8\xff\xe0" + b"\0" * 64, NEITHER),
    "GIF": (b"GIF89a" + b"\0" * 64, "of a kind that carries no settings"),
    "a list": (b"[1, 2]", NO_JSON),
    "an empty object": (b"{}", NEITHER),
    "another program's": (b'{"nodes": 3, "prompt": "a cat", "workflow": {"a": 1}}', NEITHER),
    "cut off": (b'{"svdlab_recipe": 1, "settings": {', NO_JSON),
    "NaN": (
        b'{"svdlab_recipe": NaN, "checkpoint": NaN, "settings": {"fps": NaN}}',
        "no settings or no checkpoint",
    ),
    "a number without end": (b'{"svdlab_recipe": ' + b"9" * 10_000 + b"}", NO_JSON),
    "deep": (DEEP.encode(), NO_JSON),
    "deep in a PNG": (png("svdlab_recipe", DEEP), NEITHER),
    "no settings": (b'{"svdlab_recipe": 1, "checkpoint": "demo-1-0"}', "no settings or no checkpoint"),
    "settings that are a list": (
        b'{"svdlab_recipe": 1, "checkpoint": "a", "settings": []}',
        "no settings or no checkpoint",
    ),
    "a long recipe": (
        b'{"svdlab_recipe": 1, "checkpoint": "a", "settings": {}, "x": "' + b"x" * 70_000 + b'"}',
        "larger than 64 KB",
    ),
    "a long text": (b'{"x": "' + b"x" * MAX_TEXT_BYTES + b'"}', "larger than 4 MB"),
    "a long text in a PNG": (png("workflow", "x" * (MAX_TEXT_BYTES + 1)), "larger than 4 MB"),
    "a bomb in a PNG": (bomb(), "larger than 4 MB"),
    "damaged text in a PNG": (
        b"\x89PNG\r\n\x1a\n" + chunk(b"zTXt", b"prompt\0\0not zlib"),
        "is damaged, so it was not read",
    ),
    "a PNG of a million empty chunks": (b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"") * 1_000_000, NEITHER),
    "a chunk longer than its file": (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31) + b"tEXtprompt",
        NEITHER,
    ),
    "a PNG without text": (png("Title", "hills"), NEITHER),
    "a WebP without EXIF": (webp(b"")[:12], NEITHER),
    "a WebP of nonsense": (webp(b"Exif\0\0MM\0\x2a\xff\xff\xff\xff" + b"\xff" * 400), ""),
    "an MP4 that is none": (b"\0\0\0\x18ftypmp42" + b"\xff" * 400, "not an MP4 video that can be read"),
    "a WebM that is none": (video.WEBM_MAGIC + b"\xff" * 400, "can be read"),
    "a playlist": (b"#EXTM3U\nhttp://localhost/secret.ts\n", NO_JSON),
    "many nodes": (
        json.dumps({str(n): {"class_type": "SVD_img2vid_Conditioning"} for n in range(5000)}).encode(),
        "more than 2000 nodes",
    ),
    "other nodes": (b'{"1": {"class_type": "KSampler", "inputs": {}}}', "no SVD_img2vid_Conditioning node"),
}


@pytest.mark.parametrize(("data", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_gets_one_sentence(lab: Lab, data: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "dropped<script>.json"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(BadInput) as raised:
            restore(lab, source)
        assert sentence in str(raised.value)
        assert len(str(raised.value)) < 300
        assert not {"\n", "<"} & set(str(raised.value))


@pytest.mark.parametrize("depth", range(300, 1100, 40))
def test_nesting_up_to_what_python_can_read_raises_nothing_else(lab: Lab, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    try:
        found = restore(
            lab, f'{{"svdlab_recipe": 1, "checkpoint": "x", "settings": {{"fps": {nested}}}}}'.encode()
        )
    except BadInput:
        return
    assert found.settings.fps == 6


BROKEN_WORKFLOWS: list[Any] = [
    {"1": {"class_type": "SVD_img2vid_Conditioning"}},
    {"1": {"class_type": "SVD_img2vid_Conditioning", "inputs": []}, "2": 5, "3": {"class_type": []}},
    {
        "1": {
            "class_type": "SVD_img2vid_Conditioning",
            "inputs": {"width": ["1", 0], "vae": ["1", 2], "fps": {}},
        }
    },
    {
        "1": {
            "class_type": "SVD_img2vid_Conditioning",
            "inputs": {"width": 1e999, "fps": "<b>6</b>", "height": None},
        }
    },
    {"nodes": [{"type": "SVD_img2vid_Conditioning"}], "links": 5},
    {
        "nodes": [
            5,
            None,
            {"type": 3},
            {"id": [], "type": "SVD_img2vid_Conditioning", "inputs": [5, {"name": 3}]},
        ]
    },
    {
        "nodes": [
            {"id": 1, "type": "SVD_img2vid_Conditioning", "widgets_values": [[], {}, "x", None, -1, "y"]}
        ]
    },
    {
        "nodes": [{"id": 1, "type": "SVD_img2vid_Conditioning", "inputs": [{"name": "vae", "link": 1}]}],
        "links": [[1, 1, 0, 1, 0, "VAE"], [2], "x", {"id": 3}, [4, {}, "a", 0, 0]],
        "extra": {"svdlab": {"of": 5, "knobs": {"fps": 5}}},
    },
]


@pytest.mark.parametrize("flow", BROKEN_WORKFLOWS)
def test_a_broken_workflow_gives_sentences_and_settings_that_can_be_rendered(lab: Lab, flow: Any) -> None:
    found = restore(lab, json.dumps(flow).replace("Infinity", "1e999").encode())
    assert found.checkpoint is None
    assert found.notes
    assert all("<" not in note and len(note) < 300 for note in found.notes)


@pytest.mark.parametrize("path", ["nowhere.mp4", ".", "/dev/zero", "a\0b"])
def test_what_is_no_file_is_one_sentence(lab: Lab, path: str) -> None:
    with pytest.raises(BadInput, match=r"there is no file|cannot be read"):
        restore(lab, path)


# From the shell


def test_the_shell_shows_what_is_in_a_file(lab: Lab, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "recipe", str(run.poster), "--data-dir", str(lab.data_dir)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"svdlab recipe: checkpoint demo-1-0, picture {run.recipe.picture_sha256}\n")
    assert "  motion_bucket_id = 40\n" in out
    assert main(["runs", "recipe", str(run.poster), "--json", "--data-dir", str(lab.data_dir)]) == 0
    assert json.loads(capsys.readouterr().out)["settings"] == run.settings.model_dump(mode="json")


def test_the_shell_writes_a_workflow(
    lab: Lab, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data-dir", str(lab.data_dir)]
    for flags in ([], ["--ui"]):
        path = tmp_path / "flow.json"
        assert main(["runs", "workflow", run.id, "-o", str(path), *flags, *where]) == 0
        assert restore(lab, path).settings == run.settings
        said = capsys.readouterr()
        assert said.out == f"{path}\n"
        assert "Note: ComfyUI draws other noise" in said.err
    assert main(["runs", "workflow", "last", *where]) == 0
    assert restore(lab, capsys.readouterr().out.encode()).settings == run.settings


BAD = {
    "no such file": (["runs", "recipe", "nowhere.mp4"], "there is no file nowhere.mp4"),
    "no such run": (["runs", "workflow", "0123"], "there is no run '0123'"),
    "not a JSON name": (["runs", "workflow", "last", "-o", "a.txt"], "must end in .json"),
    "like nothing": (["generate", "--like", "nowhere.mp4"], "there is no file nowhere.mp4"),
    "like and preset": (["generate", "--like", "a.mp4", "--preset", "comfyui"], "give one of them"),
    "no picture": (["generate"], "missing argument PICTURE"),
    "reproduce nothing": (["reproduce", "nowhere.mp4"], "There is no file nowhere.mp4"),
}


@pytest.mark.parametrize(("arguments", "said"), BAD.values(), ids=BAD)
def test_bad_input_in_the_shell_is_one_sentence_and_exit_code_2(
    lab: Lab, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--data-dir", str(lab.data_dir)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert said in shown.err


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_picture_that_carries_nothing_is_no_fault(lab: Lab, format: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(out, format)
    assert settings_in(lab, out.getvalue()) is None
    with pytest.raises(BadInput, match="carries neither"):
        restore(lab, out.getvalue())


# For another checkpoint than the file's


def test_a_files_settings_fit_the_checkpoint_that_is_chosen(lab: Lab, run: Run) -> None:
    data = changed(run, checkpoint="svd-xt-image-decoder", settings={"decoder": "image", "width": 1000})
    found = restore(lab, data)
    assert (found.checkpoint, found.settings.decoder, found.settings.width) == (
        "svd-xt-image-decoder",
        "image",
        1024,
    )
    for_demo = fitted(lab, found, "demo-1-0")
    assert (for_demo.checkpoint, for_demo.settings) == ("demo-1-0", found.settings.but(decoder="temporal"))
    assert for_demo.notes == (
        *found.notes,
        "decoder was image in the file; Demo 1.0 cannot do that, so it is temporal now.",
    )
    lab.recipe("demo-1-0", run.recipe.picture_sha256, for_demo.settings)
    assert fitted(lab, found, "svd-xt-image-decoder") == found


def test_where_the_files_checkpoint_is_not_known_the_one_that_is_used_is_said(lab: Lab, run: Run) -> None:
    found = restore(lab, changed(run, checkpoint="mine-2", settings={"width": 100}))
    assert (found.checkpoint, found.settings.width) == (None, 100)
    for_demo = fitted(lab, found, "demo-1-1")
    assert (for_demo.checkpoint, for_demo.settings.width) == ("demo-1-1", 96)
    assert for_demo.notes[1:] == (
        "demo-1-1 is used instead of the file's checkpoint; another can be chosen.",
        "width was 100 in the file; Demo 1.1 cannot do that, so it is 96 now.",
    )


def test_a_recipe_of_an_older_version_keeps_its_seed_of_more_than_32_bits(lab: Lab, run: Run) -> None:
    found = restore(lab, changed(run, settings={"seed": 2**40 + 11}))
    assert found.settings.seed == 2**40 + 11  # so that the run it belongs to is found
    assert found.notes == ()
    again = restore(lab, changed(run, settings={"seed": 2**70}))
    assert again.settings.seed == 2**32 - 1
    assert again.notes[0].startswith(
        "seed was 1180591620717411303424 in the file; a whole number from 0 to 4294967295"
    )


LIKE = {
    "the usual one": (
        "mine-2",
        [],
        "demo-1-1 is used instead of the file's checkpoint; another can be chosen.",
    ),
    "one of two": ("mine-2", ["-c", "demo-1-0"], "demo-1-0 is used instead of the file's checkpoint"),
    "one that can do less": (
        "svd-xt-image-decoder",
        ["-c", "demo-1-0"],
        "decoder was image in the file; Demo 1.0 cannot do that, so it is temporal now.",
    ),
}


@pytest.mark.parametrize(("checkpoint", "flags", "said"), LIKE.values(), ids=LIKE)
def test_generate_like_a_file_says_which_checkpoint_it_took_and_what_that_changed(
    lab: Lab,
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    checkpoint: str,
    flags: list[str],
    said: str,
) -> None:
    taken = flags[-1] if flags else "demo-1-1"
    values = {**run.settings.model_dump(), "seed": 12, "width": 128}
    known = make_run(
        lab, checkpoint=taken, **values
    )  # rendered before, so that nothing has to be rendered here
    path = tmp_path / "like.json"
    decoder = {"decoder": "image"} if checkpoint == "svd-xt-image-decoder" else {}
    path.write_bytes(changed(known, checkpoint=checkpoint, settings=decoder))
    assert main(["generate", "--like", str(path), *flags, "--json", "--data-dir", str(lab.data_dir)]) == 0
    shown = capsys.readouterr()
    assert f"Note: {said}" in shown.err
    assert json.loads(shown.out)["run"] == known.id


def test_thousands_of_packed_texts_are_not_all_unpacked(lab: Lab) -> None:
    started = time.process_time()
    assert settings_in(lab, hostile_pictures.MADE["png of large texts"]()) is None
    assert time.process_time() - started < 4  # 11.5 s when all were
