"""Recipes as they are kept and read back."""

from __future__ import annotations

import json

import pytest

from svdlab.errors import BadVideo
from svdlab.recipes.loras import Lora
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import GenerationSettings

SETTINGS = GenerationSettings(num_frames=14)
RECIPE = Recipe(checkpoint="demo-1-0", picture_sha256="a" * 64, settings=SETTINGS)


def test_a_recipe_survives_json_and_versions_do_not_change_its_hash() -> None:
    rendered = RECIPE.model_copy(update={"versions": {"torch": "2"}})
    assert Recipe.from_json(rendered.to_json()) == rendered
    assert rendered.hash == RECIPE.hash
    assert RECIPE.model_copy(update={"checkpoint": "demo-1-1"}).hash != RECIPE.hash


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "[" * 100_000,
        RECIPE.to_json().replace('"fps": 6', '"fps": NaN'),
        RECIPE.to_json().replace('"fps": 6', '"fps": 600'),
        RECIPE.to_json().replace("demo-1-0", "../../etc/passwd"),
        RECIPE.to_json().replace("demo-1-0", "<script>"),
        RECIPE.to_json()[:-1] + ', "run": "rm -rf /"}',
        json.dumps({"a": "x" * 70_000}),
    ],
    ids=["empty", "null", "no keys", "deep", "nan", "range", "path", "tags", "extra key", "too large"],
)
def test_a_hostile_recipe_is_refused_with_one_sentence(text: str) -> None:
    with pytest.raises(BadVideo) as refused:
        Recipe.from_json(text)
    assert "\n" not in str(refused.value)


def test_a_recipe_with_a_knob_of_a_newer_svdlab_says_so() -> None:
    newer = json.loads(RECIPE.to_json())
    newer["settings"]["grain"] = 0.5
    with pytest.raises(BadVideo, match="a newer svdlab's: it sets grain, which this one does not know"):
        Recipe.from_json(json.dumps(newer))
    for wrong in ({"fps": 600}, {"<script>": 1}, {"x" * 41: 1}):
        with pytest.raises(BadVideo, match="no svdlab recipe, or one that was changed"):
            Recipe.from_json(json.dumps({**newer, "settings": {**newer["settings"], **wrong}}))


def test_loras_are_part_of_what_a_recipe_is_in_whatever_order() -> None:
    plain = Recipe(checkpoint="demo-1-0", picture_sha256="a" * 64, settings=GenerationSettings())
    one, two = Lora(sha256="1" * 64, strength=0.8), Lora(sha256="2" * 64)
    both = Recipe(**{**plain.model_dump(), "loras": (two, one)})
    assert both.loras == (one, two)
    assert Recipe.from_json(both.to_json()) == both
    assert "lora" not in plain.to_json()
    softer = Recipe(**{**plain.model_dump(), "loras": (two, one.model_copy(update={"strength": 0.7}))})
    assert len({plain.hash, both.hash, softer.hash}) == 3


@pytest.mark.parametrize(
    "loras",
    [
        [{"sha256": "1" * 64, "strength": 11}],
        [{"sha256": "1" * 64, "strength": None}],
        [{"sha256": "../up"}],
        [{"sha256": "1" * 64, "path": "/etc/passwd"}],
        [{"sha256": "1" * 64}] * 2,
        [{"sha256": f"{n:064x}"} for n in range(9)],
        "all",
    ],
)
def test_loras_that_cannot_be_are_refused_in_a_file(loras: object) -> None:
    plain = Recipe(checkpoint="demo-1-0", picture_sha256="a" * 64, settings=GenerationSettings())
    with pytest.raises(BadVideo):
        Recipe.from_json(json.dumps({**json.loads(plain.to_json()), "loras": loras}))
