"""What is asked for is checked where it is accepted, wherever its recipe comes from, and once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from svdlab.errors import BadInput, BadSettings, NotFound
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import GenerationSettings
from tests.made import SMALL, make_run, picture_of

IMPOSSIBLE = [
    ({"width": 100}, "width must be a multiple of "),
    ({"height": 70}, "height must be a multiple of "),
    ({"decoder": "image"}, "decoder must be temporal for demo-1-0, got image"),
    (
        {"width": 2048, "height": 2048, "num_frames": 100},
        "num_frames must be at most 32 at 2048×2048, got 100",
    ),
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def recipe(lab: Lab, checkpoint: str = "demo-1-0", **changes: object) -> Recipe:
    settings = GenerationSettings.parse({**SMALL, "seed": 7, **changes})
    return lab.recipe(checkpoint, lab.add_picture(picture_of(0)), settings)


@pytest.mark.parametrize(("changes", "sentence"), IMPOSSIBLE)
def test_what_a_checkpoint_cannot_do_is_refused_where_it_is_accepted(
    lab: Lab, changes: dict[str, object], sentence: str
) -> None:
    asked = recipe(lab, **changes)
    for accept in (
        lambda: lab.submit(asked),
        lambda: lab.submit_comparison(asked, recipe(lab, "demo-1-1")),
        lambda: lab.submit_comparison(recipe(lab, "demo-1-1"), asked),
        lambda: lab.notes("demo-1-0", asked.settings),  # the same sentence, ahead of time
    ):
        with pytest.raises(BadSettings) as raised:
            accept()
        assert str(raised.value).startswith(sentence)
        assert raised.value.field == sentence.split(maxsplit=1)[0]
    assert lab.history.runs() == []


@pytest.mark.parametrize(("name", "value"), [("fps", 0), ("num_frames", "many"), ("seed", -2), ("glow", 1)])
def test_what_no_checkpoint_can_do_never_becomes_settings(lab: Lab, name: str, value: object) -> None:
    with pytest.raises(BadSettings, match=name):
        lab.settings("demo-1-0", {name: value} if name != "seed" else {}, seed=-2 if name == "seed" else 7)


def test_a_recipe_whose_picture_or_checkpoint_is_not_here_is_refused(lab: Lab) -> None:
    asked = recipe(lab)
    with pytest.raises(NotFound, match="picture of that recipe is not in this lab"):
        lab.submit(asked.model_copy(update={"picture_sha256": "0" * 64}))
    with pytest.raises(NotFound, match="checkpoint"):
        lab.submit(asked.model_copy(update={"checkpoint": "no-such"}))
    assert lab.history.runs() == []


def test_two_finished_runs_are_paired_once(lab: Lab) -> None:
    first, second = make_run(lab), make_run(lab, 8)
    pair = lab.pair(first.id, second.id)
    assert lab.pair(first.id, second.id) == pair
    assert lab.pair(second.id, first.id) != pair  # A and B are sides
    with pytest.raises(BadInput, match="choose two different runs that are finished"):
        lab.pair(first.id, first.id)


def test_each_side_of_a_comparison_decodes_with_what_it_has(lab: Lab) -> None:
    picture = lab.add_picture(picture_of(0))
    a, b = lab.comparison_recipes(
        picture, "svd-xt-image-decoder", "svd-xt-1-1", seed=6, changes={"decoder": "image"}
    )
    assert (a.settings.decoder, b.settings.decoder) == ("image", "temporal")
    assert a.settings.but(decoder="temporal") == b.settings
