"""Whatever people write, name and send in an address is shown as they wrote it, and nothing of it runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from svdlab.lab.desk import Desk
from tests.ui.conftest import Filled

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Each would set window.taken if it were taken for code somewhere.
HOSTILE = (
    '<img src=x onerror="window.taken=1">',
    "<script>window.taken=2</script>",
    '"><svg onload=window.taken=3>',
    "' onmouseover='window.taken=4",
    "</textarea><script>window.taken=5</script>",
    "javascript:window.taken=6",
    "${window.taken=7}",
    "{{window.taken=8}}",
    "`;window.taken=9;`",
    "{@html '<img src=x onerror=window.taken=10>'}",
    "</script><script>window.taken=11</script>",
    "\\u003cimg src=x onerror=window.taken=12\\u003e",
    "<a href=javascript:window.taken=13>x</a>",
    '[x](javascript:window.taken=14) ![x](x"onerror="window.taken=14)',
)


def quiet(page: Page) -> None:
    """Nothing that was written has run, also not what the pointer meets."""
    page.mouse.move(300, 300)
    page.wait_for_timeout(300)
    assert page.evaluate("window.taken") is None
    assert page.locator("script:text('window.taken')").count() == 0


def test_nothing_that_is_written_runs(
    filled: Filled, new_page: Callable[..., Page], example_picture: Path, tmp_path: Path
) -> None:
    lab, run = filled.lab, filled.runs[0]
    everything = "\n".join(HOSTILE)
    lab.history.note(run.id, everything)
    for number, one in enumerate(HOSTILE):
        lab.history.tag(filled.runs[number % 3].id, one.replace(",", " ")[:40])
    waiting = lab.submit(filled.runs[4].recipe)
    [claimed] = (desk := Desk(lab, only=[waiting.id])).claim()
    desk.fail(claimed, everything)
    [pair] = lab.history.comparisons(limit=1)
    lab.history.note(pair.id, everything)
    page = new_page(1440, 900)

    page.goto(filled.history)
    page.locator(f".gallery-tile[data-id='{run.id}']").wait_for()
    assert HOSTILE[0] in page.locator(f".gallery-tile[data-id='{run.id}']").inner_text()
    quiet(page)
    page.goto(filled.page_of(run))
    page.locator(".run-note textarea").wait_for()
    assert page.locator(".run-note textarea").input_value() == everything
    quiet(page)
    page.goto(filled.page_of(claimed))
    page.get_by_text(HOSTILE[1]).first.wait_for()
    quiet(page)
    page.goto(f"{filled.address}?run={waiting.id}")
    page.get_by_text(HOSTILE[1]).first.wait_for()
    quiet(page)
    page.goto(f"{filled.address}compare?compare={pair.id}")
    page.locator("#compare-result").wait_for()
    quiet(page)

    said = quote("".join(HOSTILE), safe="")  # what an address says
    for address in (
        "?run={}",
        "run?run={}",
        "compare?compare={}",
        "history?text={}&tag={}&where={}",
        "history?wall={}",
    ):
        page.goto(filled.address + address.replace("{}", said))
        page.locator("header.frame").wait_for()
        quiet(page)

    page.goto(filled.address)  # what a file is called, and what it says of itself
    page.locator("#explore-picture .shown img[src^='data:']").wait_for()
    name = "<img src=x onerror=window.taken=15>.jpg"
    files = [{"name": name, "mimeType": "image/jpeg", "buffer": example_picture.read_bytes()}]
    page.set_input_files("#explore-picture input[type=file]", files)  # type: ignore[arg-type]
    page.locator("#explore-picture .shown img[alt*='onerror']").wait_for()
    quiet(page)
    recipe = {**json.loads(run.recipe.to_json()), "versions": {"svdlab": HOSTILE[0], HOSTILE[1]: "1"}}
    files = [{"name": "recipe.json", "mimeType": "application/json", "buffer": json.dumps(recipe).encode()}]
    page.set_input_files("#explore-picture input[type=file]", files)  # type: ignore[arg-type]
    page.locator("#explore-picture", has_text="recipe.json").wait_for()
    quiet(page)
