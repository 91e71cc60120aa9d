"""One answer to whether weights are here: list, downloads and engine agree on every half-present folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from svdlab.engine.loading import open_weights
from svdlab.errors import BadCheckpoint, CheckpointUnavailable
from svdlab.recipes.checkpoint import Checkpoint, Source
from svdlab.weights import hub
from svdlab.weights.availability import availability
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.sources.folder import local_checkpoint
from tests import tiny
from tests.hub_server import HubServer, on_loopback

PIECES = (
    "model_index.json",
    "feature_extractor/preprocessor_config.json",
    "image_encoder/config.json",
    "image_encoder/model.safetensors",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    tiny.pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def online(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub on loopback that has the tiny pipeline."""
    with on_loopback(tmp_path, monkeypatch) as server:
        server.files.clear()
        server.files.update({name: (saved / name).read_bytes() for name in PIECES})
        yield server


def on_the_hub(saved: Path) -> Checkpoint:
    """The tiny pipeline's record, its weights on the hub with half-size files wanted."""
    source = Source("hub", "owner/svd", "fp16")
    return replace(local_checkpoint(saved, "tiny"), source=source, download_bytes=900_000)


@pytest.mark.parametrize("name", PIECES)
def test_a_download_that_lacks_one_file_is_not_here_and_gets_just_that(
    name: str, saved: Path, online: HubServer
) -> None:
    checkpoint = on_the_hub(saved)
    list(hub.download(checkpoint))
    folder = hub.snapshot(checkpoint.source)
    assert folder is not None
    (folder / name).unlink()
    for blob in (folder.parent.parent / "blobs").iterdir():
        if blob.name == online.etag(name):
            blob.unlink()
    here = availability(checkpoint)
    assert (here.state, here.sentence) == ("can be downloaded", "Downloaded on first use, 0.9 MB.")
    with pytest.raises(CheckpointUnavailable, match=r"tiny: Downloaded on first use, 0\.9 MB\."):
        open_weights(checkpoint)
    online.sent.clear()
    list(hub.download(checkpoint))
    assert set(online.sent) == {name}
    assert availability(checkpoint).ready
    assert open_weights(checkpoint).values("unet") > 0


@pytest.mark.parametrize("name", PIECES[1:])
def test_a_folder_that_lacks_one_file_is_broken_and_the_file_named(
    name: str, saved: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "tiny"))
    checkpoint = local_checkpoint(folder)
    assert availability(checkpoint).state == "on disk"
    (folder / name).unlink()
    here = availability(checkpoint)
    assert here.state == "broken"
    assert here.sentence.startswith(f"In {folder}, which lacks {name}")
    with pytest.raises(BadCheckpoint) as refused:
        open_weights(checkpoint)
    assert str(refused.value) == f"tiny: {here.sentence}"


def test_a_folder_without_its_index_or_gone_is_missing(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "tiny"))
    checkpoint = local_checkpoint(folder)
    (folder / "model_index.json").unlink()
    assert availability(checkpoint).sentence == f"There is no model_index.json in {folder}."
    shutil.rmtree(folder)
    here = availability(checkpoint)
    assert (here.state, here.sentence) == ("missing", f"The folder {folder} is gone.")
    with pytest.raises(CheckpointUnavailable, match="is gone"):
        open_weights(checkpoint)


def test_a_damaged_installation_says_to_install_again(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "tiny"))
    shutil.rmtree(folder / "vae")
    embedded = replace(Catalogue().get("demo-1-0"), source=Source("embedded", str(folder)))
    here = availability(embedded)
    assert here.state == "broken"
    assert here.sentence == f"Part of svdlab, but {folder} lacks vae/config.json: install svdlab again."


def test_offline_a_half_download_says_what_would_help(
    saved: Path, online: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = on_the_hub(saved)
    list(hub.download(checkpoint))
    folder = hub.snapshot(checkpoint.source)
    assert folder is not None
    (folder / "scheduler" / "scheduler_config.json").unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    here = availability(checkpoint)
    assert here.state == "offline"
    assert here.sentence == "Not on disk, and HF_HUB_OFFLINE is set; unset it to download 0.9 MB."
