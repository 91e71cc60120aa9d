"""The player in a real browser: both clips stand at the same frame, whatever is done to it."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
import pytest
from gradio.processing_utils import move_files_to_cache

from svdlab.clips import video
from svdlab.ui.parts import player
from svdlab.ui.parts.element import PARTS, text_of
from svdlab.ui.parts.player import Clip, ComparePlayer, player_value, preview_value
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

SIZE = (192, 112)  # width, height
FRAMES = 12
SHORT = 7
FPS = 6
NAMES = ("SVD-XT 1.0 · svd-xt", "<img src=x onerror=\"document.title='owned'\"> & Co")
MODES = ("side", "wipe", "difference", "blink")


def level_a(index: int) -> int:
    return 16 + 18 * index


def level_b(index: int) -> int:
    return 240 - 15 * index


def clip_of(levels: list[int]) -> np.ndarray:
    """Flat grey frames with a bar that walks, so that a frame can be told by its middle and by its look."""
    width, height = SIZE
    frames = np.repeat(np.array(levels, np.uint8), height * width * 3).reshape(-1, height, width, 3)
    for index, frame in enumerate(frames):
        frame[:16, 6 * index : 6 * index + 12] = (230, 140, 40)
    return frames


@dataclass
class Site:
    """A small app with a player and a button for each value it can be given."""

    url: str
    stopped: list[Any] = field(default_factory=list)


def values(folder: Path) -> dict[str, Any]:
    a, b, short, broken = (folder / f"{name}.mp4" for name in ("a", "b", "short", "broken"))
    frames_a, frames_b = (
        clip_of([level_a(i) for i in range(FRAMES)]),
        clip_of([level_b(i) for i in range(FRAMES)]),
    )
    video.write_mp4(a, frames_a, FPS)
    video.write_mp4(b, frames_b, FPS)
    video.write_mp4(short, frames_b[:SHORT], FPS)
    broken.write_bytes(b"no video" * 100)
    webp = [
        "data:image/webp;base64," + base64.b64encode(video.webp_bytes(f[:4], FPS)).decode()
        for f in (frames_a, frames_b)
    ]
    side_a, side_b = Clip(a, NAMES[0], FRAMES), Clip(b, NAMES[1], FRAMES)
    words = {"text": "Rendering: 12 of 25 steps, about 8 s left.", "fraction": 0.48, "size": SIZE}
    return {
        "pair": player_value(side_a, side_b, fps=FPS, size=SIZE),
        "same": player_value(side_a, side_a, fps=FPS),
        "unequal": player_value(side_a, Clip(short, NAMES[1], SHORT), fps=FPS),
        "single": player_value(side_a, fps=FPS, size=SIZE),
        "broken": player_value(side_a, Clip(broken, NAMES[1], FRAMES), fps=FPS),
        "preview": preview_value(*webp, labels=NAMES, cancel="run-7", **words),
        "forming": preview_value(webp[0], labels=NAMES[:1], **words),
        "nothing": None,
    }


def build(shown: dict[str, Any], stopped: list[Any]) -> gr.Blocks:
    def stop(event: gr.EventData) -> None:
        stopped.append(event.run)

    with gr.Blocks(analytics_enabled=False) as app:
        pair = ComparePlayer(empty="Choose two checkpoints.", elem_id="pair")
        gr.Textbox(label="words", elem_id="words")
        with gr.Row():
            for name, value in shown.items():
                gr.Button(name, min_width=60).click(
                    partial(deepcopy, value), None, pair, show_progress="hidden"
                )
        pair.stop(stop, None, None)
    return app


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("clips")
    stopped: list[Any] = []
    app = build(values(folder), stopped)
    _, url, _ = app.launch(
        prevent_thread_lock=True, quiet=True, run_history=False, ssr_mode=False, allowed_paths=[str(folder)]
    )
    yield Site(url, stopped)
    app.close()


@dataclass
class Player:
    """What a person at the page does with the player and sees of it."""

    page: Page

    @property
    def root(self) -> Locator:
        return self.page.locator("#pair .sp-player")

    def show(self, name: str, state: str = "ready") -> None:
        self.page.get_by_role("button", name=name, exact=True).click()
        self.page.wait_for_selector(f'#pair .sp-player[data-state="{state}"]', timeout=20_000)
        self.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")

    def data(self, name: str) -> str:
        return self.root.get_attribute(f"data-{name}") or ""

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def scrub(self, index: int) -> None:
        self.root.locator(".sp-scrub").evaluate(
            "(range, value) => { range.value = value; range.dispatchEvent(new Event('input', {bubbles: true})); }",
            index,
        )

    def pixel(self, canvas: str, x: float = 0.5, y: float = 0.5) -> list[int]:
        """Red, green, blue of a canvas at a part of its width and height."""
        return self.root.locator(canvas).evaluate(
            """(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(
                Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data].slice(0, 3)""",
            [x, y],
        )

    def levels(self) -> tuple[int, int]:
        return self.pixel(".sp-a .sp-clip")[0], self.pixel(".sp-b .sp-clip")[0]

    def on_screen(self, x: float, y: float = 0.5, pane: str = ".sp-b") -> list[int]:
        """Red, green, blue of what a person sees at a part of a pane."""
        import io

        from PIL import Image

        box = self.root.locator(f"{pane} .sp-view").bounding_box()
        assert box is not None
        shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        return list(shot.getpixel((int(box["x"] + x * box["width"]), int(box["y"] + y * box["height"]))))  # type: ignore[arg-type]


@pytest.fixture
def open_player(site: Site, new_page: Callable[..., Page]) -> Callable[..., Player]:
    def open_it(width: int = 1440, height: int = 900, *, query: str = "", moving: bool = False) -> Player:
        page = new_page(width, height, phone=width < 600)
        page.emulate_media(reduced_motion="no-preference" if moving else "reduce")
        page.goto(site.url + query)
        page.wait_for_selector("#pair .sp-player")
        return Player(page)

    return open_it


@pytest.fixture(scope="module")
def shared_page(site: Site, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(site.url)
    page.wait_for_selector("#pair .sp-player")
    yield page
    context.close()


@pytest.fixture
def seen(shared_page: Page) -> Iterator[Player]:
    """A player that others have used before and will use after: side by side, whole picture, nothing in it."""
    thrown: list[str] = []
    shared_page.on("pageerror", lambda error: thrown.append(str(error)))
    player = Player(shared_page)
    if player.data("state") != "empty":  # so that every state waited for is a new one
        player.show("nothing", "empty")
    player.show("pair")
    player.press("1", "0", "Home")
    player.show("nothing", "empty")
    yield player
    assert not thrown


def near(value: int, wanted: int, within: int = 3) -> bool:
    return abs(value - wanted) <= within


# Frame-lock


def test_both_sides_stand_at_the_same_frame_in_every_mode(seen: Player) -> None:
    seen.show("pair")
    assert (seen.data("frames"), seen.data("frame"), seen.data("playing")) == ("12", "0", "false")
    for index in range(FRAMES):
        seen.scrub(index)
        a, b = seen.levels()
        assert near(a, level_a(index)), f"A shows another frame than {index}"
        assert near(b, level_b(index)), f"B shows another frame than {index}"
    for key, mode in enumerate(MODES, start=1):
        seen.press(str(key))
        assert seen.data("mode") == mode
        for index in (3, 11, 7):
            seen.scrub(index)
            assert seen.data("frame") == str(index)
            if mode == "difference":
                wanted = min(255, 4 * abs(level_a(index) - level_b(index)))
                assert near(seen.pixel(".sp-diff")[0], wanted, 12)
            else:
                a, b = seen.levels()
                assert near(a, level_a(index))
                assert near(b, level_b(index))


def test_it_stays_locked_while_it_plays(open_player: Callable[..., Player]) -> None:
    seen = open_player(moving=True)
    seen.show("pair")
    assert seen.data("playing") == "true"
    seen.root.locator(".sp-speed").select_option("2")
    samples = seen.page.evaluate(
        """async () => {
            const of = (name) => document.querySelector('#pair ' + name + ' .sp-clip').getContext('2d');
            const [a, b] = [of('.sp-a'), of('.sp-b')];
            const seen = [];
            for (let i = 0; i < 60; i++) {
                await new Promise(requestAnimationFrame);
                seen.push([a.getImageData(96, 56, 1, 1).data[0], b.getImageData(96, 56, 1, 1).data[0]]);
            }
            return seen;
        }"""
    )
    frames = [round((a - 16) / 18) for a, _ in samples]
    assert len(set(frames)) > 3
    assert [round((240 - b) / 15) for _, b in samples] == frames


def test_the_clock_keeps_the_rate_and_the_loop(seen: Player) -> None:
    seen.show("pair")
    seen.press("Space")
    samples = seen.page.evaluate(
        """async () => {
            const root = document.querySelector('#pair .sp-player'), seen = [];
            while (new Set(seen.map(([_, frame]) => frame)).size < 8 && seen.length < 2000)
                seen.push([await new Promise(requestAnimationFrame), Number(root.dataset.frame)]);
            return seen;
        }"""
    )
    seen.press("Space")
    assert seen.data("playing") == "false"
    assert len({frame for _, frame in samples}) == 8
    for time, frame in samples:  # by the page's own clock, however slow the machine
        wanted = samples[0][1] + (time - samples[0][0]) / 1000 * FPS
        assert abs((frame - wanted + FRAMES / 2) % FRAMES - FRAMES / 2) <= 2
    seen.press("End", "l", "l")  # once
    seen.press("ArrowLeft", "Space")
    seen.page.wait_for_selector('#pair .sp-player[data-playing="false"]', timeout=20_000)
    assert seen.data("frame") == "11"
    seen.press("l", "l", "Home", "End", "Space")  # back and forth
    seen.page.wait_for_function(
        "document.querySelector('#pair .sp-player').dataset.frame === '9'", timeout=20_000
    )


def test_unequal_clips_play_what_both_have_and_say_so(seen: Player) -> None:
    seen.show("unequal")
    assert seen.data("frames") == "7"
    assert seen.root.locator(".sp-notice").inner_text() == "Comparing the first 7 frames; A has 12."
    seen.press("End")
    assert near(seen.levels()[0], level_a(6))
    assert near(seen.levels()[1], level_b(6))


# Modes


def test_identical_clips_differ_in_nothing(seen: Player) -> None:
    seen.show("same")
    seen.press("3")
    seen.root.locator(".sp-amplify input").fill("16")
    for index in (0, 4, 11):
        seen.scrub(index)
        brightest = seen.root.locator(".sp-diff").evaluate(
            """(canvas) => Math.max(...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
                .data.filter((_, i) => i % 4 < 3))"""
        )
        assert brightest == 0


def test_the_difference_is_amplified_as_said(seen: Player) -> None:
    seen.show("pair")
    seen.press("3")
    seen.scrub(6)
    apart = abs(level_a(6) - level_b(6))
    for times in (1, 4, 16):
        seen.root.locator(".sp-amplify input").fill(str(times))
        assert seen.root.locator(".sp-amplify output").inner_text() == f"×{times}"
        assert near(seen.pixel(".sp-diff")[1], min(255, times * apart), 3 * times)


def test_the_divider_follows_mouse_and_keys(seen: Player) -> None:
    seen.show("pair")
    seen.press("2")
    seen.scrub(2)
    divider = seen.root.locator(".sp-divider")
    box = seen.root.locator(".sp-b .sp-view").bounding_box()
    assert box is not None
    assert near(seen.on_screen(0.25)[0], level_a(2), 6)
    assert near(seen.on_screen(0.75)[0], level_b(2), 6)
    mouse = seen.page.mouse
    mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50)
    mouse.down()
    mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 60, steps=4)
    mouse.up()
    assert divider.get_attribute("aria-valuenow") == "20"
    assert near(seen.on_screen(0.25)[0], level_b(2), 6)
    assert seen.data("playing") == "false", "a drag is no click"
    assert near(seen.on_screen(0.1)[0], level_a(2), 6)
    divider.focus()
    seen.press("ArrowRight", "ArrowRight")
    assert divider.get_attribute("aria-valuenow") == "24"
    assert seen.data("frame") == "2", "the divider's arrow keys are no steps"
    mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 60)
    assert seen.data("playing") == "true"


def test_blink_alternates_and_x_shows_the_other_side(seen: Player) -> None:
    seen.show("pair")
    seen.press("4")
    seen.root.locator(".sp-rate input").fill("4")
    sides = seen.page.evaluate(
        """async () => {
            const seen = [];
            for (let i = 0; i < 80; i++) {
                await new Promise(requestAnimationFrame);
                seen.push(document.querySelector('#pair .sp-player').dataset.side);
            }
            return seen;
        }"""
    )
    assert set(sides) == {"a", "b"}
    seen.page.evaluate("document.activeElement.blur()")
    seen.page.keyboard.down("x")
    held = seen.data("side")
    sides = seen.page.evaluate(
        """async () => {
            const seen = new Set(), began = performance.now();
            while (performance.now() < began + 600) {  // more than two switches
                await new Promise(requestAnimationFrame);
                seen.add(document.querySelector('#pair .sp-player').dataset.side);
            }
            return [...seen];
        }"""
    )
    assert sides == [held]
    wanted = (level_a if held == "a" else level_b)(0)
    assert near(seen.on_screen(0.5)[0], wanted, 6)
    seen.page.keyboard.up("x")
    seen.press("1")
    seen.page.keyboard.down("x")
    assert near(seen.levels()[0], level_b(0)), "held, X swaps A and B"
    assert seen.root.locator(".sp-a .sp-name").inner_text() == NAMES[1]
    seen.page.keyboard.up("x")
    assert near(seen.levels()[0], level_a(0))


# Transport, keys, zoom


def test_buttons_and_keys_step(seen: Player) -> None:
    seen.show("pair")
    for key, frame in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", 11),
        ("ArrowRight", 11),
        ("Home", 0),
    ):
        seen.press(key)
        assert seen.data("frame") == str(frame)
    for label, frame in (("One frame on", 1), ("Last frame", 11), ("One frame back", 10), ("First frame", 0)):
        seen.root.get_by_role("button", name=label).click()
        assert seen.data("frame") == str(frame)
    seen.press("ArrowRight")
    assert seen.data("frame") == "1", "keys work after the mouse"
    assert seen.root.locator(".sp-reading").inner_text().split() == ["2/12", "0.17", "s", "·", "6", "fps"]
    seen.root.get_by_role("button", name="Play", exact=True).click()
    assert seen.data("playing") == "true"
    seen.root.get_by_role("button", name="Pause").click()
    assert seen.data("playing") == "false"


def test_typing_elsewhere_is_left_alone(seen: Player) -> None:
    seen.show("pair")
    seen.page.locator("#words textarea, #words input").first.focus()
    seen.press("2", "ArrowRight", "Space", "?")
    assert (seen.data("mode"), seen.data("frame"), seen.data("playing")) == ("side", "0", "false")
    assert seen.page.locator("#words textarea, #words input").first.input_value() == "2 ?"


def test_the_keys_are_told_and_put_away(seen: Player) -> None:
    seen.show("pair")
    seen.press("?")
    assert seen.root.get_by_role("dialog", name="Keys").is_visible()
    seen.press("Escape")
    assert not seen.root.get_by_role("dialog", name="Keys").is_visible()


def test_zoom_and_pan_are_the_same_on_both_sides(seen: Player) -> None:
    seen.show("pair")
    seen.press("+", "+")
    assert seen.root.locator(".sp-zoom-level").inner_text() == "4×"
    box = seen.root.locator(".sp-a .sp-view").bounding_box()
    assert box is not None
    mouse = seen.page.mouse
    for _ in range(2):
        mouse.move(box["x"] + 50, box["y"] + 50)
        mouse.down()
        mouse.move(box["x"] + 560, box["y"] + 300, steps=4)
        mouse.up()
    placed = [
        seen.root.locator(f"{side} .sp-clip").evaluate("(c) => getComputedStyle(c).transform")
        for side in (".sp-a", ".sp-b")
    ]
    assert placed[0] == placed[1]
    assert placed[0].startswith("matrix(4,")
    assert seen.data("playing") == "false"
    # The walking bar at the top left comes into sight on both.
    assert seen.on_screen(0.1, 0.1, ".sp-a")[0] > 200
    assert seen.on_screen(0.1, 0.1, ".sp-b")[0] > 200
    seen.press("0")
    assert seen.data("zoomed") == "false"
    seen.page.keyboard.down("Control")
    mouse.wheel(0, -300)
    seen.page.wait_for_selector('#pair .sp-player[data-zoomed="true"]', timeout=5000)
    seen.page.keyboard.up("Control")


# Other values


def test_one_clip_plays_with_the_same_transport(seen: Player) -> None:
    seen.show("single")
    assert not seen.root.get_by_role("group", name="How to compare").is_visible()
    seen.press("2", "End")
    assert (seen.data("sides"), seen.data("mode"), seen.data("frame")) == ("1", "side", "11")
    assert near(seen.pixel(".sp-a .sp-clip")[0], level_a(11))


def test_a_preview_gives_way_to_the_clips_without_a_jump(
    site: Site, open_player: Callable[..., Player]
) -> None:
    seen = open_player()
    seen.show("preview", "preview")
    seen.page.wait_for_selector("#pair .sp-b .sp-forming:not([hidden])")
    assert seen.root.locator(".sp-words").inner_text() == "Rendering: 12 of 25 steps, about 8 s left."
    assert seen.root.get_by_role("progressbar").get_attribute("aria-valuenow") == "48"
    before = [seen.root.locator(f"{side} .sp-view").bounding_box() for side in (".sp-a", ".sp-b")]
    height = seen.root.bounding_box()
    seen.root.get_by_role("button", name="Cancel").click()
    seen.show("pair")
    assert [seen.root.locator(f"{side} .sp-view").bounding_box() for side in (".sp-a", ".sp-b")] == before
    assert seen.root.bounding_box() == height
    assert not seen.root.locator(".sp-forming").first.is_visible()
    assert site.stopped == ["run-7"]


def test_nothing_shows_the_placeholder(seen: Player) -> None:
    assert seen.root.locator(".sp-placeholder").inner_text() == "Choose two checkpoints."
    seen.show("pair")
    seen.show("nothing", "empty")
    assert seen.root.locator(".sp-placeholder").is_visible()
    assert seen.data("frames") == "0"


def test_a_file_that_does_not_play_is_told_in_a_sentence(seen: Player) -> None:
    seen.show("broken", "failed")
    assert seen.root.locator(".sp-notice").inner_text().startswith("This browser cannot play the video")
    seen.show("pair")
    assert not seen.root.locator(".sp-notice").is_visible()


def test_labels_are_text_and_never_markup(seen: Player) -> None:
    seen.show("pair")
    assert seen.root.locator(".sp-name").all_inner_texts() == list(NAMES)
    assert seen.root.locator(".sp-name img").count() == 0
    assert seen.page.title() != "owned"


def test_it_works_under_a_path_of_its_own(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    import uvicorn
    from fastapi import FastAPI

    shown = values(tmp_path)
    mounted = gr.mount_gradio_app(
        FastAPI(), build(shown, []), path="/some/lab", allowed_paths=[str(tmp_path)], ssr_mode=False
    )
    server = uvicorn.Server(uvicorn.Config(mounted, port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the server")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        page = new_page(1200, 800)
        page.goto(f"http://127.0.0.1:{port}/some/lab/")
        page.wait_for_selector("#pair .sp-player")
        Player(page).show("pair")
    finally:
        server.should_exit = True
        thread.join(10)


# Looks


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_nothing_overflows_and_it_can_be_looked_at(
    open_player: Callable[..., Player], screenshots: Path, width: int, height: int
) -> None:
    seen = open_player(width, height, query="?__theme=light")

    def look(name: str) -> None:
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        for theme in ("light", "dark"):
            seen.page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", theme == "dark")
            seen.page.screenshot(path=screenshots / f"player-{width}-{theme}-{name}.png")

    seen.show("preview", "preview")
    seen.page.wait_for_selector("#pair .sp-b .sp-forming:not([hidden])")
    look("preview")
    seen.show("pair")
    for key, mode in enumerate(MODES, start=1):
        seen.press(str(key), "ArrowRight")
        look(mode)
    if width > 600:
        return
    reach = seen.root.locator("button:visible, select:visible, .sp-scrub").evaluate_all(
        "(all) => all.map((one) => Math.round(one.getBoundingClientRect().height))"
    )
    assert min(reach) >= 36, "mode buttons have 36 px in a frame of 40, all others 40"
    seen.press("1")
    a, b = (seen.root.locator(f"{side} .sp-view").bounding_box() for side in (".sp-a", ".sp-b"))
    assert a is not None
    assert b is not None
    assert b["y"] >= a["y"] + a["height"], "stacked on a phone"


def test_a_finger_moves_the_divider_and_two_zoom(open_player: Callable[..., Player]) -> None:
    seen = open_player(390, 844)
    seen.show("pair")
    seen.root.locator("[data-set-mode=wipe]").tap()
    box = seen.root.locator(".sp-b .sp-view").bounding_box()
    assert box is not None
    touch = seen.page.context.new_cdp_session(seen.page)

    def at(kind: str, part: float) -> None:
        spot = [{"x": box["x"] + part * box["width"], "y": box["y"] + 40}] if kind != "touchEnd" else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spot})

    at("touchStart", 0.5)
    for part in (0.55, 0.65, 0.7):
        at("touchMove", part)
    at("touchEnd", 0.7)
    assert seen.root.locator(".sp-divider").get_attribute("aria-valuenow") == "70"

    def two(kind: str, apart: float) -> None:
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        spots = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    seen.root.locator("[data-set-mode=side]").tap()
    two("touchStart", 20)
    for apart in (30, 45, 60):
        two("touchMove", apart)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert seen.root.locator(".sp-zoom-level").inner_text() == "3×"
    assert seen.data("playing") == "false"


# Without a browser


def test_the_template_holds_nothing_the_template_languages_would_run() -> None:
    for name in ("player.html", "player.css"):
        text = text_of(f"player/{name}")
        assert not [mark for mark in ("`", "${", "{{", "\\") if mark in text], name
        assert "http:" not in text
        assert "https:" not in text


def test_no_script_makes_markup_from_text() -> None:
    code = "".join(text_of(path) for path in player.SCRIPTS)
    assert not [
        way
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
        if way in code
    ]


def test_importing_it_leaves_no_stub_behind() -> None:
    assert not list(PARTS.rglob("*.pyi"))


def test_the_player_shows_only_what_it_knows() -> None:
    with gr.Blocks(), pytest.raises(TypeError, match="player_value"):
        ComparePlayer("a.mp4")  # type: ignore[arg-type]


def test_one_label_makes_one_side() -> None:
    assert preview_value(None, text="", fraction=0, labels=("A",))["b"] is None
    assert preview_value(None, text="", fraction=0, labels=("A", "B"))["b"] == {"url": None, "label": "B"}


def test_a_clip_is_shown_where_it_lies_and_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "passing"))
    clip = tmp_path / "video.mp4"
    clip.write_bytes(b"a clip")
    with gr.Blocks():
        shown = ComparePlayer()
    value = shown.postprocess(player_value(Clip(clip, "A", 4), fps=6))
    sent = move_files_to_cache(value, shown, postprocess=True)
    assert sent["a"]["path"] == str(clip)
    assert not (tmp_path / "passing").exists()
