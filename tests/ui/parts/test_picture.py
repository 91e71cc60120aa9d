"""The picture box in a real Chromium: what a dropped file brings back, and what it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from svdlab.exchange.restore import workflow_of
from tests.ui.conftest import Filled

if TYPE_CHECKING:
    from playwright.sync_api import Page


def drop(page: Page, where: str, file: Path) -> None:
    page.set_input_files(f"{where} input[type=file]", file)


@pytest.mark.parametrize("kind", ["mp4", "poster", "json", "workflow"])
def test_a_file_of_a_run_brings_its_settings_back_on_explore(
    filled: Filled, page_1440: Page, tmp_path: Path, screenshots: Path, kind: str
) -> None:
    run = filled.runs[4]
    recipe, workflow = tmp_path / "recipe.json", tmp_path / "workflow.json"
    recipe.write_text(run.recipe.to_json())
    workflow.write_text(workflow_of(filled.lab, run).text(ui=True))
    file = {"mp4": run.video, "poster": run.poster, "json": recipe, "workflow": workflow}[kind]
    page = page_1440
    page.goto(filled.address)
    page.locator("#explore-picture .shown img[src^='data:']").wait_for()
    before = page.locator("#explore-picture .shown img").get_attribute("src")
    drop(page, "#explore-picture", file)
    source = "its ComfyUI workflow" if kind == "workflow" else "its recipe"
    page.get_by_text(f"{file.name}: the settings were read from {source}.").wait_for()
    page.wait_for_function("document.querySelector('#explore-motion_bucket_id').value === '160'")
    assert page.locator("#explore-seed").input_value() == "4"
    assert page.locator("#explore-checkpoint select").input_value() == "demo-1-0"
    assert page.locator("#explore-picture .shown img").get_attribute("src") != before
    page.locator("#explore-player [data-ready=true]").wait_for()  # it is in the history, so it plays
    page.screenshot(path=screenshots / f"restored-{kind}-1440.png")
    as_picture = page.get_by_role("button", name="Use the file itself as the picture")
    assert as_picture.is_visible() == (kind == "poster")


def test_a_poster_can_be_the_picture_instead(filled: Filled, page_1440: Page) -> None:
    page = page_1440
    page.goto(filled.address)
    page.locator("#explore-picture .shown img[src^='data:']").wait_for()
    drop(page, "#explore-picture", filled.runs[4].poster)
    page.get_by_role("button", name="Use the file itself as the picture").click()
    page.get_by_text("the settings were read from").wait_for(state="hidden")
    page.wait_for_function(
        "document.querySelector('#explore-picture .shown img').alt.includes('poster.webp')"
    )


def test_what_a_file_cannot_bring_back_is_said(filled: Filled, page_1440: Page, tmp_path: Path) -> None:
    page = page_1440
    page.goto(filled.address)
    page.locator("#explore-picture .shown img[src^='data:']").wait_for()
    before = page.locator("#explore-picture .shown img").get_attribute("src")
    strange = tmp_path / "strange.json"
    gone = filled.runs[0].recipe.model_copy(update={"picture_sha256": "a" * 64, "checkpoint": "svd-4"})
    strange.write_text(gone.to_json())
    drop(page, "#explore-picture", strange)
    page.get_by_text("strange.json: the settings were read from its recipe.").wait_for()
    said = page.locator("#explore-picture .picture-notes").inner_text()
    assert "svd-4" in said
    assert "picture" in said.split(".", 2)[2]
    assert page.locator("#explore-picture .shown img").get_attribute("src") == before
    nothing = tmp_path / "nothing.json"
    nothing.write_text("[1, 2]")
    drop(page, "#explore-picture", nothing)
    page.locator("#explore-picture .picture-error", has_text="nothing.json").wait_for()
    assert page.locator("#explore-picture .shown img").get_attribute("src") == before


def test_a_clip_dropped_on_compare_fills_it(filled: Filled, page_1440: Page) -> None:
    page = page_1440
    page.goto(filled.address + "compare")
    page.locator("#compare-picture .shown img[src^='data:']").wait_for()
    drop(page, "#compare-picture", filled.runs[3].video)
    page.get_by_text("the settings were read from its recipe.").wait_for()
    page.wait_for_function("document.querySelector('#compare-motion_bucket_id').value === '130'")
    assert page.locator("#compare-a select").input_value() == "demo-1-0"
    assert page.locator("#compare-b select").input_value() == "demo-1-1"
