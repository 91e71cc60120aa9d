"""The Sweep page in a browser: axes, the plan, cells that fill in, all clips on one clock, views, measures, exports."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from scipy import stats

from svdlab.lab.lab import Lab
from svdlab.recipes.sweeps import Sweep
from svdlab.ui import launch
from svdlab.workers import InProcess
from tests.made import SMALL, draw, picture_of
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")
AXES = {"checkpoint": "demo-1-0,demo-1-1", "motion_bucket_id": "20,127", "seed": "1..3"}


class Swept:
    """A lab with a finished sweep of three axes behind a running app."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.picture = lab.add_picture(picture_of(0))
        self.sweep = self.made(AXES, skip=["seed=2 motion_bucket_id=20"])
        self.drain()
        self.address = launch(lab, port=None, block=False)

    def made(self, axes: dict[str, str], **more: list[str]) -> Sweep:
        base = self.lab.recipe("demo-1-0", self.picture, self.lab.settings("demo-1-0", SMALL, seed=1))
        return self.lab.sweeps.submit(self.lab.sweeps.plan(base, self.lab.sweeps.grid(axes, **more)))

    def drain(self) -> None:
        with InProcess(self.lab, draw):
            pass

    def page(self, sweep: Sweep | None = None, **query: object) -> str:
        more = "".join(f"&{name}={value}" for name, value in query.items())
        return f"{self.address}sweep?sweep={(sweep or self.sweep).id}{more}"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    with Lab(tmp_path_factory.mktemp("swept") / "data") as lab:
        yield Swept(lab)


def visit(page: Page, address: str, clips: int) -> Page:
    page.goto(address)
    page.wait_for_function(f"document.querySelector('.sweep')?.dataset.clips === '{clips}'")
    return page


def asked(page: Page) -> dict[str, str]:
    """What stands in the address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def test_all_cells_play_on_one_clock(swept: Swept, page_1440: Page, screenshots: Path) -> None:
    page = visit(page_1440, swept.page(), 5)
    assert "Done: 10 of 10 cells." in page.locator(".sweep-line").inner_text()
    page.wait_for_function("document.querySelector('.sweep').dataset.frame === '2'")  # it plays
    frames = "[...document.querySelectorAll('.sweep-cell[data-ready]')].map((cell) => cell.dataset.frame)"
    seen = page.evaluate(
        f"""new Promise((done) => {{
            const seen = [];
            const look = () => {{
              seen.push({frames});
              seen.length < 60 ? requestAnimationFrame(look) : done(seen);
            }};
            look();
        }})"""
    )
    assert all(len(set(one)) == 1 for one in seen)  # at no moment two cells at two frames
    assert len({one[0] for one in seen}) > 1
    page.keyboard.press("End")
    assert page.locator(".sweep-at").inner_text() == "4/4"
    page.screenshot(path=screenshots / "sweep-1440.png")


def test_each_value_has_its_mean_and_interval_over_whatever_else_varies(
    swept: Swept, page_1440: Page, screenshots: Path
) -> None:
    page = visit(page_1440, swept.page(columns=1, rows=2, measure="camera_motion"), 5)
    page.locator(".sweep-mean circle").first.wait_for()
    values: dict[str, list[float]] = {"20": [], "127": []}
    for number, value in swept.lab.history.measured(swept.sweep.id, "camera_motion").items():
        cell = swept.sweep.grid.cell(swept.sweep.grid.place(number))
        values[str(cell.values["motion_bucket_id"])].append(value)
    said = page.locator(".sweep-mean title").all_text_contents()
    assert len(said) == 2
    for (bucket, seen), title in zip(values.items(), said, strict=True):
        low, high = stats.t.interval(0.95, len(seen) - 1, np.mean(seen), stats.sem(seen))
        expected = (
            f"{bucket}: {np.mean(seen):.2f} px/frame, between {low:.2f} and {high:.2f}, {len(seen)} cells"
        )
        assert [float(x) for x in NUMBERS.findall(title.replace("−", "-"))] == pytest.approx(
            [float(x) for x in NUMBERS.findall(expected)], abs=0.02
        )
    page.locator(".sweep-plot").scroll_into_view_if_needed()
    page.screenshot(path=screenshots / "sweep-means-1440.png")


def test_rows_columns_and_pages_are_chosen_afterwards_and_stand_in_the_address(
    swept: Swept, page_1440: Page
) -> None:
    page = visit(page_1440, swept.page(), 5)
    assert page.locator(".sweep-above").all_inner_texts() == ["1", "2", "3"]
    page.get_by_role("button", name="Swap rows and columns").click()
    assert page.locator(".sweep-above").all_inner_texts() == ["20", "127"]
    assert page.locator(".sweep-beside").all_inner_texts() == ["1", "2", "3"]
    page.locator("[data-page='0']").select_option("1")
    page.wait_for_function("document.querySelector('.sweep').dataset.clips === '5'")
    page.locator("[name=rows]").select_option("0")
    assert page.locator(".sweep-beside").all_inner_texts() == ["Demo 1.0", "Demo 1.1"]
    page.locator("[name=measure]").select_option("camera_motion")
    page.locator(".sweep-plot circle").first.wait_for()
    page.locator(".sweep-title").click()  # out of the chooser, to which the keys go first
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    there = asked(page)
    assert (there["rows"], there["columns"], there["measure"], there["frame"]) == (
        "0",
        "1",
        "camera_motion",
        "2",
    )
    heads = page.locator(".sweep-above, .sweep-beside").all_inner_texts()
    values = page.locator(".sweep-value").all_inner_texts()
    page.reload()
    page.locator(".sweep-plot circle").first.wait_for()
    page.wait_for_function("document.querySelector('.sweep').dataset.clips === '4'")
    assert page.locator(".sweep-above, .sweep-beside").all_inner_texts() == heads
    assert page.locator(".sweep-value").all_inner_texts() == values
    assert page.locator(".sweep").get_attribute("data-frame") == "1"
    assert page.locator(".sweep").get_attribute("data-playing") != "true"


def test_a_cell_leads_to_explore_and_two_to_compare(swept: Swept, page_1440: Page) -> None:
    page = visit(page_1440, swept.page(), 5)
    first = page.locator(".sweep-cell[data-state=done]").first
    run = first.get_attribute("data-run")
    assert str(first.locator("a").get_attribute("href")) == f"./?run={run}"
    for cell in page.locator(".sweep-cell[data-state=done]").all()[:2]:
        cell.hover()
        cell.locator("input").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_url("**/compare?compare=*")
    pair = swept.lab.history.comparison(asked(page)["compare"])
    assert run in (pair.a.id, pair.b.id)


def test_what_is_seen_is_handed_over_as_a_file(swept: Swept, page_1440: Page) -> None:
    page = visit(page_1440, swept.page(), 5)
    page.get_by_text("Export", exact=True).click()
    for name, ending in (("MP4 of the grid", ".mp4"), ("Table as CSV", ".csv")):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        assert download.value.suggested_filename.endswith(ending)
    rows = Path(download.value.path()).read_text("utf-8").splitlines()
    assert len(rows) == 1 + 5  # of the page that is seen


def test_a_sweep_is_planned_started_fills_in_and_is_stopped(
    swept: Swept, page_1440: Page, screenshots: Path
) -> None:
    run = swept.lab.history.runs(1, states=("done",))[0]
    page = page_1440
    page.goto(f"{swept.address}sweep?from={run.id}")
    page.get_by_text(re.compile(r"^12 cells")).wait_for()
    values = page.locator(".values")
    values.nth(0).fill("60, 70")
    values.nth(1).fill("71..72")
    page.get_by_text(re.compile(r"^4 cells\. 4 to render")).wait_for()
    assert page.locator(".axis-count").all_inner_texts() == ["2 values", "2 values"]
    values.nth(1).fill("1..999999")
    page.get_by_text("Seed has 999,999 values, and an axis may have 10,000.").wait_for()
    values.nth(1).fill("71..72")
    page.get_by_text(re.compile(r"^4 cells\. 4 to render")).wait_for()
    page.get_by_role("button", name="Start sweep").click()
    page.locator(".sweep-cell").first.wait_for()
    page.get_by_role("button", name="Pause", exact=True).first.wait_for()
    sweep = swept.lab.history.sweeps(1)[0]
    assert (sweep.state, sweep.base.picture_sha256) == ("active", run.recipe.picture_sha256)
    page.locator("[data-verb=pause]").click()
    page.locator("[data-verb=resume]").click()
    page.locator("[data-verb=pause]").wait_for()
    page.screenshot(path=screenshots / "sweep-waiting-1440.png")
    swept.drain()
    page.wait_for_function("document.querySelectorAll('.sweep-cell[data-ready]').length === 4")
    page.get_by_text("Done: 4 of 4 cells.").wait_for()
    until(lambda: swept.lab.history.sweep(sweep.id).state == "ended")


def test_the_best_of_a_scout_are_chosen_and_rendered_in_full(swept: Swept, page_1440: Page) -> None:
    scouted = swept.made({"seed": "31..36", "num_inference_steps": "1"})
    swept.drain()
    page = visit(page_1440, swept.page(scouted), 6)
    assert page.locator(".sweep-cell figcaption").all_inner_texts() == [str(seed) for seed in range(31, 37)]
    page.locator("[name=measure]").select_option("camera_motion")
    page.get_by_role("button", name="Choose the best 4").click()
    page.get_by_role("button", name="Render in full").click()
    page.locator("[data-verb=pause]").wait_for()
    full = swept.lab.history.sweeps(1)[0]
    moved = swept.lab.history.measured(scouted.id, "camera_motion")
    best = sorted(moved, key=lambda number: -moved[number])[:4]
    assert [axis.values for axis in full.grid.axes] == [tuple(31 + number for number in best)]
    assert full.base.settings.num_inference_steps == SMALL["num_inference_steps"]
    swept.drain()


def test_pictures_are_an_axis_one_by_one_and_axes_may_go_together(swept: Swept, page_1440: Page) -> None:
    page = page_1440
    page.goto(f"{swept.address}sweep")
    page.get_by_text(re.compile(r"^12 cells")).wait_for()
    page.get_by_role("button", name="Add an axis").click()
    page.locator(".axis .name").last.select_option("picture")
    page.get_by_text("Picture has no values").wait_for()
    page.get_by_role("button", name="Add the picture above").click()
    page.locator(".axis-pictures .chip").wait_for()
    shown = page.locator("#sweep-picture .shown img").first.get_attribute("src")
    page.locator(".example").nth(1).click()
    page.wait_for_function(
        "(src) => document.querySelector('#sweep-picture .shown img').src !== src", arg=shown
    )
    page.get_by_role("button", name="Add the picture above").click()
    page.get_by_text(re.compile(r"^24 cells")).wait_for()
    page.locator(".axis .values").first.fill("1, 2")
    page.locator(".axis .with").first.check()
    page.get_by_text(re.compile(r"^4 cells")).wait_for()
    page.get_by_text("Leave cells out").click()
    page.locator(".skip").fill("seed=2 motion_bucket_id=2")
    page.get_by_text(re.compile(r"^2 cells, 2 are left out")).wait_for()


def test_a_grid_of_a_thousand_cells_shows_numbers(swept: Swept, page_1440: Page) -> None:
    sweep = swept.made({"seed": "1000..1049", "motion_bucket_id": "1..20"})
    swept.lab.sweeps.pause(sweep.id)
    page_1440.goto(swept.page(sweep, show="numbers"))
    page_1440.wait_for_function("document.querySelectorAll('.sweep-cell').length === 1000")
    swept.lab.sweeps.cancel(sweep.id)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(swept: Swept, new_page: Callable[..., Page], screenshots: Path, scheme: str) -> None:
    page = new_page(390, 844, phone=True)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    visit(page, swept.page(measure="camera_motion"), 5)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".sweep").screenshot(path=screenshots / f"sweep-390-{scheme}.png")


def test_what_is_not_there_is_said(swept: Swept, page_1440: Page) -> None:
    page_1440.goto(f"{swept.address}sweep?sweep=nothing")
    page_1440.get_by_text("There is no sweep 'nothing'.").wait_for()
    assert (
        json.loads(
            page_1440.evaluate("JSON.stringify([...document.querySelectorAll('.sweep-latest a')].length)")
        )
        > 0
    )
