"""The page of one run in a real Chromium: what it says, the marks on it, the bin, its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from svdlab.exchange.restore import restore
from svdlab.history.run_files import read_measured
from tests.ui.conftest import Filled

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_one_run_has_a_page_of_its_own(filled: Filled, page_1440: Page, screenshots: Path) -> None:
    run = filled.runs[2]
    page = page_1440
    page.goto(filled.page_of(run))
    page.locator("#run-player [data-ready=true]").wait_for()
    facts = page.locator(".run-facts")
    changed = facts.locator("dd.changed", has_text="100")
    assert "own: 127" in changed.first.inner_text()
    for said in ("Camera motion", "px/frame", "Denoising", "Peak of memory", "0.1 GB", "torch", "2.8.0"):
        assert said in facts.inner_text()
    assert page.locator(".frame nav a[aria-current]").inner_text() == "History"
    page.locator(".run-recipe summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 1440, "the recipe scrolls in its own box"
    page.screenshot(path=screenshots / "run-1440.png", full_page=True)
    page.locator(".run-star").click()
    page.get_by_text("★ Starred").wait_for()
    page.get_by_role("radio", name="5 of 5").click()
    page.wait_for_function("document.querySelectorAll('.stars .lit').length === 5")
    page.locator(".run-note textarea").fill("Steady to the end.")
    page.get_by_text("Saved.").wait_for()
    page.locator(".run").get_by_label("Tag to add").fill("keep")
    page.keyboard.press("Enter")
    page.get_by_label("Remove the tag keep").wait_for()
    page.wait_for_function("document.querySelector('.run-note textarea').value === 'Steady to the end.'")
    kept = filled.lab.history.get(run.id)
    assert (kept.starred, kept.rating, kept.note, kept.tags) == (True, 5, "Steady to the end.", ("keep",))
    page.get_by_role("button", name="Delete").click()
    page.get_by_text("This is in the bin").wait_for()
    page.get_by_role("button", name="Take back").first.click()
    page.get_by_role("button", name="Delete").wait_for()
    assert filled.lab.history.get(run.id).deleted is None


def test_lines_over_frames_follow_the_player_and_lead_to_a_frame(filled: Filled, page_1440: Page) -> None:
    page = page_1440
    page.goto(filled.page_of(filled.runs[2]))
    page.locator("#run-player [data-ready=true]").wait_for()
    plot = page.locator(".plot", has_text="Camera motion").locator("svg")
    box = plot.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.99, box["y"] + 10)
    page.locator('#run-player [data-frame="3"]').wait_for()
    series = read_measured(filled.runs[2].folder).series["camera_motion"]
    said = page.locator(".plot", has_text="Camera motion").locator(".plot-values")
    assert said.inner_text() == f"{series[3]:.2f} px/frame"
    page.mouse.click(box["x"] + 2, box["y"] + 10)
    page.locator('#run-player [data-frame="0"]').wait_for()
    assert said.inner_text() == "– px/frame"  # nothing moved yet
    assert page.locator(".camera-path polyline").count() == 1


def test_one_row_over_time_shows_the_camera_and_leads_to_a_frame(
    filled: Filled, page_1440: Page, screenshots: Path
) -> None:
    page, run = page_1440, filled.runs[2]
    page.goto(filled.page_of(run))
    page.locator(".slices[data-painted='4']").wait_for()
    bands = page.evaluate(
        """() => {
            const canvas = document.querySelector('.slice canvas'), pen = canvas.getContext('2d');
            const band = canvas.height / 4;
            return [0, 1, 2, 3].map((index) => [...pen.getImageData(0, index * band + 1, canvas.width, 1).data]);
        }"""
    )
    rows = np.array(bands).reshape(4, -1, 4)[..., :3].astype(float)
    shift = 1 + run.settings.seed % 5  # px a frame that the drawn clip moves by
    for index in range(1, 4):
        moved = np.roll(rows[0], shift * index, axis=0)
        assert np.abs(rows[index] - moved).mean() < 6 < np.abs(rows[index] - rows[0]).mean()
    box = page.locator(".slice").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 20, box["y"] + box["height"] * 0.9)
    page.locator('#run-player [data-frame="3"]').wait_for()
    page.locator(".plots").scroll_into_view_if_needed()
    page.screenshot(path=screenshots / "run-slices-1440.png")


def test_a_run_without_its_video_says_so(filled: Filled, page_1440: Page) -> None:
    filled.runs[0].video.unlink()
    page_1440.goto(filled.page_of(filled.runs[0]))
    page_1440.get_by_text("Its video was removed from the data folder").wait_for()
    page_1440.goto(filled.page_of(filled.failed))
    page_1440.get_by_text("Memory ran out.").wait_for()


def test_a_run_goes_to_comfyui_as_a_workflow(filled: Filled, page_1440: Page, tmp_path: Path) -> None:
    page = page_1440
    page.goto(filled.page_of(filled.runs[2]))
    with page.expect_download() as got:
        page.get_by_text("ComfyUI workflow", exact=True).click()
    assert got.value.suggested_filename.endswith("-comfyui.json")
    found = restore(filled.lab, Path(got.value.path()).read_bytes())
    assert found.settings == filled.runs[2].settings
    page.get_by_text("What differs in ComfyUI").click()
    assert page.locator(".run-differs li").count() > 0


def test_a_run_that_is_not_there_gets_a_sentence(filled: Filled, page_1440: Page) -> None:
    for address in ("run?run=nothing", "run"):
        page_1440.goto(filled.address + address)
        page_1440.locator(".run-absent .error", has_text="There is no run").wait_for()
        assert not page_1440.locator(".run-side").is_visible()
    page_1440.get_by_role("link", name="History").last.click()
    page_1440.wait_for_url("**/history")


def test_on_a_phone_nothing_is_cut_off(filled: Filled, page_390: Page, screenshots: Path) -> None:
    page_390.goto(filled.page_of(filled.runs[2]))
    page_390.locator("#run-player [data-ready=true]").wait_for()
    assert page_390.evaluate("document.documentElement.scrollWidth") == 390
    page_390.screenshot(path=screenshots / "run-390.png", full_page=True)
