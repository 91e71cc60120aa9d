"""Downloads in the background: watched, shared, stopped, continued, and waited for by whoever renders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from svdlab.lab.lab import Lab
from svdlab.recipes.checkpoint import Checkpoint, Source
from svdlab.weights.availability import availability
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.downloads import Download, Downloads
from svdlab.weights.sources.folder import local_checkpoint
from svdlab.workers import Compute, LocalWorker
from tests import tiny
from tests.hub_server import Answer, HubServer, on_loopback


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny"
    tiny.pipeline().save_pretrained(path)
    return path


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub on loopback."""
    with on_loopback(tmp_path, monkeypatch) as server:
        yield server


def from_hub() -> Checkpoint:
    return replace(Catalogue().get("svd"), source=Source("hub", "owner/svd", "fp16"), download_bytes=600_000)


def test_a_download_goes_on_in_the_background_and_is_done_once(online: HubServer) -> None:
    downloads = Downloads()
    first = downloads.start(from_hub())
    assert first.state == "running"
    shown: list[Download] = []
    ended = downloads.wait("svd", shown.append)
    assert ended.state == "done"
    assert ended.bytes_done == ended.bytes_total > 0
    assert ended.fraction == 1.0
    assert availability(from_hub()).state == "on disk"
    asked = len(online.asked)
    downloads.start(from_hub())
    assert downloads.wait("svd", lambda _: None).state == "done"
    assert len(online.asked) == asked


def test_two_who_ask_share_one_download_and_cancelling_leaves_it_to_be_continued(online: HubServer) -> None:
    online.chunk_seconds = 0.05
    downloads = Downloads()
    downloads.start(from_hub())
    assert downloads.start(from_hub()).state == "running"
    assert len(downloads.running()) == 1
    assert sum(t.name == "svdlab-download" for t in threading.enumerate()) == 1
    ended = downloads.wait("svd", lambda _: None, stop=lambda: True)
    assert ended.state == "cancelled"
    assert ended.sentence == "Stopped; it can be continued."
    online.chunk_seconds = 0.0
    downloads.start(from_hub())
    assert downloads.wait("svd", lambda _: None).state == "done"


def test_a_refusal_is_a_sentence_without_the_token(online: HubServer) -> None:
    online.api_fault = online.file_fault = Answer(
        403, "GatedRepo", "Access to model owner/svd is restricted."
    )
    downloads = Downloads()
    token = "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567"
    downloads.start(from_hub(), token)
    ended = downloads.wait("svd", lambda _: None)
    assert ended.state == "failed"
    assert "terms" in ended.sentence
    assert token not in repr(ended)
    assert token not in repr(vars(downloads))


def test_rendering_with_weights_that_are_not_here_fetches_them_first(
    online: HubServer, tmp_path: Path, folder: Path, example_picture: Path
) -> None:
    tiny.pipeline().to(dtype=torch.float16).save_pretrained(tmp_path / "half", variant="fp16")
    files = {p.relative_to(tmp_path / "half").as_posix(): p for p in (tmp_path / "half").rglob("*.*")}
    online.files.clear()
    online.files.update({name: path.read_bytes() for name, path in files.items() if path.is_file()})
    known = local_checkpoint(folder, "remote")
    remote = replace(known, source=Source("hub", "owner/svd", "fp16"))
    lab = Lab(tmp_path / "data", Catalogue([remote]))
    with lab:
        LocalWorker(lab, Compute("cpu")).start()
        small = {"width": 64, "height": 64, "num_frames": 3, "num_inference_steps": 1}
        settings = lab.settings("remote", small, seed=1)
        run = lab.submit(lab.recipe("remote", lab.add_picture(example_picture), settings))
        said = [event.message for event in lab.watch(run.id) if event.kind == "loading"]
        assert lab.history.get(run.id).done, lab.history.get(run.id).error
    assert any(line.startswith("Downloading") for line in said)
    assert availability(remote).ready
