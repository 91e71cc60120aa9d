"""A first visit begins with an example's clip, if it was rendered, and says what it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from svdlab.lab.examples import CHECKPOINT, SEED, TAG, clip_of, example_pictures, missing, recipe_of
from svdlab.lab.lab import Lab
from svdlab.ui import launch
from tests.made import render

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that has the first two examples' clips."""
    with Lab(tmp_path_factory.mktemp("examples") / "data") as lab:
        for path in example_pictures()[:2]:
            run = lab.submit(recipe_of(lab, path))
            size = run.settings.width, run.settings.height
            with Image.open(path) as picture:
                render(lab, run, picture.convert("RGB").resize(size))
            lab.history.tag(run.id, TAG)
        yield lab


def test_an_examples_clip_is_found_by_what_makes_it(lab: Lab) -> None:
    run = clip_of(lab, 0)
    assert run is not None
    assert (run.recipe.checkpoint, run.settings.seed) == (CHECKPOINT, SEED)
    assert clip_of(lab, 2) is None
    assert clip_of(lab, 99) is None
    assert missing(lab) == list(example_pictures()[2:])


def test_a_first_visit_shows_a_clip_and_what_it_is(lab: Lab, page_1440: Page) -> None:
    page_1440.goto(launch(lab, port=None, block=False))
    page_1440.locator("#explore-player [data-svdlab-player][data-playing=true]").wait_for()
    note = page_1440.locator("#explore-result .result-note")
    note.get_by_text("An example, rendered when this lab was first started.").wait_for()
    first = clip_of(lab, 0)
    assert first is not None
    page_1440.locator(f".get-video[href*='{first.id}']").wait_for()
    assert page_1440.locator("#explore-seed").input_value() == str(SEED)
    second = clip_of(lab, 1)
    assert second is not None
    page_1440.locator("#explore-picture [data-example='1']").click()
    page_1440.locator(f".get-video[href*='{second.id}']").wait_for()
    page_1440.locator("#explore-picture [data-example='2']").click()  # it has none: the picture is there
    page_1440.locator("#explore-picture .shown img[src^='data:']").wait_for()
