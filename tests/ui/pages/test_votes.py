"""The Vote page in a browser: two clips from one video, answers by key and by hand, nothing that tells the sides."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from svdlab.clips.video import read_tags
from svdlab.lab.lab import Lab
from svdlab.recipes.votes import Scope
from svdlab.ui import launch
from tests.made import make_run

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response

BOTH = Scope(checkpoints=("demo-1-0", "demo-1-1"))


class Voted:
    """A lab with three pairs of clips behind a running app."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        for seed in range(3):
            for checkpoint in BOTH.checkpoints:
                make_run(lab, seed, checkpoint=checkpoint)
        self.address = launch(lab, port=None, block=False)


@pytest.fixture(scope="module")
def voted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Voted]:
    with Lab(tmp_path_factory.mktemp("voted") / "data") as lab:
        yield Voted(lab)


def ready(page: Page) -> Page:
    page.wait_for_function("+document.querySelector('.ballot')?.dataset.ready > 0")
    page.wait_for_function("+document.querySelector('.ballot').dataset.painted > 1")
    return page


def until_votes(page: Page, voted: Voted, count: int) -> None:
    page.wait_for_function(f"document.querySelector('.ballot-given').textContent.startsWith('{count} vote')")
    assert len(voted.lab.history.votes(BOTH)) == count


def test_votes_are_given_by_key_and_hand_to_the_end_and_revealed(
    voted: Voted, page_1440: Page, screenshots: Path
) -> None:
    page = page_1440
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - Playwright marks what it is given
    page.goto(voted.address + "vote")
    ready(page)
    page.screenshot(path=screenshots / "vote-1440.png")
    first = page.locator(".ballot").get_attribute("data-token")
    page.wait_for_function("document.querySelector('.ballot').dataset.ready === '2'")  # the next one is there
    page.keyboard.press("ArrowRight")
    assert page.locator(".ballot").get_attribute("data-token") != first  # at once
    until_votes(page, voted, 1)
    page.get_by_role("button", name="Left").click()
    until_votes(page, voted, 2)
    ready(page)
    told = b"".join(answer.body() for answer in answers if re.search(r"/run/predict|/file=", answer.url))
    page.keyboard.press("ArrowUp")
    page.wait_for_function("document.querySelector('.ballot').dataset.over === 'true'")
    until_votes(page, voted, 3)
    assert len(told) > 1000
    for run in voted.lab.history.runs():
        assert run.id.encode() not in told
    votes = voted.lab.history.votes(BOTH)
    assert [vote.answer for vote in votes] == ["right", "left", "tie"]
    page.get_by_role("button", name="Reveal").click()
    page.locator(".verdict-head").wait_for()
    assert page.locator(".verdict-head").inner_text() == "Not decided yet."
    assert page.locator(".verdict-votes li").count() == 3
    assert "equally good" in page.locator(".verdict-votes li").first.inner_text()
    page.screenshot(path=screenshots / "vote-revealed-1440.png", full_page=True)
    page.get_by_role("button", name="Somebody else votes").click()
    ready(page)
    assert page.locator(".verdict").is_hidden()


def test_what_is_shown_is_one_video_that_says_nothing(
    voted: Voted, page_390: Page, screenshots: Path
) -> None:
    page = page_390
    videos: list[str] = []
    page.on("response", lambda answer: videos.append(answer.url) if answer.url.endswith(".mp4") else None)
    page.goto(voted.address + "vote")
    ready(page)
    page.wait_for_function("document.querySelector('.ballot').dataset.ready === '2'")
    page.screenshot(path=screenshots / "vote-390.png", full_page=True)
    assert len(videos) == 2  # one for each pair, and no clip by itself
    for video in videos:
        with urllib.request.urlopen(video) as answer:
            tags = json.dumps(read_tags(answer.read()))
        assert "demo" not in tags
        assert "svdlab_recipe" not in tags
        assert "demo" not in video
        assert not any(run.id in video for run in voted.lab.history.runs())
    left, right = (page.locator(f".ballot-{side}").bounding_box() for side in ("left", "right"))
    assert left is not None
    assert right is not None
    assert right["y"] > left["y"]  # one below the other on a phone
    assert left["width"] == right["width"] > 300


def test_chosen_clips_are_voted_on_and_bad_choices_get_a_sentence(voted: Voted, page_1440: Page) -> None:
    page = page_1440
    runs = [run.id for run in voted.lab.history.runs() if run.recipe.checkpoint == "demo-1-0"]
    page.goto(voted.address + "vote?runs=" + ",".join(runs))
    ready(page)
    assert page.locator("[name=contest]").is_hidden()
    page.goto(voted.address + "vote?runs=" + runs[0])
    page.locator(".ballot-lost").wait_for()
    assert page.locator(".ballot-lost").inner_text() == "A vote takes two to 24 clips, got 1."


def test_a_lab_without_pairs_says_what_a_vote_needs(tmp_path: Path, page_1440: Page) -> None:
    with Lab(tmp_path / "data") as lab:
        page_1440.goto(launch(lab, port=None, block=False) + "vote")
        page_1440.locator(".ballot-none").wait_for()
        assert "Nothing to vote on yet." in page_1440.locator(".ballot-none").inner_text()
