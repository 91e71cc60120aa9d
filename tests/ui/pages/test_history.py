"""The History page in a real Chromium: finding, marking, the bin, two beside each other, several in step."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas
import pytest

from svdlab.environment import Environment
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Run
from svdlab.ui import launch
from tests.ui.conftest import NASTY, Filled

if TYPE_CHECKING:
    from playwright.sync_api import Page


def visit(page: Page, address: str) -> Page:
    page.goto(address)
    page.locator(".gallery-count", has_text=re.compile(r"\d")).wait_for()
    return page


def shown(page: Page) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('.gallery-tile')].map((tile) => tile.dataset.id)")


def settle(page: Page, count: str) -> None:
    page.get_by_text(count, exact=True).wait_for()


def listed(page: Page, *runs: Run) -> None:
    """Waits until these runs are all there is, in this order."""
    ids = json.dumps([run.id for run in runs])
    page.wait_for_function(
        f"JSON.stringify([...document.querySelectorAll('.gallery-tile')].map((tile) => tile.dataset.id)) === "
        f"JSON.stringify({ids})"
    )


def choose(page: Page, *runs: Run) -> None:
    for run in runs:
        box = page.locator(f".gallery-tile[data-id='{run.id}']")
        box.hover()
        box.locator(".gallery-pick input").check()


def test_the_gallery_shows_everything_newest_first_and_plays_under_the_pointer(
    filled: Filled, page_1440: Page, screenshots: Path
) -> None:
    page = visit(page_1440, filled.history)
    settle(page, "9 clips")
    assert shown(page)[:7] == [filled.failed.id, *(run.id for run in reversed(filled.runs))]
    newest = page.locator(f".gallery-tile[data-id='{filled.runs[5].id}']")
    assert "bucket 190 · 6 fps · 4 frames · seed 5" in newest.inner_text()
    assert "Failed" in page.locator(f".gallery-tile[data-id='{filled.failed.id}']").inner_text()
    newest.hover()
    page.wait_for_function("document.querySelector('.gallery-tile video')?.currentTime > 0")
    page.screenshot(path=screenshots / "history-1440.png")
    page.get_by_role("button", name="Comparisons").click()
    page.wait_for_function("document.querySelectorAll('.gallery-tile').length === 1")
    assert "Demo 1.0 | Demo 1.1" in page.locator(".gallery-tile").inner_text()


def test_a_note_is_text_whatever_it_holds(filled: Filled, page_1440: Page) -> None:
    page = visit(page_1440, filled.history)
    settle(page, "9 clips")
    assert NASTY in page.locator(f".gallery-tile[data-id='{filled.runs[3].id}']").inner_text()
    page.goto(filled.page_of(filled.runs[3]))
    page.locator(".run-title").wait_for()
    assert page.locator(".run-note textarea").input_value() == NASTY
    assert page.title() != "taken"
    assert page.locator("img[src='x']").count() == 0


def test_an_address_of_before_leads_to_the_runs_own_page(filled: Filled, page_1440: Page) -> None:
    page_1440.goto(f"{filled.history}?run={filled.runs[1].id}")
    page_1440.wait_for_url(filled.page_of(filled.runs[1]))
    page_1440.locator(".run-title").wait_for()


def test_filters_and_order_find_runs_and_stand_in_the_address(
    filled: Filled, page_1440: Page, screenshots: Path
) -> None:
    page, runs = visit(page_1440, filled.history), filled.runs
    settle(page, "9 clips")
    page.get_by_role("button", name="Filters").click()
    page.locator("select[name=tag]").select_option("beach")
    listed(page, runs[0])
    page.locator("select[name=tag]").select_option("")
    page.get_by_label("With a star").check()
    listed(page, runs[1])
    page.get_by_label("With a star").uncheck()
    page.locator("select[name=state]").select_option("failed")
    listed(page, filled.failed)
    page.locator("select[name=state]").select_option("done")
    page.locator("select[name=checkpoint]").select_option("demo-1-1")
    settle(page, "4 clips")
    page.locator("select[name=sort]").select_option("motion_bucket_id")
    page.get_by_text("Motion bucket 190").wait_for()
    page.get_by_role("button", name="Largest or newest first").click()
    page.get_by_role("button", name="Smallest or oldest first").wait_for()
    page.wait_for_function(f"document.querySelector('.gallery-tile').dataset.id === '{runs[1].id}'")
    assert shown(page)[-1] == runs[5].id
    page.locator("select[name=checkpoint]").select_option("")
    page.get_by_label("Words to look for").fill("beach demo-1-0")
    listed(page, runs[0])
    page.screenshot(path=screenshots / "history-filters-1440.png")
    page.reload()  # the address has it all
    listed(page, runs[0])
    assert page.get_by_label("Words to look for").input_value() == "beach demo-1-0"
    assert page.locator("select[name=state]").input_value() == "done"
    page.get_by_label("Words to look for").fill("nowhere")
    page.get_by_text("Nothing fits these filters.").wait_for()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("?sort=colour", "cannot be sorted by 'colour'"),
        ("?since=yesterday", "From must be a day such as 2026-01-31, got 'yesterday'."),
        ("?rating=9", "must be a whole number from 0 to 5"),
        ("?picture=../../etc", "must be the hash of a picture"),
        ("?wall=nothing", "There is no run 'nothing'."),
    ],
)
def test_an_address_that_asks_for_nonsense_gets_a_sentence(
    filled: Filled, page_1440: Page, address: str, said: str
) -> None:
    page_1440.goto(filled.history + address)
    page_1440.locator(".gallery-error").wait_for()
    assert said in page_1440.locator(".gallery-error").inner_text()


def test_more_runs_than_one_page_holds_come_as_one_goes_on(filled: Filled, page_1440: Page) -> None:
    for seed in range(100, 150):
        filled.lab.submit(
            filled.runs[0].recipe.model_copy(update={"settings": filled.runs[0].settings.but(seed=seed)})
        )
    page = visit(page_1440, filled.history)
    settle(page, "59 clips")
    assert len(shown(page)) == 48
    page.get_by_role("button", name="Show more").click()
    page.wait_for_function("document.querySelectorAll('.gallery-tile').length === 59")
    assert len(set(shown(page))) == 59
    assert not page.get_by_role("button", name="Show more").is_visible()


def test_deleting_is_undone_by_a_click_and_by_the_bin(filled: Filled, page_1440: Page) -> None:
    page = visit(page_1440, filled.history)
    settle(page, "9 clips")
    choose(page, filled.runs[0], filled.runs[1])
    page.get_by_text("2 selected").wait_for()
    page.get_by_role("button", name="Delete").click()
    page.get_by_text("2 things put into the bin.").wait_for()
    assert filled.lab.history.get(filled.runs[0].id).deleted is not None
    page.get_by_role("button", name="Undo").click()
    settle(page, "9 clips")
    assert filled.lab.history.get(filled.runs[0].id).deleted is None
    filled.lab.delete([filled.runs[2].id])
    page.goto(filled.history + "?bin=1")
    settle(page, "1 clip in the bin")
    choose(page, filled.runs[2])
    page.get_by_role("button", name="Take back").click()
    page.get_by_text("The bin is empty.").wait_for()
    assert filled.lab.history.get(filled.runs[2].id).deleted is None


def test_several_are_starred_and_tagged_at_once(filled: Filled, page_1440: Page) -> None:
    page = visit(page_1440, filled.history)
    settle(page, "9 clips")
    choose(page, filled.runs[4], filled.runs[5])
    bar = page.locator(".gallery-bar")
    bar.get_by_role("button", name="Star", exact=True).click()
    bar.get_by_role("button", name="Take star away").wait_for()
    bar.get_by_label("Tag to add").fill("Night")
    bar.get_by_role("button", name="Add tag").click()
    page.locator(".gallery-about", has_text="#night").nth(1).wait_for()
    assert [filled.lab.history.get(run.id).starred for run in filled.runs[4:]] == [True, True]
    assert filled.lab.history.get(filled.runs[5].id).tags == ("night",)
    page.get_by_role("button", name="Clear").click()
    assert not bar.is_visible()


def test_two_are_compared_after_it_was_said_what_differs(
    filled: Filled, page_1440: Page, screenshots: Path
) -> None:
    page = visit(page_1440, filled.history)
    settle(page, "9 clips")
    choose(page, filled.runs[1], filled.runs[2])
    page.get_by_text("Motion bucket is 100 on A and 70 on B.").or_(
        page.get_by_text("Motion bucket is 70 on A and 100 on B.")
    ).wait_for()
    page.screenshot(path=screenshots / "history-selected-1440.png")
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_url("**/compare?compare=*")
    page.get_by_text("Not a fair comparison").wait_for()
    pairs = len(filled.lab.history.comparisons())
    page.goto(filled.history)
    settle(page, "9 clips")
    choose(page, filled.runs[1], filled.runs[2])
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_url("**/compare?compare=*")
    assert len(filled.lab.history.comparisons()) == pairs  # the same two are one comparison


def test_several_play_in_step(filled: Filled, page_1440: Page, screenshots: Path) -> None:
    page = visit(page_1440, filled.history)
    settle(page, "9 clips")
    choose(page, *filled.runs[:3])
    page.get_by_role("button", name="Play together").click()
    page.locator(".wall[data-ready=true]").wait_for()
    assert page.locator(".wall canvas").count() == 3
    assert "Motion bucket 70" in page.locator(".wall figcaption").nth(1).inner_text()
    page.get_by_role("button", name="Pause").click()
    page.keyboard.press("Home")
    page.locator(".wall-scrub").fill("2")
    assert page.locator(".wall").get_attribute("data-frame") == "2"
    page.screenshot(path=screenshots / "history-wall-1440.png")


def test_clips_are_asked_for_by_any_knob_or_metric(filled: Filled, page_1440: Page) -> None:
    page = visit(page_1440, f"{filled.history}?where=seed%3E3+seed%3C90")
    listed(page, filled.failed, filled.runs[5], filled.runs[4])
    box = page.get_by_label("Where")
    assert box.input_value() == "seed>3 seed<90"
    box.fill("motion_bucket_id=100, fidelity!=none")
    listed(page, filled.runs[2])
    assert "where=motion_bucket_id%3D100%2C+fidelity%21%3Dnone" in page.url
    box.fill("beauty>1")
    page.locator(".gallery-error", has_text="Runs have no 'beauty' to ask for").wait_for()


@pytest.mark.parametrize("kind", ["csv", "parquet", "zip"])
def test_chosen_runs_are_exported(filled: Filled, page_1440: Page, kind: str) -> None:
    page = visit(page_1440, filled.history)
    settle(page, "9 clips")
    choose(page, *filled.runs[:2])
    with page.expect_download() as got:
        page.get_by_label("Export").select_option(kind)
    content = io.BytesIO(Path(got.value.path()).read_bytes())
    if kind == "zip":
        with zipfile.ZipFile(content) as archive:
            assert f"runs/{filled.runs[0].id}/video.mp4" in archive.namelist()
        return
    table = pandas.read_csv(content) if kind == "csv" else pandas.read_parquet(content)
    assert sorted(table["id"]) == [run.id for run in filled.runs[:2]]
    assert sorted(table["motion_bucket_id"]) == [40, 70]


def test_on_a_phone_nothing_is_cut_off(filled: Filled, page_390: Page, screenshots: Path) -> None:
    page = visit(page_390, filled.history)
    settle(page, "9 clips")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.screenshot(path=screenshots / "history-390.png", full_page=True)


def test_on_a_shared_machine_a_visitor_sees_their_own_runs_only(
    filled: Filled, new_page: Callable[..., Page]
) -> None:
    space = Environment.read({"SPACE_ID": "someone/space"})
    with Lab(filled.lab.data_dir, environment=space) as shared:
        page = new_page(1440, 900)
        page.goto(launch(shared, port=None, block=False) + "history")
        page.get_by_text("Nothing has been rendered yet.").wait_for()
        assert shown(page) == []
        assert not page.locator(".gallery-filters").is_visible()
