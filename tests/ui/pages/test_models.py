"""The Models page in a real Chromium: what there is, what is in memory, adding, checking and comparing weights."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import huggingface_hub
import pytest
import safetensors.torch

from svdlab.lab.lab import Lab
from svdlab.recipes.checkpoint import Source
from svdlab.ui import launch
from svdlab.workers import open_lab
from tests import original_layout, tiny
from tests.hub_server import HubServer, point_at
from tests.lora_files import demo_lora

if TYPE_CHECKING:
    from playwright.sync_api import Page

SMALL = {"width": 96, "height": 64, "num_frames": 3, "num_inference_steps": 1}
READ = 60_000  # ms: torch is loaded by the first look into weights


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, str]]:
    with open_lab(tmp_path_factory.mktemp("models"), device="cpu") as lab:
        yield lab, launch(lab, port=None, block=False) + "models"


def visit(page: Page, address: str) -> Page:
    page.goto(address)
    page.locator(".card[data-id='demo-1-0']").wait_for()
    return page


def test_every_checkpoint_says_where_it_is_and_what_it_was_made_for(
    served: tuple[Lab, str], page_1440: Page, screenshots: Path
) -> None:
    lab, address = served
    page = visit(page_1440, address)
    assert page.locator(".card").count() == len(list(lab.catalogue))
    assert page.locator(".card[data-id='demo-1-0'] .chip").inner_text() == "embedded"
    gated = page.locator(".card[data-id='svd-xt-1-1']")
    assert gated.locator(".chip").inner_text() == "offline"
    gated.locator("summary").click()
    for said in (
        "Tuned at fps_id 6 and motion bucket 127 only",
        "2,254.4 M",
        "svd_xt_1_1.safetensors, 4.8 GB",
        "No legible text.",
    ):
        gated.get_by_text(said).wait_for()
    assert "weights are read when something is rendered" in page.locator(".memory-line").inner_text()
    page.screenshot(path=screenshots / "models-1440.png", full_page=True)


def test_a_download_that_cannot_start_says_why(served: tuple[Lab, str], page_1440: Page) -> None:
    page = visit(page_1440, served[1])
    page.locator(".card[data-id='svd'] button", has_text="Get weights").click()
    page.locator(".card[data-id='svd'] .error").wait_for()
    assert page.locator(".card[data-id='svd'] .error").inner_text().strip()
    page.locator(".card[data-id='svd'] button", has_text="Try again").wait_for()


@pytest.fixture
def remote(served: tuple[Lab, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A checkpoint that a hub on loopback has."""
    lab, _ = served
    monkeypatch.delenv("HF_HUB_OFFLINE")
    official = lab.catalogue.get("svd-xt")
    source = Source("hub", "owner/svd", "fp16")
    with HubServer() as server:
        point_at(server.url, tmp_path, monkeypatch)
        monkeypatch.setattr(
            lab.registry, "checkpoints", lambda _: [replace(official, source=source, download_bytes=600_000)]
        )
        yield server
        huggingface_hub.close_session()


def test_weights_are_fetched_with_progress_stopped_and_continued(
    served: tuple[Lab, str], remote: HubServer, page_1440: Page, screenshots: Path
) -> None:
    remote.chunk_seconds = 0.3
    page = visit(page_1440, served[1])
    card = page.locator(".card[data-id='svd-xt']")
    card.get_by_text("can be downloaded", exact=True).wait_for()
    card.get_by_role("button", name="Get weights").click()
    card.get_by_text(re.compile(r"of 0\.6 MB|of \d+ kB")).wait_for(timeout=30_000)
    card.locator(".meter").wait_for()
    page.screenshot(path=screenshots / "models-download-1440.png")
    card.get_by_role("button", name="Cancel").click()
    card.get_by_text("Stopped; it can be continued.").wait_for()
    remote.chunk_seconds = 0.0
    card.get_by_role("button", name="Continue").click()
    card.get_by_text("on disk", exact=True).wait_for(timeout=30_000)
    assert card.get_by_role("button", name="Get weights").count() == 0


def test_what_the_pair_shares_is_shown_with_figures(
    served: tuple[Lab, str], page_1440: Page, example_picture: Path, screenshots: Path
) -> None:
    lab, address = served
    lab.compare(example_picture, "demo-1-0", "demo-1-1", seed=1, **SMALL)
    page = visit(page_1440, address)
    page.get_by_text("if nothing were shared").wait_for()
    assert re.search(r"so \d+ % are saved|so \d+% are saved", page.locator(".memory-line").inner_text())
    assert page.locator(".memory-parts .shared").count() == 2
    assert page.locator(".memory-parts li").count() == 4
    page.get_by_role("button", name="Compare weights").click()
    page.locator(".touched-plot table").wait_for(timeout=READ)
    assert page.locator(".touched-said").inner_text() == "Demo 1.0 and Demo 1.1: identical CLIP and VAE."
    assert page.locator(".touched-plot tbody tr").count() >= 5
    page.screenshot(path=screenshots / "models-touched-1440.png", full_page=True)


def test_weights_are_checked_where_they_stand(served: tuple[Lab, str], page_1440: Page) -> None:
    page = visit(page_1440, served[1])
    page.locator(".card[data-id='demo-1-1'] button", has_text="Check").click()
    page.get_by_text(re.compile(r"Whole\. unet: UNetSpatioTemporalConditionModel")).wait_for(timeout=READ)


def test_a_lora_is_forgotten_and_its_file_stays(
    served: tuple[Lab, str], page_1440: Page, tmp_path: Path
) -> None:
    lab, address = served
    file = demo_lora(tmp_path / "sway.safetensors", "to_q")
    lab.loras.add(file)
    page = visit(page_1440, address)
    page.get_by_role("button", name="Forget sway; its file stays").click()
    page.locator(".lora-files").wait_for(state="hidden")
    assert list(lab.loras) == []
    assert file.is_file()


def test_a_folder_of_ones_own_is_added_and_forgotten(
    served: tuple[Lab, str], page_1440: Page, tmp_path: Path
) -> None:
    lab, address = served
    tiny.pipeline().save_pretrained(tmp_path / "Mine")
    page = visit(page_1440, address)
    page.get_by_label("Path").fill(str(tmp_path / "nowhere"))
    page.get_by_role("button", name="Check and add").click()
    page.get_by_text("there is no file or folder").wait_for()
    page.get_by_label("Path").fill(str(tmp_path / "Mine"))
    page.get_by_role("button", name="Check and add").click()
    card = page.locator(".card[data-id='mine']")
    card.wait_for(timeout=READ)
    page.get_by_text("mine is here now, whole").wait_for()
    assert lab.catalogue.get("mine").native_frames == 6
    page.goto(address.removesuffix("models"))
    page.locator("#explore-checkpoint option[value='mine']").wait_for(state="attached")
    visit(page, address).locator(".card[data-id='mine'] button", has_text="Forget").click()
    card.wait_for(state="detached")
    assert (tmp_path / "Mine").is_dir()


def test_broken_weights_are_refused_with_the_defect_named(
    served: tuple[Lab, str], page_1440: Page, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    tiny.pipeline().save_pretrained(folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    page = visit(page_1440, served[1])
    page.get_by_label("Path").fill(str(folder))
    page.get_by_role("button", name="Check and add").click()
    page.locator(".add-error").get_by_text("cut off").wait_for(timeout=READ)
    assert not served[0].registry.has("broken")
    shutil.rmtree(folder)


def test_a_registered_file_that_broke_is_shown_as_broken(
    served: tuple[Lab, str], page_1440: Page, tmp_path: Path
) -> None:
    lab, address = served
    file = tmp_path / "mine.safetensors"
    safetensors.torch.save_file(original_layout.to_original(original_layout.components()), file)
    lab.add_checkpoint(file)
    try:
        file.write_bytes(file.read_bytes()[:-100])
        card = visit(page_1440, address).locator(".card[data-id='mine']")
        card.get_by_text("It cannot be used: mine.safetensors is cut off").wait_for()
        assert card.locator(".chip").inner_text() == "broken"
        assert card.locator("details").count() == 0  # nothing is known of it: no frames, no size
        assert card.get_by_role("button").all_inner_texts() == ["Forget"]
    finally:
        lab.remove_checkpoint("mine")


def test_on_a_phone_nothing_is_cut(served: tuple[Lab, str], page_390: Page, screenshots: Path) -> None:
    page = visit(page_390, served[1])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=screenshots / "models-390.png", full_page=True)


def test_it_reads_well_in_the_dark(
    served: tuple[Lab, str], new_page: Callable[..., Page], screenshots: Path
) -> None:
    page = visit(new_page(1440, 900), served[1] + "?__theme=dark")
    page.screenshot(path=screenshots / "models-dark-1440.png", full_page=True)
    ink = page.evaluate("getComputedStyle(document.querySelector('.card p')).color")
    assert ink == "rgb(236, 236, 232)"
