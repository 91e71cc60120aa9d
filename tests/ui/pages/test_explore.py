"""The Explore page in a real Chromium, over the real app and the demo checkpoint."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from svdlab.environment import Environment
from svdlab.lab.lab import Lab
from svdlab.lab.visit import Visit
from svdlab.recipes.visitors import Visitor
from svdlab.ui import launch
from svdlab.ui.pages.explore import Explore
from svdlab.workers import open_lab
from tests import rows
from tests.lora_files import demo_lora

if TYPE_CHECKING:
    from playwright.sync_api import Page

RENDERED = 200_000  # ms; how long a busy machine may take
SMALL = {"width": 96, "height": 64, "num_frames": 4}
SLOW = {"width": 256, "height": 144}  # for what is stopped while it is being rendered


@dataclass(frozen=True)
class Served:
    """A running app."""

    lab: Lab
    address: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    import svdlab.engine.renderer  # noqa: F401  # torch is here before anybody waits for a clip

    with open_lab(tmp_path_factory.mktemp("explore"), device="cpu") as lab:
        yield Served(lab, launch(lab, port=None, block=False))


@pytest.fixture
def explore(served: Served, page_1440: Page) -> Page:
    """The page as on a first visit, with quick settings."""
    visit(page_1440, served.address)
    quick(page_1440)
    return page_1440


def visit(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("#explore-picture .shown img[src^='data:']").wait_for()


def shoot(page: Page, path: Path) -> None:
    """What a person sees at the top of the page."""
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=path)


def knob(page: Page, name: str, value: object) -> None:
    """Types a value, unfolding the rest of the knobs if it is there."""
    field = page.locator(f"#explore-{name}")
    if not field.is_visible():
        page.locator(".knobs-more > summary").click()
    field.fill(str(value))


def quick(page: Page, seed: int = 1, steps: int = 2, **changes: object) -> None:
    """The smallest settings that still show a moving clip."""
    for name, value in {**SMALL, "num_inference_steps": steps, "seed": seed, **changes}.items():
        knob(page, name, value)


def generate(page: Page) -> None:
    page.get_by_role("button", name="Generate").click()


def wait_for(page: Page, mode: str) -> None:
    page.locator(f".stage-holder[data-mode={mode}]").wait_for(state="attached", timeout=RENDERED)


def recipe(page: Page) -> dict:
    return json.loads(page.locator(".recipe-json").text_content() or "")


def test_a_first_visit_is_one_click_away_from_a_playing_clip(
    served: Served, page_1440: Page, screenshots: Path
) -> None:
    asked: list[str] = []
    page_1440.on("request", lambda request: asked.append(request.url))
    visit(page_1440, served.address)
    shoot(page_1440, screenshots / "explore-first-visit-1440.png")
    quick(page_1440, steps=12)
    generate(page_1440)
    # It keeps the last one when the clip is there, so a quick machine does not hide that there was one.
    forming = page_1440.locator("#explore-stage .preview[src^='data:image/webp']")
    forming.wait_for(state="attached", timeout=RENDERED)
    shoot(page_1440, screenshots / "explore-rendering-1440.png")
    wait_for(page_1440, "shown")
    playing = page_1440.locator("#explore-player [data-svdlab-player][data-playing=true][data-frames='4']")
    playing.wait_for(timeout=15_000)
    page_1440.wait_for_function(
        "document.querySelector('#explore-player [data-svdlab-player]').dataset.frame !== '0'", timeout=15_000
    )
    assert (
        page_1440.locator(".result-line").text_content() == "4 frames, 0.7 s at 6 fps · model saw 5 · seed 1"
    )
    shoot(page_1440, screenshots / "explore-done-1440.png")
    outside = [url for url in asked if not url.startswith((served.address, "data:", "blob:"))]
    assert outside == []


def test_the_files_of_a_clip_can_be_downloaded(served: Served, explore: Page) -> None:
    generate(explore)
    wait_for(explore, "shown")
    with explore.expect_download() as video:
        explore.locator(".get-video").click()
    assert Path(video.value.path()).read_bytes()[4:8] == b"ftyp"
    with explore.expect_download() as frames:
        explore.locator(".get-frames").click()
    assert Path(frames.value.path()).read_bytes()[:2] == b"PK"
    assert frames.value.suggested_filename.endswith("frames.zip")


def test_a_moved_knob_is_in_the_recipe_and_said_beside_generate(explore: Page) -> None:
    knob(explore, "motion_bucket_id", 154)
    explore.get_by_text("was tuned at motion bucket 127 only").wait_for()
    explore.get_by_text(re.compile("Differs from preset: motion bucket")).wait_for()
    explore.locator(".knob.fps input[type=range]").focus()
    explore.keyboard.press("ArrowRight")
    explore.get_by_text("The model sees 6; plays at 7.").wait_for()
    explore.locator("#explore-motion_bucket_id").press("Enter")  # Enter in any field generates
    wait_for(explore, "shown")
    assert recipe(explore)["settings"]["motion_bucket_id"] == 154
    assert recipe(explore)["settings"]["fps"] == 7


def test_the_same_recipe_is_shown_at_once_and_rendered_again_on_request(
    served: Served, explore: Page
) -> None:
    generate(explore)
    wait_for(explore, "shown")
    before = len(served.lab.history.runs(limit=500))
    generate(explore)
    explore.get_by_text("Rendered before.").wait_for()
    assert len(served.lab.history.runs(limit=500)) == before
    explore.get_by_role("button", name="Render again").click()
    explore.get_by_text("Rendered before.").wait_for(state="hidden")
    wait_for(explore, "shown")
    assert explore.locator(".result-line").is_visible()
    assert len(served.lab.history.runs(limit=500)) == before + 1


def test_an_unlocked_seed_is_new_each_time_and_shown(explore: Page) -> None:
    explore.locator(".lock").click()
    generate(explore)
    wait_for(explore, "shown")
    seed = explore.locator("#explore-seed").input_value()
    assert seed != "1"
    assert f"seed {seed}" in (explore.locator(".result-line").text_content() or "")


def test_cancel_stops_the_run_and_another_can_be_asked_for(served: Served, explore: Page) -> None:
    quick(explore, seed=11, steps=200, **SLOW)
    generate(explore)
    explore.locator("#explore-stage .preview[src^='data:']").wait_for(timeout=RENDERED)
    quick(explore, seed=12)
    generate(explore)  # queued behind the first
    explore.get_by_text("1 ahead in the queue").wait_for()
    explore.locator(".tile").nth(1).click()
    explore.get_by_text(re.compile(r"Rendering: \d+ of 200 steps")).wait_for()
    explore.locator("#explore-stage .cancel").click()
    explore.get_by_text("Cancelled.", exact=True).wait_for(timeout=20_000)
    explore.locator(".tile").nth(0).click()
    wait_for(explore, "shown")
    states = [run.state for run in served.lab.history.runs(limit=2)]
    assert states == ["done", "cancelled"]


def test_closing_the_page_stops_nothing_and_opening_it_finds_the_run(
    served: Served, explore: Page, new_page: Callable[..., Page]
) -> None:
    quick(explore, seed=21, steps=200, **SLOW)
    generate(explore)
    explore.locator("#explore-stage .preview[src^='data:']").wait_for(timeout=RENDERED)
    explore.close()
    again = new_page(1440, 900)
    again.goto(served.address)
    again.get_by_text(re.compile(r"Rendering: \d+ of 200 steps")).wait_for(timeout=15_000)
    again.locator("#explore-stage .cancel").click()
    wait_for(again, "ended")


def test_a_bad_picture_gets_a_sentence_and_loses_nothing(
    explore: Page, tmp_path: Path, screenshots: Path
) -> None:
    before = explore.locator(".shown img").get_attribute("src")
    bad = tmp_path / "letter.txt"
    bad.write_text("Dear lab")
    explore.set_input_files("#explore-picture input[type=file]", bad)
    explore.get_by_text("letter.txt is not a picture that can be read").wait_for()
    shoot(explore, screenshots / "explore-bad-picture-1440.png")
    assert explore.locator(".shown img").get_attribute("src") == before
    generate(explore)
    wait_for(explore, "shown")


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_picture_can_be_pasted_or_dropped_anywhere(explore: Page, way: str) -> None:
    before = explore.locator(".shown img").get_attribute("src")
    explore.evaluate(
        """async (way) => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 90, height: 60 });
            canvas.getContext("2d").fillRect(10, 10, 30, 30);
            const blob = await new Promise((done) => canvas.toBlob(done));
            const data = new DataTransfer();
            data.items.add(new File([blob], "square.png", { type: "image/png" }));
            document.dispatchEvent(way === "paste"
                ? new ClipboardEvent("paste", { clipboardData: data })
                : new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        }""",
        way,
    )
    explore.locator(".shown img[alt='Picture: square.png']").wait_for()
    assert explore.locator(".shown img").get_attribute("src") != before


def test_a_picture_is_taken_with_the_camera(explore: Page) -> None:
    explore.locator("#explore-picture .camera").click()
    explore.wait_for_function(
        "document.querySelector('#explore-picture .live video').videoWidth > 0 "
        "&& !document.querySelector('#explore-picture .live').hidden"
    )
    explore.locator("#explore-picture .take").click()
    explore.locator(".shown img[alt='Picture: camera.png']").wait_for()
    assert explore.locator("#explore-picture .live").is_hidden()


def test_a_bad_value_gets_its_sentence_under_its_control(served: Served, explore: Page) -> None:
    before = len(served.lab.history.runs(limit=500))
    knob(explore, "motion_bucket_id", "lots")
    generate(explore)
    error = explore.locator(".knob.motion_bucket_id .knob-error")
    error.wait_for()
    assert error.text_content() == "Motion bucket must be a whole number from 0 to 1023, got 'lots'."
    assert len(served.lab.history.runs(limit=500)) == before


def test_a_lora_is_added_at_a_strength_kept_with_the_run_and_left_out_again(
    served: Served, page_1440: Page, tmp_path: Path, screenshots: Path
) -> None:
    lora = served.lab.loras.add(demo_lora(tmp_path / "sway.safetensors", "to_v", "kohya"))
    try:
        visit(page_1440, served.address)
        quick(page_1440, seed=77)
        section = page_1440.locator("#explore-knobs .loras")
        section.locator(".lora-add").select_option("sway")
        strength = section.locator("[data-lora=sway] .number")
        strength.fill("much")
        generate(page_1440)
        section.get_by_text("A LoRA's strength must be a number from -10 to 10, got much").wait_for()
        strength.fill("0.5")
        section.scroll_into_view_if_needed()
        page_1440.screenshot(path=screenshots / "explore-lora-1440.png")
        generate(page_1440)
        wait_for(page_1440, "shown")
        assert recipe(page_1440)["loras"] == [{"sha256": lora.sha256, "strength": 0.5}]
        assert "sway 0.5" in (page_1440.locator("#explore-result").text_content() or "")
        section.get_by_label("Leave sway out").click()
        generate(page_1440)
        page_1440.wait_for_function(
            "JSON.parse(document.querySelector('.recipe-json').textContent || '{}').loras?.length === 0",
            timeout=RENDERED,
        )
        page_1440.locator(".tile").nth(1).click()  # the run before comes back with it
        section.locator("[data-lora=sway]").wait_for()
        assert section.locator("[data-lora=sway] .number").input_value() == "0.5"
    finally:
        served.lab.loras.remove("sway")


def test_dragging_the_frame_moves_the_focus(explore: Page) -> None:
    knob(explore, "width", 64)
    knob(explore, "height", 128)
    explore.evaluate("scrollTo(0, 0)")
    frame = explore.locator(".crop").bounding_box()
    assert frame is not None
    x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    explore.mouse.move(x, y)
    explore.mouse.down()
    explore.mouse.move(x + 400, y, steps=4)
    explore.mouse.up()
    assert explore.locator("#explore-focus_x").input_value() == "1"
    explore.locator(".crop").focus()
    explore.keyboard.press("ArrowLeft")
    assert explore.locator("#explore-focus_x").input_value() == "0.98"


def test_a_tile_brings_picture_settings_and_clip_back(served: Served, explore: Page) -> None:
    quick(explore, seed=31)
    knob(explore, "motion_bucket_id", 40)
    generate(explore)
    wait_for(explore, "shown")
    run = served.lab.history.runs(limit=1)[0]
    explore.locator(".example").nth(1).click()
    knob(explore, "motion_bucket_id", 200)
    explore.locator(f".tile[data-run='{run.id}']").click()
    explore.wait_for_function("document.querySelector('#explore-motion_bucket_id').value === '40'")
    assert explore.locator("#explore-seed").input_value() == "31"
    explore.locator(".result-line").get_by_text("seed 31").wait_for()
    assert explore.locator(".tile[aria-current=true]").get_attribute("data-run") == run.id


def test_a_link_to_a_run_opens_it(served: Served, explore: Page, new_page: Callable[..., Page]) -> None:
    quick(explore, seed=41)
    generate(explore)
    wait_for(explore, "shown")
    run = served.lab.history.runs(limit=1)[0]
    other = new_page(1440, 900)
    other.goto(f"{served.address}?run={run.id}")
    wait_for(other, "shown")
    assert other.locator("#explore-seed").input_value() == "41"
    other.goto(f"{served.address}?run=nothing")
    other.get_by_text("There is no run 'nothing'.").wait_for()


def test_an_interrupted_run_is_offered_to_be_resumed(served: Served, page_1440: Page) -> None:
    run = served.lab.history.runs(limit=1, states=("done",))[0]
    shutil.rmtree(run.folder)
    # As a kill −9 leaves it once the next start has looked.
    rows.change(served.lab.history, "UPDATE runs SET state = 'interrupted' WHERE id = ?", run.id)
    visit(page_1440, served.address)
    page_1440.get_by_text("One run was interrupted.").wait_for()
    page_1440.get_by_role("button", name="Resume").click()
    wait_for(page_1440, "shown")
    assert served.lab.history.get(run.id).done


def test_a_phone_shows_all_in_one_column(served: Served, page_390: Page, screenshots: Path) -> None:
    visit(page_390, served.address)
    page_390.screenshot(path=screenshots / "explore-390.png", full_page=True)
    assert page_390.evaluate("document.documentElement.scrollWidth <= innerWidth")
    order = [
        page_390.locator(selector).bounding_box()["y"]  # type: ignore[index]
        for selector in ("#explore-picture", "#explore-generate", "#explore-stage", "#explore-knobs")
    ]
    assert order == sorted(order)
    page_390.locator(".knobs-more > summary").tap()
    small = page_390.evaluate(
        """() => Array.from(document.querySelectorAll('button, select, .segments label, .small, .frame nav a'))
            .filter((e) => e.offsetParent && !e.classList.contains('why') && !e.closest('#explore-player'))
            .filter((e) => e.getBoundingClientRect().height < 40).map((e) => e.outerHTML.slice(0, 90))"""
    )
    assert small == []
    assert page_390.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_on_a_shared_space_a_visitor_sees_only_their_own_runs(served: Served) -> None:
    run = served.lab.history.runs(limit=1)[0]
    with Lab(served.lab.data_dir, environment=Environment.read({"SPACE_ID": "someone/svdlab"})) as shared:
        page, visit = Explore(shared), Visit(shared, Visitor("somebody"))
        assert page.strip_value(visit, [])["runs"] == []
        assert [tile["id"] for tile in page.strip_value(visit, ["nothing", run.id])["runs"]] == [run.id]


@pytest.mark.parametrize("width", [1440, 390])
def test_it_is_dark_in_the_dark(
    served: Served, new_page: Callable[..., Page], screenshots: Path, width: int
) -> None:
    page = new_page(width, 900 if width > 400 else 844)
    run = served.lab.history.runs(limit=1, states=("done",))[0]
    page.goto(f"{served.address}?__theme=dark&run={run.id}")
    page.locator("#explore-player [data-playing=true]").wait_for()
    page.screenshot(path=screenshots / f"explore-dark-{width}.png", full_page=width < 400)
    ink, ground = (
        page.evaluate(f"getComputedStyle(document.querySelector('.gradio-container')).{name}")
        for name in ("color", "backgroundColor")
    )
    assert brightness(ink) > 200
    assert brightness(ground) < 40


def brightness(colour: str) -> float:
    """The mean of 'rgb(r, g, b)'."""
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3
