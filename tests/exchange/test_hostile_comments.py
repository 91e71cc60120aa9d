"""Videos whose comment somebody wrote to do harm: one plain sentence or clean text, and never more than that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from svdlab.clips import video
from svdlab.errors import BadInput, BadVideo, NotFound
from svdlab.exchange.restore import restore
from svdlab.lab.lab import Lab
from svdlab.recipes.records import MAX_RECIPE_BYTES, Recipe
from svdlab.recipes.settings import GenerationSettings
from tests.made import make_run

RECIPE = json.loads(
    Recipe(checkpoint="demo-1-0", picture_sha256="a" * 64, settings=GenerationSettings(seed=12345)).to_json()
)
SCRIPT = "<script>alert(1)</script>"


def changed(**changes: Any) -> str:
    return json.dumps({**RECIPE, **changes})


def with_setting(name: str, value: Any) -> str:
    return changed(settings={**RECIPE["settings"], name: value})


REFUSED = {
    "larger than a recipe": changed(versions={"note": "x" * MAX_RECIPE_BYTES}),
    "a megabyte of spaces": changed() + " " * 2**20,
    "a hundred thousand lists": "[" * 100_000,
    "lists up to the limit": "[" * 65_000,
    "objects in objects": '{"a":' * 12_000 + "1" + "}" * 12_000,
    "deep in the versions": '{"versions":' + "[" * 900 + "]" * 900 + "}",
    "not a number": with_setting("noise_aug_strength", float("nan")),
    "infinity": with_setting("max_guidance_scale", float("inf")),
    "a number too large to be one": changed().replace('"seed": 12345', '"seed": 1e999'),
    "ten thousand digits": changed().replace('"seed": 12345', f'"seed": {"9" * 10_000}'),
    "a script for a checkpoint": changed(checkpoint=SCRIPT),
    "a script for a knob's name": with_setting(SCRIPT, 1),
    "a script for a knob": with_setting("decoder", SCRIPT),
    "a script beside the rest": changed(**{SCRIPT: SCRIPT}),
    "a path for a checkpoint": changed(checkpoint="../../../etc/passwd"),
    "an address for a checkpoint": changed(checkpoint="https://example.org/weights"),
    "a path for a picture": changed(picture_sha256="../../x"),
    "a picture with a line behind it": changed(picture_sha256="a" * 64 + "\n"),
    "a terminal's commands": changed(versions={"torch": "\x1b]0;owned\x07\x1b[2J"}),
    "text from right to left": changed(versions={"torch": "\u202e2.8.0"}),
    "half a character": changed(versions={"torch": "\ud800"}),
    "a number for a text": changed(checkpoint=7),
    "a text for a number": with_setting("fps", "a lot"),
    "a truth for a number": with_setting("fps", True),
    "an object for the settings": changed(settings=[]),
    "nothing for the settings": changed(settings=None),
    "a knob of another program": with_setting("sampler", "euler"),
    "another kind of recipe": changed(svdlab_recipe=2),
    "a list": json.dumps([RECIPE]),
    "a text": json.dumps("hello"),
    "null": "null",
    "half a recipe": changed()[:-20],
    "a recipe with more behind it": changed() + "{}",
    "no JSON": SCRIPT,
}
ACCEPTED = {
    "a script in the versions": changed(versions={"torch": SCRIPT, SCRIPT: "<img src=x onerror=alert(1)>"}),
    "a path in the versions": changed(versions={"device": "../../x"}),
    "another script's letters": changed(versions={"device": "显卡 № 1"}),
    "twice the same key": changed()[:-1] + ', "checkpoint": "demo-1-1"}',
}


def video_with(path: Path, comment: str) -> Path:
    """A real MP4 with any comment at all, which ours would not be given."""
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    with av.open(str(path), "w", format="mp4") as container:
        container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=6)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


@pytest.mark.parametrize("kind", REFUSED)
def test_a_hostile_comment_is_one_sentence_of_our_own(tmp_path: Path, lab: Lab, kind: str) -> None:
    path = video_with(tmp_path / "clip.mp4", REFUSED[kind])
    with pytest.raises(BadVideo) as raised:
        Recipe.from_json(video.read_comment(path) or "")
    assert_plain(str(raised.value))
    before = len(lab.history.runs(1000))
    try:  # as if it were dropped on the page
        restored = restore(lab, path)
    except BadInput as error:
        assert_plain(str(error))
    else:
        assert restored.checkpoint in (None, *(one.id for one in lab.catalogue))
        assert GenerationSettings.parse(restored.settings.model_dump()) == restored.settings
        for note in restored.notes:
            assert_plain(note)
    assert len(lab.history.runs(1000)) == before  # nothing is started by it


def assert_plain(sentence: str) -> None:
    assert 0 < len(sentence) < 300
    assert not set("<>\n\r\x1b\u202e") & set(sentence)
    assert "etc/passwd" not in sentence


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_is_only_odd_is_read_as_text_and_comes_back_as_it_was(
    tmp_path: Path, lab: Lab, kind: str
) -> None:
    comment = video.read_comment(video_with(tmp_path / "clip.mp4", ACCEPTED[kind]))
    assert comment == ACCEPTED[kind]
    recipe = Recipe.from_json(comment)
    assert recipe.versions == json.loads(comment)["versions"]
    assert Recipe.from_json(recipe.to_json()) == recipe
    with pytest.raises(NotFound, match="the picture of that recipe is not in this lab"):
        lab.submit(recipe)  # a picture that is not here is not looked for anywhere else


@pytest.mark.parametrize(
    "patched",
    [b"\xff\xfe\x00\x01\xc3\x28\xa0\xa1", b"\xed\xa0\x80\xed\xb0\x80xx", b"{\x00\x00}\x00\x00\x00\x00"],
    ids=["no UTF-8", "surrogates", "zeros"],
)
def test_a_comment_in_another_encoding_is_one_sentence(tmp_path: Path, patched: bytes) -> None:
    path = video_with(tmp_path / "clip.mp4", "COMMENT!")
    path.write_bytes(path.read_bytes().replace(b"COMMENT!", patched))
    with pytest.raises(BadVideo) as raised:
        Recipe.from_json(video.read_comment(path) or "")
    assert_plain(str(raised.value))


def test_the_doctor_survives_videos_with_hostile_comments(tmp_path: Path) -> None:
    with Lab(tmp_path / "data") as lab:
        kinds = ("larger than a recipe", "lists up to the limit", "no JSON", "a script in the versions")
        runs = {kind: make_run(lab, width=64, height=64, num_frames=2) for kind in kinds}
        for kind, run in runs.items():
            video_with(run.video, {**REFUSED, **ACCEPTED}[kind])
        found = lab.doctor()
        assert {finding.about for finding in found} == {run.id for run in runs.values()}
        for finding in found:
            assert_plain(finding.sentence)
        lab.doctor(repair=True)
        for kind, run in runs.items():  # what carries no recipe is not one of ours any more
            assert lab.history.get(run.id).state == ("interrupted" if kind in REFUSED else "done")
