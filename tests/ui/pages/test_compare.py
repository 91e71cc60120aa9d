"""The Compare page in a real Chromium, over the real app and the demo pair."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from svdlab.clips.video import read_mp4_frames
from svdlab.environment import Environment
from svdlab.lab.lab import Lab
from svdlab.lab.visit import Visit
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.records import Comparison, Run
from svdlab.recipes.settings import KNOBS
from svdlab.recipes.visitors import Visitor
from svdlab.ui import launch
from svdlab.ui.pages.compare import Compare
from svdlab.ui.parts import compare_result
from svdlab.weights.catalogue import Catalogue
from svdlab.workers import open_lab
from tests import rows
from tests.lora_files import demo_lora

if TYPE_CHECKING:
    from playwright.sync_api import Page

RENDERED = 200_000  # ms; how long a busy machine may take
PLAYER = "#compare-player [data-svdlab-player]"
SMALL = {"width": 96, "height": 64, "num_frames": 4, "num_inference_steps": 2}


@dataclass(frozen=True)
class Served:
    """A running app."""

    lab: Lab
    address: str

    @property
    def page(self) -> str:
        """The Compare page's address."""
        return self.address + "compare"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    import svdlab.engine.renderer  # noqa: F401  # torch is here before anybody waits for a clip

    with open_lab(tmp_path_factory.mktemp("compare"), device="cpu") as lab:
        # Beside the checkpoints as they come, the one of 1.0 named as trained on fewer frames.
        short = replace(lab.catalogue.get("demo-1-0"), id="demo-short", name="Demo short", native_frames=3)
        lab.catalogue = Catalogue((short,))
        yield Served(lab, launch(lab, port=None, block=False))


@pytest.fixture(scope="module")
def pair(served: Served, example_picture: Path, demo_pair: tuple[str, str]) -> Comparison:
    """A finished comparison, made from Python."""
    return served.lab.compare(example_picture, *demo_pair, seed=77, **SMALL)


@pytest.fixture
def compare(served: Served, page_1440: Page) -> Page:
    """The page as on a first visit, with quick settings."""
    visit(page_1440, served.page)
    quick(page_1440)
    return page_1440


def visit(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("#compare-picture .shown img[src^='data:']").wait_for()


def knob(page: Page, name: str, value: object) -> None:
    """Types a value, unfolding the rest of the knobs if it is there."""
    field = page.locator(f"#compare-{name}")
    if not field.is_visible():
        page.locator(".knobs-more > summary").click()
    field.fill(str(value))


def quick(page: Page, **changes: object) -> None:
    """The smallest settings that still show a moving pair."""
    for name, value in {**SMALL, "seed": 1, **changes}.items():
        knob(page, name, value)


def press_compare(page: Page) -> None:
    page.get_by_role("button", name="Compare", exact=True).click()


def ready(page: Page, frames: int = 4) -> None:
    page.locator(f"{PLAYER}[data-ready=true][data-frames='{frames}']").wait_for(timeout=RENDERED)


def player(page: Page, name: str) -> str:
    return page.locator(PLAYER).get_attribute(f"data-{name}") or ""


def come_to_rest(page: Page) -> None:
    """Waits until the page has stood still for some frames."""
    page.evaluate(
        """async () => {
            for (let still = 0, last = -1; still < 6; last = scrollY) {
                await new Promise(requestAnimationFrame);
                still = scrollY === last ? still + 1 : 0;
            }
        }"""
    )


def latest(served: Served) -> Comparison:
    return served.lab.history.comparisons(limit=1)[0]


def no_overflow(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# The way through


def test_a_first_visit_is_one_click_away_from_a_fair_pair(
    served: Served, page_1440: Page, screenshots: Path
) -> None:
    asked: list[str] = []
    page_1440.on("request", lambda request: asked.append(request.url))
    visit(page_1440, served.page)
    assert page_1440.locator("#compare-a select").input_value() == "demo-1-0"
    assert page_1440.locator("#compare-b select").input_value() == "demo-1-1"
    page_1440.locator("#compare-stage .pair-still").nth(1).wait_for()
    page_1440.screenshot(path=screenshots / "compare-first-visit-1440.png")
    quick(page_1440, num_inference_steps=40)
    page_1440.locator(".knobs-more > summary").click()
    press_compare(page_1440)
    both = page_1440.locator(f"{PLAYER}[data-state=preview] .sp-forming[src^='data:image/webp']")
    both.nth(1).wait_for(timeout=RENDERED)
    page_1440.get_by_text(re.compile(r"Rendering both: \d+ of 40 steps")).wait_for(timeout=RENDERED)
    come_to_rest(page_1440)  # the page slides to the player
    page_1440.screenshot(path=screenshots / "compare-rendering-1440.png")
    assert page_1440.locator(".sp-cancel").is_visible()
    ready(page_1440)
    assert player(page_1440, "sides") == "2"
    badge = page_1440.locator(".badge")
    badge.wait_for()
    assert badge.get_attribute("data-fair") == "true"
    assert page_1440.locator(".check").all_inner_texts() == ["same picture", "same settings", "same noise"]
    run = latest(served).a
    assert page_1440.locator(".noise-hash").inner_text() == run.outcome.noise_sha256[:8]
    page_1440.get_by_role("button", name="Full hash").click()
    page_1440.get_by_text(run.outcome.noise_sha256).wait_for()
    page_1440.get_by_role("button", name="Full hash").click()
    page_1440.screenshot(path=screenshots / "compare-done-1440.png")
    page_1440.screenshot(path=screenshots / "compare-done-1440-whole.png", full_page=True)
    outside = [url for url in asked if not url.startswith((served.address, "data:", "blob:"))]
    assert outside == []


def test_one_checkpoint_with_a_lora_beside_itself_without(
    served: Served, compare: Page, tmp_path: Path, screenshots: Path
) -> None:
    lora = served.lab.loras.add(demo_lora(tmp_path / "sway.safetensors", "to_v", "kohya"))
    try:
        compare.reload()
        quick(compare, seed=78)
        compare.locator("#compare-b select").select_option("demo-1-0")
        section = compare.locator("#compare-knobs .loras")
        section.locator(".lora-add").select_option("sway")
        section.get_by_label("Side of sway").select_option("b")
        section.scroll_into_view_if_needed()
        compare.screenshot(path=screenshots / "compare-lora-1440.png")
        press_compare(compare)
        ready(compare)
        pair = latest(served)
        assert pair.a.recipe.loras == ()
        assert [(one.sha256, one.strength) for one in pair.b.recipe.loras] == [(lora.sha256, 1)]
        badge = compare.locator(".badge")
        badge.wait_for()
        assert badge.get_attribute("data-fair") == "true"
        assert "+ sway 1" in (compare.locator("#compare-result").text_content() or "")
        compare.locator("#compare-strip").get_by_text("Demo 1.0 | Demo 1.0 + sway 1").first.wait_for()
        compare.goto(f"{served.page}?compare={pair.id}")
        ready(compare)
        assert section.get_by_label("Side of sway").input_value() == "b"
        compare.get_by_role(
            "button", name="Swap A and B"
        ).click()  # the sides change places with all they have
        compare.wait_for_function("document.querySelector('.lora-side')?.value === 'a'")
    finally:
        served.lab.loras.remove("sway")


def test_both_sides_step_together_in_every_mode(served: Served, page_1440: Page, pair: Comparison) -> None:
    page_1440.goto(f"{served.page}?compare={pair.id}")
    ready(page_1440)
    assert page_1440.locator(".sp-name").all_inner_texts() == ["Demo 1.0 · demo-1-0", "Demo 1.1 · demo-1-1"]
    page_1440.locator(PLAYER).focus()
    if player(page_1440, "playing") == "true":
        page_1440.keyboard.press("Space")
    for key, frame in (
        ("Home", "0"),
        ("ArrowRight", "1"),
        ("ArrowRight", "2"),
        ("End", "3"),
        ("ArrowLeft", "2"),
    ):
        page_1440.keyboard.press(key)
        assert player(page_1440, "frame") == frame
    for key, mode in zip("2341", ("wipe", "difference", "blink", "side"), strict=True):
        page_1440.keyboard.press(key)
        assert player(page_1440, "mode") == mode
        assert player(page_1440, "frame") == "2"


def test_the_table_says_what_was_measured(served: Served, page_1440: Page, pair: Comparison) -> None:
    page_1440.goto(f"{served.page}?compare={pair.id}")
    row = page_1440.locator(".measured tbody tr").filter(has_text="Camera motion")
    row.wait_for(timeout=RENDERED)
    mine, other = (run.outcome.metrics["camera_motion"] for run in (pair.a, pair.b))
    texts = row.locator("td").all_inner_texts()
    assert texts[:2] == [f"{mine:.2f} px/frame", f"{other:.2f} px/frame"]
    assert texts[2].replace("−", "-").startswith(f"{other - mine:+.2f} px/frame")
    assert page_1440.locator(".measured thead th").nth(1).inner_text().startswith("A")
    page_1440.get_by_text("not which clip looks better").wait_for()
    page_1440.locator(".look summary").click()
    page_1440.get_by_text("Morphing:").wait_for()


@pytest.mark.parametrize("kind", ["MP4", "WebP"])
def test_the_pair_can_be_downloaded_as_one_file(
    served: Served, page_1440: Page, pair: Comparison, kind: str
) -> None:
    page_1440.goto(f"{served.page}?compare={pair.id}")
    ready(page_1440)
    for _ in range(2):  # made once, handed over twice
        with page_1440.expect_download() as got:
            page_1440.get_by_role("button", name=f"Pair as {kind}").click()
        path = Path(got.value.path())
        assert got.value.suggested_filename.startswith("svdlab-demo-1-0-beside-demo-1-1-")
        assert got.value.suggested_filename.endswith(f".{kind.lower()}")
        if kind == "MP4":
            frames, fps = read_mp4_frames(path)
            assert (len(frames), fps) == (4, 6)
            assert frames.shape[2] > 2 * 96
        else:
            with Image.open(path) as image:
                assert getattr(image, "n_frames", 1) == 4
    assert not list(pair.a.folder.glob("making-*"))


def test_each_side_can_be_downloaded(served: Served, page_1440: Page, pair: Comparison) -> None:
    page_1440.goto(f"{served.page}?compare={pair.id}")
    ready(page_1440)
    for letter, run in (("a", pair.a), ("b", pair.b)):
        with page_1440.expect_download() as got:
            page_1440.locator(f".get-{letter}").click()
        assert Path(got.value.path()).read_bytes() == run.video.read_bytes()
        assert run.recipe.checkpoint in got.value.suggested_filename


# What is asked


def test_sides_can_be_swapped(served: Served, compare: Page) -> None:
    compare.get_by_role("button", name="Swap A and B").click()
    compare.wait_for_function("document.querySelector('#compare-a select').value === 'demo-1-1'")
    assert compare.locator("#compare-b select").input_value() == "demo-1-0"
    assert compare.locator("#compare-num_frames").input_value() == "4", "settings stay"
    compare.locator("#compare-stage .pair-name").nth(0).get_by_text("Demo 1.1").wait_for()
    press_compare(compare)
    ready(compare)
    assert latest(served).a.recipe.checkpoint == "demo-1-1"


def test_the_clips_are_fetched_once(compare: Page) -> None:
    asked: list[str] = []
    compare.on("request", lambda request: asked.append(request.url))
    quick(compare, seed=3)
    press_compare(compare)
    ready(compare)
    for frame in "303":  # played through and begun again
        compare.locator(f"{PLAYER}[data-frame='{frame}']").wait_for()
    assert len([url for url in asked if url.endswith("video.mp4")]) == 2


def test_the_same_pair_is_shown_at_once_and_rendered_again_on_request(served: Served, compare: Page) -> None:
    quick(compare, seed=5)
    press_compare(compare)
    ready(compare)
    before = latest(served)
    press_compare(compare)
    compare.get_by_text("Rendered before.").wait_for()
    ready(compare)
    assert latest(served).id == before.id
    compare.get_by_role("button", name="Render again").click()
    compare.get_by_text("Rendered before.").wait_for(state="hidden")
    ready(compare)
    assert latest(served).id != before.id
    assert latest(served).a.recipe.hash == before.a.recipe.hash


def test_a_preset_made_for_a_pair_falls_back_to_the_demo_pair(served: Served, compare: Page) -> None:
    compare.get_by_role("button", name="Swap A and B").click()
    compare.wait_for_function("document.querySelector('#compare-a select').value === 'demo-1-1'")
    compare.locator("#compare-preset select").select_option("article-4-pair-6-127")
    compare.wait_for_function("document.querySelector('#compare-a select').value === 'demo-1-0'")
    compare.get_by_text("This preset is meant for SVD-XT 1.0, image decoder beside SVD-XT 1.1.").wait_for()
    compare.wait_for_function("document.querySelector('#compare-num_frames').value === '25'")
    assert compare.locator("#compare-seed").input_value() == "1"


def test_a_bad_value_gets_its_sentence_and_nothing_is_submitted(served: Served, compare: Page) -> None:
    before = len(served.lab.history.comparisons(limit=500))
    knob(compare, "motion_bucket_id", "lots")
    press_compare(compare)
    error = compare.locator(".knob.motion_bucket_id .knob-error")
    error.wait_for()
    assert error.text_content() == "Motion bucket must be a whole number from 0 to 1023, got 'lots'."
    assert len(served.lab.history.comparisons(limit=500)) == before


def test_a_checkpoint_that_is_not_here_says_so_under_its_chooser(
    served: Served, compare: Page, screenshots: Path
) -> None:
    before = len(served.lab.history.comparisons(limit=500))
    compare.locator("#compare-b select").select_option("svd-xt-1-1")
    compare.locator("#compare-b .choice-state").get_by_text("HF_HUB_OFFLINE").wait_for()
    press_compare(compare)
    compare.locator("#compare-b .choice-error").get_by_text("SVD-XT 1.1: Not on disk").wait_for()
    assert not compare.locator("#compare-a .choice-error").is_visible()
    compare.screenshot(path=screenshots / "compare-unavailable-1440.png")
    assert len(served.lab.history.comparisons(limit=500)) == before


def test_a_bad_picture_gets_a_sentence_and_loses_nothing(compare: Page, tmp_path: Path) -> None:
    before = compare.locator(".shown img").get_attribute("src")
    bad = tmp_path / "letter.txt"
    bad.write_text("Dear lab")
    compare.set_input_files("#compare-picture input[type=file]", bad)
    compare.get_by_text("letter.txt is not a picture that can be read").wait_for()
    assert compare.locator(".shown img").get_attribute("src") == before
    assert compare.locator("#compare-num_frames").input_value() == "4"


# What happens meanwhile, and afterwards


def test_cancel_stops_both_sides_and_they_can_be_tried_again(
    served: Served, compare: Page, screenshots: Path
) -> None:
    quick(compare, seed=11, num_inference_steps=200)
    press_compare(compare)
    compare.get_by_text(re.compile(r"Rendering both: \d+ of 200 steps, about .* left")).wait_for(
        timeout=RENDERED
    )
    compare.locator(".sp-cancel").click()
    compare.get_by_text("Cancelled.", exact=True).wait_for(timeout=20_000)
    compare.screenshot(path=screenshots / "compare-cancelled-1440.png")
    stopped = latest(served)
    assert {stopped.a.state, stopped.b.state} == {"cancelled"}
    compare.get_by_role("button", name="Try again").click()
    compare.get_by_text(re.compile(r"Rendering both: \d+ of 200 steps")).wait_for(timeout=RENDERED)
    compare.locator(".sp-cancel").click()
    compare.get_by_text("Cancelled.", exact=True).wait_for(timeout=20_000)


def test_closing_the_page_stops_nothing_and_opening_it_finds_the_comparison(
    served: Served, compare: Page, new_page: Callable[..., Page]
) -> None:
    quick(compare, seed=21, num_inference_steps=200)
    press_compare(compare)
    compare.get_by_text(re.compile(r"Rendering both: \d+ of 200 steps")).wait_for(timeout=RENDERED)
    compare.close()
    again = new_page(1440, 900)
    again.goto(served.page)
    again.get_by_text(re.compile(r"Rendering both: \d+ of 200 steps")).wait_for(timeout=15_000)
    assert again.locator("#compare-seed").input_value() == "21"
    again.locator(".sp-cancel").click()
    again.get_by_text("Cancelled.", exact=True).wait_for(timeout=20_000)


def test_a_link_opens_a_comparison_and_a_tile_another(
    served: Served, page_1440: Page, pair: Comparison, compare: Page
) -> None:
    quick(compare, seed=31)
    press_compare(compare)
    ready(compare)
    compare.goto(f"{served.page}?compare={pair.id}")
    ready(compare)
    assert compare.locator("#compare-seed").input_value() == "77"
    assert compare.locator(".tile[aria-current=true]").get_attribute("data-run") == pair.id
    compare.locator(".tile").nth(0).click()
    compare.wait_for_function("document.querySelector('#compare-seed').value === '31'")
    compare.locator(".result-line").get_by_text("seed 31").wait_for()
    compare.goto(f"{served.page}?compare=nothing")
    compare.get_by_text("There is no comparison 'nothing'.").wait_for()


def test_a_run_of_explore_takes_its_side(served: Served, page_1440: Page, pair: Comparison) -> None:
    for run in (pair.a, pair.b):
        visit(page_1440, f"{served.page}?from={run.id}")
        page_1440.wait_for_function("document.querySelector('#compare-seed').value === '77'")
        assert page_1440.locator("#compare-a select").input_value() == "demo-1-0"
        assert page_1440.locator("#compare-b select").input_value() == "demo-1-1"
        assert page_1440.locator("#compare-width").input_value() == "96"


def test_one_failed_side_says_why_and_the_other_plays(
    served: Served, page_1440: Page, example_picture: Path, screenshots: Path
) -> None:
    made = served.lab.compare(example_picture, "demo-1-0", "demo-1-1", seed=51, **SMALL)
    rows.change(  # as the worker leaves a side that did not fit
        served.lab.history,
        "UPDATE runs SET state = 'failed', error = 'the device has too little memory' WHERE id = ?",
        made.a.id,
    )
    page_1440.goto(f"{served.page}?compare={made.id}")
    page_1440.get_by_text("A was not rendered. The device has too little memory.").wait_for()
    ready(page_1440)
    assert player(page_1440, "sides") == "1"
    assert page_1440.locator(".sp-name").first.inner_text() == "B · Demo 1.1 · demo-1-1"
    assert not page_1440.locator(".badge").is_visible()
    assert page_1440.get_by_role("button", name="Try again").count() == 1
    page_1440.screenshot(path=screenshots / "compare-one-failed-1440.png")
    page_1440.get_by_role("button", name="Try again").click()
    page_1440.locator(".badge[data-fair=true]").wait_for(timeout=RENDERED)
    ready(page_1440)


def test_an_interrupted_comparison_is_offered_to_be_resumed(
    served: Served, page_1440: Page, example_picture: Path
) -> None:
    made = served.lab.compare(example_picture, "demo-1-0", "demo-1-1", seed=61, **SMALL)
    # As a kill −9 leaves it once the next start has looked.
    rows.change(served.lab.history, "UPDATE runs SET state = 'interrupted' WHERE comparison = ?", made.id)
    visit(page_1440, served.page)
    page_1440.locator(".strip-notice").get_by_text("interrupted").wait_for()
    page_1440.locator(".strip .resume").click()
    ready(page_1440)
    assert served.lab.history.comparison(made.id).b.done


# Sides of different length


def test_unequal_frame_counts_are_no_fair_pair_and_the_shared_prefix_is_said(
    served: Served, page_1440: Page, example_picture: Path, screenshots: Path
) -> None:
    lab = served.lab
    a, b = lab.comparison_recipes(lab.add_picture(example_picture), seed=7, changes=SMALL)
    longer = b.model_copy(update={"settings": b.settings.but(num_frames=6)})
    made = lab.submit_comparison(a, longer)
    lab.wait(made.a.id, made.b.id)
    page_1440.goto(f"{served.page}?compare={made.id}")
    ready(page_1440)
    assert page_1440.locator(".badge").get_attribute("data-fair") == "false"
    page_1440.get_by_text("A has 4 frames and B has 6: only the first 4 can be put side by side").wait_for()
    checks = page_1440.locator(".check").all_inner_texts()
    assert checks == ["same picture", "different settings", "same noise in the first 4 frames"]
    page_1440.get_by_text("4 and 6 frames at 6 fps · model saw 5 · seed 7").wait_for()
    assert not page_1440.locator("#compare-option input").is_checked(), "no side's native count"
    page_1440.get_by_text("A is measured over its 4 frames, B over its 6.").wait_for()
    page_1440.screenshot(path=screenshots / "compare-unfair-1440.png", full_page=True)


def test_each_side_can_make_its_native_frame_count(served: Served, compare: Page) -> None:
    compare.locator("#compare-a select").select_option("demo-short")
    compare.get_by_text("A was trained on 3 frames, B on 14.").wait_for()
    compare.locator("#compare-option label").click()
    compare.get_by_text("only the first 3 can be put side by side").wait_for()
    knob(compare, "width", SMALL["width"])  # a checkpoint brings its size along
    knob(compare, "height", SMALL["height"])
    press_compare(compare)
    ready(compare, frames=3)
    assert compare.locator(".badge").get_attribute("data-fair") == "false"
    compare.get_by_text("Comparing the first 3 frames; B has 14.").wait_for()
    made = latest(served)
    assert (made.a.settings.num_frames, made.b.settings.num_frames) == (3, 14)
    compare.goto(compare.url + f"?compare={made.id}")
    ready(compare, frames=3)
    assert compare.locator("#compare-option input").is_checked()


# Looks


def test_a_phone_shows_all_in_one_column(
    served: Served, page_390: Page, pair: Comparison, screenshots: Path
) -> None:
    visit(page_390, served.page)
    page_390.screenshot(path=screenshots / "compare-first-visit-390.png", full_page=True)
    assert no_overflow(page_390)
    page_390.goto(f"{served.page}?compare={pair.id}")
    ready(page_390)
    page_390.screenshot(path=screenshots / "compare-390.png", full_page=True)
    assert no_overflow(page_390)
    order = [
        page_390.locator(selector).bounding_box()["y"]  # type: ignore[index]
        for selector in (
            "#compare-a",
            "#compare-b",
            "#compare-picture",
            "#compare-start",
            "#compare-player",
            "#compare-preset",
            "#compare-knobs",
        )
    ]
    assert order == sorted(order)
    page_390.locator("#compare-knobs .knobs-more > summary").tap()
    page_390.locator(".look summary").tap()
    small = page_390.evaluate(
        """() => Array.from(document.querySelectorAll(
                'button, select, summary, .segments label, .option label, .small'))
            .filter((e) => e.offsetParent && !e.classList.contains('why') && !e.closest('#compare-player'))
            .filter((e) => e.getBoundingClientRect().height < 40).map((e) => e.outerHTML.slice(0, 90))"""
    )
    assert small == []
    assert no_overflow(page_390)


def test_a_finger_wipes_on_a_phone(
    served: Served, page_390: Page, pair: Comparison, screenshots: Path
) -> None:
    page_390.goto(f"{served.page}?compare={pair.id}")
    ready(page_390)
    page_390.locator("[data-set-mode=wipe]").tap()
    page_390.locator(f"{PLAYER} .sp-b .sp-view").scroll_into_view_if_needed()
    box = page_390.locator(f"{PLAYER} .sp-b .sp-view").bounding_box()
    assert box is not None
    touch = page_390.context.new_cdp_session(page_390)
    y = box["y"] + 40
    for kind, part in (("touchStart", 0.5), ("touchMove", 0.6), ("touchMove", 0.7), ("touchEnd", 0.7)):
        spot = [{"x": box["x"] + part * box["width"], "y": y}] if kind != "touchEnd" else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spot})
    assert page_390.locator(".sp-divider").get_attribute("aria-valuenow") == "70"
    page_390.screenshot(path=screenshots / "compare-wipe-390.png")


@pytest.mark.parametrize("width", [1440, 390])
def test_it_is_dark_in_the_dark(
    served: Served, new_page: Callable[..., Page], pair: Comparison, screenshots: Path, width: int
) -> None:
    page = new_page(width, 900 if width > 400 else 844)
    page.goto(f"{served.page}?__theme=dark&compare={pair.id}")
    ready(page)
    page.screenshot(path=screenshots / f"compare-dark-{width}.png", full_page=True)
    ground = page.evaluate("getComputedStyle(document.querySelector('.measured .scroll')).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground)[:3])) < 60
    assert no_overflow(page)


# Without a browser


def test_on_a_shared_space_a_visitor_sees_only_their_own(served: Served, pair: Comparison) -> None:
    with Lab(served.lab.data_dir, environment=Environment.read({"SPACE_ID": "someone/svdlab"})) as shared:
        page, visit = Compare(shared), Visit(shared, Visitor("somebody"))
        assert page.strip_value(visit, [])["runs"] == []
        assert [tile["id"] for tile in page.strip_value(visit, [pair.id, "nothing"])["runs"]] == [pair.id]


def test_a_difference_of_nothing_has_no_sign(pair: Comparison) -> None:
    def run(zoom: float) -> Run:
        return replace(pair.a, outcome=replace(pair.a.outcome, metrics={"zoom": zoom}))

    row = next(r for r in compare_result.measures(run(-0.301), run(-0.304)) if r["label"] == "Zoom")
    assert (row["a"], row["b"], row["difference"]) == ("−0.30", "−0.30", "0.00")
    absent = next(r for r in compare_result.measures(run(1), run(2)) if r["label"] == "Flicker")
    assert absent["difference"] == "–"


# The endpoint


@pytest.fixture(scope="module")
def client(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = Client(served.address, verbose=False, download_files=tmp_path_factory.mktemp("got"))
    yield client
    client.close()


def test_the_endpoint_gives_one_video_and_both_recipes(
    client: Client, example_picture: Path, demo_pair: tuple[str, str]
) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    parameters = [p["parameter_name"] for p in named["/compare"]["parameters"]]
    assert parameters == ["picture", "a", "b", "preset", "loras", *KNOBS]
    video, told = client.predict(handle_file(str(example_picture)), api_name="/compare", seed=9, **SMALL)
    frames, _ = read_mp4_frames(video)
    assert len(frames) == 4
    assert (told["a"]["checkpoint"], told["b"]["checkpoint"]) == demo_pair
    assert told["fairness"]["fair"] is True
    assert told["noise_sha256"]["a"] == told["noise_sha256"]["b"]
    assert set(told["metrics"]["a"]) == set(told["metrics"]["b"]) == set(METRICS)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"a": "svd-2"}, "there is no checkpoint 'svd-2'"),
        ({"b": ["demo-1-1"]}, "there is no checkpoint"),
        ({"fps": "NaN"}, "fps must be a whole number from 1 to 60, got 'NaN'"),
        ({"preset": "nicest"}, "there is no preset 'nicest'"),
    ],
)
def test_a_wrong_argument_gets_its_sentence(
    client: Client, example_picture: Path, wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(AppError) as refused:
        client.predict(handle_file(str(example_picture)), api_name="/compare", **{**SMALL, **wrong})
    assert str(refused.value).startswith(says)
    assert "Traceback" not in str(refused.value)
