"""The History page in a real Chromium: finding, marking, the bin, one run, two beside each other, several in step.

The clips are drawn by the tests and recorded by the lab as any worker's are; no model is needed to look at them.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas
import pytest

from svdlab.exchange.restore import restore, workflow_of
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Run
from svdlab.ui import launch
from tests.made import make_pair, make_run, picture_of
from tests.snapshot import Snapshot

if TYPE_CHECKING:
    from playwright.sync_api import Page

NASTY = "<img src=x onerror=\"document.title='taken'\">"


@dataclass(frozen=True)
class Served:
    """A lab with six finished runs of two pictures, one that failed, and a pair."""

    lab: Lab
    address: str
    runs: tuple[Run, ...]
    failed: Run


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Snapshot]]:
    folder = tmp_path_factory.mktemp("history")
    with Lab(folder / "data") as lab:
        pair = make_pair(lab, seed=90)
        lab.history.note(pair.id, "the pair")
        runs = tuple(
            make_run(
                lab,
                seed=seed,
                picture=picture_of(seed // 3),
                checkpoint=("demo-1-0", "demo-1-1")[seed % 2],
                motion_bucket_id=40 + 30 * seed,
            )
            for seed in range(6)
        )
        lab.history.tag(runs[0].id, "beach")
        lab.history.set_star(runs[1].id)
        lab.history.rate(runs[2].id, 4)
        lab.history.note(runs[3].id, NASTY)
        waiting = lab.submit(runs[5].recipe)
        desk = Desk(lab, only=[waiting.id])
        [claimed] = desk.claim()
        desk.fail(claimed, "memory ran out")
        address = launch(lab, port=None, block=False) + "history"
        yield Served(lab, address, runs, lab.history.get(waiting.id)), Snapshot(lab, folder)


@pytest.fixture
def served(site: tuple[Served, Snapshot]) -> Iterator[Served]:
    """The one server of all these tests, over the runs as they were at first."""
    served, snapshot = site
    yield served
    snapshot.put_back()


def visit(page: Page, address: str) -> Page:
    page.goto(address)
    page.locator(".past-count", has_text=re.compile(r"\d")).wait_for()
    return page


def shown(page: Page) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('.past-tile')].map((tile) => tile.dataset.id)")


def settle(page: Page, count: str) -> None:
    page.get_by_text(count, exact=True).wait_for()


def listed(page: Page, *runs: Run) -> None:
    """Waits until these runs are all there is, in this order."""
    ids = json.dumps([run.id for run in runs])
    page.wait_for_function(
        f"JSON.stringify([...document.querySelectorAll('.past-tile')].map((tile) => tile.dataset.id)) === "
        f"JSON.stringify({ids})"
    )


def choose(page: Page, *runs: Run) -> None:
    for run in runs:
        box = page.locator(f".past-tile[data-id='{run.id}']")
        box.hover()
        box.locator(".past-pick input").check()


def test_the_gallery_shows_everything_newest_first_and_plays_under_the_pointer(
    served: Served, page_1440: Page, screenshots: Path
) -> None:
    page = visit(page_1440, served.address)
    settle(page, "9 clips")
    assert shown(page)[:7] == [served.failed.id, *(run.id for run in reversed(served.runs))]
    newest = page.locator(f".past-tile[data-id='{served.runs[5].id}']")
    assert "bucket 190 · 6 fps · 4 frames · seed 5" in newest.inner_text()
    assert "Failed" in page.locator(f".past-tile[data-id='{served.failed.id}']").inner_text()
    newest.hover()
    page.wait_for_function("document.querySelector('.past-tile video')?.currentTime > 0")
    page.screenshot(path=screenshots / "history-1440.png")
    page.get_by_role("button", name="Comparisons").click()
    page.wait_for_function("document.querySelectorAll('.past-tile').length === 1")
    assert "Demo 1.0 | Demo 1.1" in page.locator(".past-tile").inner_text()


def test_a_note_is_text_whatever_it_holds(served: Served, page_1440: Page) -> None:
    page = visit(page_1440, served.address)
    settle(page, "9 clips")
    assert NASTY in page.locator(f".past-tile[data-id='{served.runs[3].id}']").inner_text()
    page.goto(f"{served.address}?run={served.runs[3].id}")
    page.locator(".one-title").wait_for()
    assert page.locator(".one-note textarea").input_value() == NASTY
    assert page.title() != "taken"
    assert page.locator("img[src='x']").count() == 0


def test_filters_and_order_find_runs_and_stand_in_the_address(
    served: Served, page_1440: Page, screenshots: Path
) -> None:
    page, runs = visit(page_1440, served.address), served.runs
    settle(page, "9 clips")
    page.get_by_role("button", name="Filters").click()
    page.locator("select[name=tag]").select_option("beach")
    listed(page, runs[0])
    page.locator("select[name=tag]").select_option("")
    page.get_by_label("With a star").check()
    listed(page, runs[1])
    page.get_by_label("With a star").uncheck()
    page.locator("select[name=state]").select_option("failed")
    listed(page, served.failed)
    page.locator("select[name=state]").select_option("done")
    page.locator("select[name=checkpoint]").select_option("demo-1-1")
    settle(page, "4 clips")
    page.locator("select[name=sort]").select_option("motion_bucket_id")
    page.get_by_text("Motion bucket 190").wait_for()
    page.get_by_role("button", name="Largest or newest first").click()
    page.get_by_role("button", name="Smallest or oldest first").wait_for()
    page.wait_for_function(f"document.querySelector('.past-tile').dataset.id === '{runs[1].id}'")
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
        ("?run=nothing", "There is no run 'nothing'."),
        ("?wall=nothing", "There is no run 'nothing'."),
    ],
)
def test_an_address_that_asks_for_nonsense_gets_a_sentence(
    served: Served, page_1440: Page, address: str, said: str
) -> None:
    page_1440.goto(served.address + address)
    page_1440.locator(".past-error").wait_for()
    assert said in page_1440.locator(".past-error").inner_text()


def test_more_runs_than_one_page_holds_come_as_one_goes_on(served: Served, page_1440: Page) -> None:
    for seed in range(100, 150):
        served.lab.submit(
            served.runs[0].recipe.model_copy(update={"settings": served.runs[0].settings.but(seed=seed)})
        )
    page = visit(page_1440, served.address)
    settle(page, "59 clips")
    assert len(shown(page)) == 48
    page.get_by_role("button", name="Show more").click()
    page.wait_for_function("document.querySelectorAll('.past-tile').length === 59")
    assert len(set(shown(page))) == 59
    assert not page.get_by_role("button", name="Show more").is_visible()


def test_deleting_is_undone_by_a_click_and_by_the_bin(served: Served, page_1440: Page) -> None:
    page = visit(page_1440, served.address)
    settle(page, "9 clips")
    choose(page, served.runs[0], served.runs[1])
    page.get_by_text("2 selected").wait_for()
    page.get_by_role("button", name="Delete").click()
    page.get_by_text("2 things put into the bin.").wait_for()
    assert served.lab.history.get(served.runs[0].id).deleted is not None
    page.get_by_role("button", name="Undo").click()
    settle(page, "9 clips")
    assert served.lab.history.get(served.runs[0].id).deleted is None
    served.lab.delete([served.runs[2].id])
    page.goto(served.address + "?bin=1")
    settle(page, "1 clip in the bin")
    choose(page, served.runs[2])
    page.get_by_role("button", name="Restore").click()
    page.get_by_text("The bin is empty.").wait_for()
    assert served.lab.history.get(served.runs[2].id).deleted is None


def test_several_are_starred_and_tagged_at_once(served: Served, page_1440: Page) -> None:
    page = visit(page_1440, served.address)
    settle(page, "9 clips")
    choose(page, served.runs[4], served.runs[5])
    bar = page.locator(".past-bar")
    bar.get_by_role("button", name="Star", exact=True).click()
    bar.get_by_role("button", name="Take star away").wait_for()
    bar.get_by_label("Tag to add").fill("Night")
    bar.get_by_role("button", name="Add tag").click()
    page.locator(".past-about", has_text="#night").nth(1).wait_for()
    assert [served.lab.history.get(run.id).starred for run in served.runs[4:]] == [True, True]
    assert served.lab.history.get(served.runs[5].id).tags == ("night",)
    page.get_by_role("button", name="Clear").click()
    assert not bar.is_visible()


def test_two_are_compared_after_it_was_said_what_differs(
    served: Served, page_1440: Page, screenshots: Path
) -> None:
    page = visit(page_1440, served.address)
    settle(page, "9 clips")
    choose(page, served.runs[1], served.runs[2])
    page.get_by_text("Motion bucket is 100 on A and 70 on B.").or_(
        page.get_by_text("Motion bucket is 70 on A and 100 on B.")
    ).wait_for()
    page.screenshot(path=screenshots / "history-selected-1440.png")
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_url("**/compare?compare=*")
    page.get_by_text("Not a fair comparison").wait_for()
    pairs = len(served.lab.history.comparisons())
    page.goto(served.address)
    settle(page, "9 clips")
    choose(page, served.runs[1], served.runs[2])
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_url("**/compare?compare=*")
    assert len(served.lab.history.comparisons()) == pairs  # the same two are one comparison


def test_several_play_in_step(served: Served, page_1440: Page, screenshots: Path) -> None:
    page = visit(page_1440, served.address)
    settle(page, "9 clips")
    choose(page, *served.runs[:3])
    page.get_by_role("button", name="Play together").click()
    page.locator(".wall[data-ready=true]").wait_for()
    assert page.locator(".wall canvas").count() == 3
    assert "Motion bucket 70" in page.locator(".wall figcaption").nth(1).inner_text()
    page.get_by_role("button", name="Pause").click()
    page.keyboard.press("Home")
    page.locator(".wall-scrub").fill("2")
    assert page.locator(".wall").get_attribute("data-frame") == "2"
    page.screenshot(path=screenshots / "history-wall-1440.png")


@pytest.mark.parametrize("kind", ["csv", "parquet", "zip"])
def test_chosen_runs_are_exported(served: Served, page_1440: Page, kind: str) -> None:
    page = visit(page_1440, served.address)
    settle(page, "9 clips")
    choose(page, *served.runs[:2])
    with page.expect_download() as got:
        page.get_by_label("Export").select_option(kind)
    content = io.BytesIO(Path(got.value.path()).read_bytes())
    if kind == "zip":
        with zipfile.ZipFile(content) as archive:
            assert f"runs/{served.runs[0].id}/video.mp4" in archive.namelist()
        return
    table = pandas.read_csv(content) if kind == "csv" else pandas.read_parquet(content)
    assert sorted(table["id"]) == [run.id for run in served.runs[:2]]
    assert sorted(table["motion_bucket_id"]) == [40, 70]


def test_one_run_has_a_page_of_its_own(served: Served, page_1440: Page, screenshots: Path) -> None:
    run = served.runs[2]
    page = page_1440
    page.goto(f"{served.address}?run={run.id}")
    page.locator("#history-player [data-ready=true]").wait_for()
    facts = page.locator(".one-facts")
    changed = facts.locator("dd.changed", has_text="100")
    assert "own: 127" in changed.first.inner_text()
    for said in ("Camera motion", "px/frame", "Denoising", "Peak of memory", "0.1 GB", "torch", "2.8.0"):
        assert said in facts.inner_text()
    assert not page.locator(".past").is_visible()
    page.screenshot(path=screenshots / "history-run-1440.png", full_page=True)
    page.locator(".one-star").click()
    page.get_by_text("★ Starred").wait_for()
    page.get_by_role("radio", name="5 of 5").click()
    page.wait_for_function("document.querySelectorAll('.stars .lit').length === 5")
    page.locator(".one-note textarea").fill("Steady to the end.")
    page.get_by_text("Saved.").wait_for()
    page.locator(".one").get_by_label("Tag to add").fill("keep")
    page.keyboard.press("Enter")
    page.get_by_label("Remove the tag keep").wait_for()
    page.wait_for_function("document.querySelector('.one-note textarea').value === 'Steady to the end.'")
    kept = served.lab.history.get(run.id)
    assert (kept.starred, kept.rating, kept.note, kept.tags) == (True, 5, "Steady to the end.", ("keep",))
    page.get_by_role("button", name="Delete").click()
    page.get_by_text("This is in the bin").wait_for()
    page.get_by_role("button", name="Restore").first.click()
    page.get_by_role("button", name="Delete").wait_for()
    assert served.lab.history.get(run.id).deleted is None


def test_a_run_without_its_video_says_so(served: Served, page_1440: Page) -> None:
    served.runs[0].video.unlink()
    page_1440.goto(f"{served.address}?run={served.runs[0].id}")
    page_1440.get_by_text("Its video was removed from the data folder").wait_for()
    page_1440.goto(f"{served.address}?run={served.failed.id}")
    page_1440.get_by_text("Memory ran out.").wait_for()


def test_on_a_phone_nothing_is_cut_off(served: Served, page_390: Page, screenshots: Path) -> None:
    page = visit(page_390, served.address)
    settle(page, "9 clips")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.screenshot(path=screenshots / "history-390.png", full_page=True)
    page.goto(f"{served.address}?run={served.runs[2].id}")
    page.locator("#history-player [data-ready=true]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.screenshot(path=screenshots / "history-run-390.png", full_page=True)


def test_on_a_shared_machine_a_visitor_sees_their_own_runs_only(
    served: Served, new_page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/space")
    with Lab(served.lab.data_dir) as lab:
        page = new_page(1440, 900)
        page.goto(launch(lab, port=None, block=False) + "history")
        page.get_by_text("Nothing has been rendered yet.").wait_for()
        assert shown(page) == []
        assert not page.locator(".past-filters").is_visible()


def drop(page: Page, where: str, file: Path) -> None:
    page.set_input_files(f"{where} input[type=file]", file)


@pytest.mark.parametrize("kind", ["mp4", "poster", "json", "workflow"])
def test_a_file_of_a_run_brings_its_settings_back_on_explore(
    served: Served, page_1440: Page, tmp_path: Path, screenshots: Path, kind: str
) -> None:
    run = served.runs[4]
    recipe, workflow = tmp_path / "recipe.json", tmp_path / "workflow.json"
    recipe.write_text(run.recipe.to_json())
    workflow.write_text(workflow_of(served.lab, run).text(ui=True))
    file = {"mp4": run.video, "poster": run.poster, "json": recipe, "workflow": workflow}[kind]
    page = page_1440
    page.goto(served.address.removesuffix("history"))
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


def test_a_poster_can_be_the_picture_instead(served: Served, page_1440: Page) -> None:
    page = page_1440
    page.goto(served.address.removesuffix("history"))
    page.locator("#explore-picture .shown img[src^='data:']").wait_for()
    drop(page, "#explore-picture", served.runs[4].poster)
    page.get_by_role("button", name="Use the file itself as the picture").click()
    page.get_by_text("the settings were read from").wait_for(state="hidden")
    page.wait_for_function(
        "document.querySelector('#explore-picture .shown img').alt.includes('poster.webp')"
    )


def test_what_a_file_cannot_bring_back_is_said(served: Served, page_1440: Page, tmp_path: Path) -> None:
    page = page_1440
    page.goto(served.address.removesuffix("history"))
    page.locator("#explore-picture .shown img[src^='data:']").wait_for()
    before = page.locator("#explore-picture .shown img").get_attribute("src")
    strange = tmp_path / "strange.json"
    gone = served.runs[0].recipe.model_copy(update={"picture_sha256": "a" * 64, "checkpoint": "svd-4"})
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


def test_a_clip_dropped_on_compare_fills_it(served: Served, page_1440: Page) -> None:
    page = page_1440
    page.goto(served.address.removesuffix("history") + "compare")
    page.locator("#compare-picture .shown img[src^='data:']").wait_for()
    drop(page, "#compare-picture", served.runs[3].video)
    page.get_by_text("the settings were read from its recipe.").wait_for()
    page.wait_for_function("document.querySelector('#compare-motion_bucket_id').value === '130'")
    assert page.locator("#compare-a select").input_value() == "demo-1-0"
    assert page.locator("#compare-b select").input_value() == "demo-1-1"


def test_a_run_goes_to_comfyui_as_a_workflow(served: Served, page_1440: Page, tmp_path: Path) -> None:
    page = page_1440
    page.goto(f"{served.address}?run={served.runs[2].id}")
    with page.expect_download() as got:
        page.get_by_text("ComfyUI workflow", exact=True).click()
    assert got.value.suggested_filename.endswith("-comfyui.json")
    found = restore(served.lab, Path(got.value.path()).read_bytes())
    assert found.settings == served.runs[2].settings
    page.get_by_text("What differs in ComfyUI").click()
    assert page.locator(".one-differs li").count() > 0
