"""A recipe's hash is for ever: later versions of svdlab find what earlier ones rendered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from svdlab.lab.lab import Lab
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import FIRST_FORM, KNOBS, GenerationSettings
from tests.made import make_pair, make_run
from tests.tree import add_knob, copy_tree, insert_before, run_on

# What the knobs of the first form were introduced with. Nothing here may ever change.
FIRST = {
    "motion_bucket_id": 127,
    "fps": 6,
    "num_frames": 14,
    "seed": 42,
    "noise_aug_strength": 0.02,
    "num_inference_steps": 25,
    "min_guidance_scale": 1.0,
    "max_guidance_scale": 3.0,
    "schedule": "karras",
    "width": 1024,
    "height": 576,
    "fit": "crop",
    "focus_x": 0.5,
    "focus_y": 0.5,
    "decoder": "temporal",
    "decode_chunk_size": None,
    "playback_fps": None,
}
OTHER = {
    "motion_bucket_id": 180,
    "fps": 7,
    "num_frames": 25,
    "seed": 2**63 - 1,
    "noise_aug_strength": 0.1,
    "num_inference_steps": 10,
    "min_guidance_scale": 1.5,
    "max_guidance_scale": 2.5,
    "schedule": "ays",
    "width": 576,
    "height": 1024,
    "fit": "pad",
    "focus_x": 0.25,
    "focus_y": 1.0,
    "decoder": "image",
    "decode_chunk_size": 4,
    "playback_fps": 12.0,
}
# As the first svdlab hashed them.
HASHES = [
    ("demo-1-0", "a" * 64, FIRST, "17d3ef696432d56bdb028330d4659dbc786059344a67d499fd9155a697a01d32"),
    (
        "svd-xt-1-1",
        "0123456789abcdef" * 4,
        OTHER,
        "fcc6db20fb8fa7c0dfb681ebdd48834185bcdeb8108b3256887ed2a5f13fc1e7",
    ),
]


@pytest.mark.parametrize(("checkpoint", "picture", "settings", "known"), HASHES)
def test_hashes_are_those_of_the_first_svdlab(
    checkpoint: str, picture: str, settings: dict, known: str
) -> None:
    recipe = Recipe(checkpoint=checkpoint, picture_sha256=picture, settings=GenerationSettings(**settings))
    assert recipe.hash == known
    assert Recipe.from_json(recipe.to_json()).hash == known
    assert json.loads(recipe.to_json())["settings"] == settings


def test_the_first_knobs_keep_the_values_they_were_introduced_with() -> None:
    assert {name: knob.introduced for name, knob in KNOBS.items() if knob.since == FIRST_FORM} == FIRST


@pytest.mark.parametrize("name", FIRST)
def test_a_stored_recipe_without_a_knob_means_what_that_was_introduced_with(name: str) -> None:
    stored = {
        "checkpoint": "svd",
        "picture_sha256": "a" * 64,
        "settings": OTHER | {"min_guidance_scale": 1.0},
    }
    del stored["settings"][name]
    assert getattr(Recipe.from_json(json.dumps(stored)).settings, name) == FIRST[name]


def test_a_later_default_is_not_what_older_recipes_mean(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path)
    settings = tree / "svdlab" / "recipes" / "settings.py"
    text = settings.read_text(encoding="utf-8")
    shown = text.replace("fps: int = _knob(\n        6,", "fps: int = _knob(\n        8,")
    shown = shown.replace('unit="fps",\n', 'unit="fps",\n        introduced=6,\n', 1)
    assert shown != text
    settings.write_text(shown, encoding="utf-8")
    said = run_on(
        tree,
        "from svdlab.recipes.records import Recipe\n"
        "from svdlab.recipes.settings import GenerationSettings as S\n"
        "old = Recipe(checkpoint='demo-1-0', picture_sha256='a' * 64, settings={})\n"
        "print(S().fps, old.settings.fps, old.hash)",
    )
    assert said.split() == ["8", "6", HASHES[0][3]]


FINDS = """
import sys
from svdlab.clips.video import read_comment
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import GenerationSettings

assert GenerationSettings().grain == 0.5
folder, *hashes = sys.argv[1:]
with Lab(folder) as lab:
    runs = lab.history.runs()
    assert [run.recipe.hash for run in runs] == hashes, "rows"
    assert [run.settings.grain for run in runs] == [0.0] * len(runs)
    for run in runs:
        assert Recipe.from_json(read_comment(run.video)) == run.recipe, "the recipe in an old video"
        assert lab.before.run(run.recipe).recipe == run.recipe, "rendered before"
        assert lab.before.run(run.recipe.model_copy(update={"settings": run.settings.but(grain=0.1)})) is None
    assert lab.doctor() == [], lab.doctor()
    again = lab.submit(runs[0].recipe.model_copy(update={"settings": runs[0].settings.but(grain=0.25)}))
    assert Recipe.from_json(again.recipe.to_json()).settings.grain == 0.25
    print(again.id)
    lab.cancel(again.id)
    assert lab.doctor() == [], lab.doctor()
"""


def test_a_knob_that_comes_later_leaves_rows_videos_and_rendered_before_intact(tmp_path: Path) -> None:
    with Lab(tmp_path / "data") as lab:
        make_run(lab, seed=1)
        make_pair(lab, seed=2)
        hashes = [run.recipe.hash for run in lab.history.runs()]
    tree = tmp_path / "later"
    copy_tree(tree)
    add_knob(tree)
    run_on(tree, FINDS, tmp_path / "data", *hashes)


NEW_PART = """    dtype: str = ""
"""
ASKS = """
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import GenerationSettings as S
old = Recipe(checkpoint="demo-1-0", picture_sha256="a" * 64, settings=S())
half = old.model_copy(update={"dtype": "float16"})
assert Recipe.from_json(half.to_json()) == half and "dtype" not in old.to_json()
print(old.hash, half.hash == old.hash)
"""


def test_more_that_is_asked_for_beside_the_knobs_moves_no_old_hash(tmp_path: Path) -> None:
    recipes = copy_tree(tmp_path) / "svdlab" / "recipes"
    insert_before(recipes / "records.py", "    versions: dict[Plain, Plain]", NEW_PART)
    identity = recipes / "identity.py"
    text = identity.read_text(encoding="utf-8")
    assert "LATER_PARTS: dict[str, Any] = {" in text
    identity.write_text(
        text.replace("LATER_PARTS: dict[str, Any] = {", 'LATER_PARTS: dict[str, Any] = {"dtype": "", ')
    )
    assert run_on(tmp_path, ASKS).split() == [HASHES[0][3], "False"]
