"""Weights from the shell and in the background: listed, added, fetched, checked, converted, compared."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import torch

from svdlab.cli import main
from svdlab.clips.frames import read_frames_zip
from svdlab.engine import examine
from svdlab.engine.residency import Residency
from svdlab.errors import BadCheckpoint, BadInput
from svdlab.lab.lab import Lab
from svdlab.recipes.checkpoint import Checkpoint, Source
from svdlab.weights.availability import availability
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.downloads import Download, Downloads
from svdlab.weights.register import read_checkpoint
from svdlab.weights.sources.folder import local_checkpoint
from svdlab.workers import Compute, LocalWorker, open_lab
from tests import original_layout, tiny
from tests.hub_server import Answer, HubServer
from tests.weights.test_hub import point_at

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], data_dir: Path) -> Shell:
    """Runs a command in this process, on a data folder of the test's own."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny"
    tiny.pipeline().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def tuned(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same but for two tensors of the UNet."""
    path = tmp_path_factory.mktemp("weights") / "tuned"
    tiny.pipeline().save_pretrained(path)
    file = path / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.torch.load_file(file)
    tensors["conv_in.bias"] += 1
    name = "down_blocks.0.resnets.0.temporal_res_block.conv1.weight"
    tensors[name] = tensors[name] * 1.1
    safetensors.torch.save_file(tensors, file, {"format": "pt"})
    return path


def single_file(path: Path, parts: dict[str, Any]) -> Path:
    """Small components as one file in Stability's original layout."""
    safetensors.torch.save_file(original_layout.to_original(parts), path, {"format": "pt"})
    return path


# The shell


def test_a_folder_is_added_listed_and_forgotten(shell: Shell, folder: Path) -> None:
    code, out, _ = shell("checkpoints", "add", folder, "--id", "mine")
    assert (code, out) == (0, "mine: 6 frames, 64×64, its configuration names 6 frames\n")
    _, out, _ = shell("checkpoints", "list", "--json")
    [mine] = [one for one in json.loads(out) if one["id"] == "mine"]
    assert mine["state"] == "on disk"
    assert shell("checkpoints", "remove", "mine")[0] == 0
    assert "mine" not in shell("checkpoints")[1].split()
    assert shell("checkpoints", "remove", "demo-1-0")[0] == 2


def test_a_single_file_is_added_and_rendered_with(
    shell: Shell, folder: Path, tmp_path: Path, data_dir: Path, example_picture: Path
) -> None:
    file = single_file(tmp_path / "own.safetensors", original_layout.components())
    code, out, err = shell("checkpoints", "add", file, "--frames", "6")
    assert (code, err) == (0, "")
    assert out.startswith("own: 6 frames")
    with open_lab(data_dir, device="cpu") as lab:
        small = {"width": 64, "height": 64, "num_frames": 3, "num_inference_steps": 2}
        run = lab.generate(example_picture, "own", seed=1, **small)
    assert run.done


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("add", "/nowhere/x.safetensors"), 3, "there is no file or folder"),
        (("add", "{folder}", "--id", "UPPER"), 2, "an id is up to 63 lower-case letters"),
        (("verify", "svd"), 3, "Not on disk, and HF_HUB_OFFLINE is set"),
        (("diff", "demo-1-0", "svd"), 3, "Not on disk"),
        (("diff", "demo-1-0", "nothing"), 2, "there is no checkpoint 'nothing'"),
        (("convert", "demo-1-0", "{folder}"), 2, "is there already and not empty"),
        (("convert", "demo-1-0", "{new}", "--dtype", "int8"), 2, "dtype must be float16 or float32"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: tuple[str, ...], code: int, said: str, shell: Shell, folder: Path, tmp_path: Path
) -> None:
    filled = [a.format(folder=folder, new=tmp_path / "new") for a in arguments]
    got, out, err = shell("checkpoints", *filled)
    assert (got, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1


def test_verify_says_of_each_part_what_it_is(shell: Shell) -> None:
    code, out, _ = shell("checkpoints", "verify", "demo-1-0")
    assert code == 0
    lines = out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["unet", "image_encoder", "vae", "demo-1-0"]
    assert "AutoencoderKLTemporalDecoder" in lines[2]


def test_a_converted_folder_gives_the_same_numbers(shell: Shell, folder: Path, tmp_path: Path) -> None:
    code, _, _ = shell("checkpoints", "convert", folder, tmp_path / "half", "--dtype", "float16")
    assert code == 0
    one, half = (Residency("cpu").get(local_checkpoint(path)) for path in (folder, tmp_path / "half"))
    for name, tensor in one.unet.state_dict().items():
        assert torch.equal(tensor.half().float(), half.unet.state_dict()[name]), name
    size = sum(p.stat().st_size for p in (tmp_path / "half" / "unet").iterdir())
    assert size < 0.6 * sum(p.stat().st_size for p in (folder / "unet").iterdir())


def test_diff_names_what_was_changed_and_by_how_much(shell: Shell, folder: Path, tuned: Path) -> None:
    for path in (folder, tuned):
        shell("checkpoints", "add", path)
    code, out, _ = shell("checkpoints", "diff", "tiny", "tuned", "--json")
    assert code == 0
    changes = json.loads(out)
    assert [c["part"] for c in changes if c["kind"] == "identical"] == ["image_encoder", "vae"]
    moved = {(c["block"], c["kind"]): c for c in changes if c["changed"]}
    assert set(moved) == {("conv_in", "other"), ("down_blocks.0", "temporal convolution")}
    block = moved["down_blocks.0", "temporal convolution"]
    assert block["changed"] == 1
    assert 0.01 < block["relative"] < 0.1
    assert "down_blocks.0" in shell("checkpoints", "diff", "tiny", "tuned")[1]


def test_weights_of_other_layers_are_not_compared(folder: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"have different layers, so their weights cannot be compared"):
        list(examine.diff(local_checkpoint(folder), Catalogue().get("demo-1-0")))


def test_numbers_that_are_not_finite_are_refused_by_the_tensors_name(tmp_path: Path) -> None:
    tiny.pipeline().save_pretrained(tmp_path / "nan")
    file = tmp_path / "nan" / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.torch.load_file(file)
    tensors["decoder.conv_in.bias"][0] = torch.nan
    safetensors.torch.save_file(tensors, file, {"format": "pt"})
    with pytest.raises(BadCheckpoint, match=r"not finite, in decoder\.conv_in\.bias"):
        list(examine.verify(local_checkpoint(tmp_path / "nan")))


# From the hub


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub on loopback."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with HubServer() as server:
        point_at(server.url, tmp_path, monkeypatch)
        yield server
        huggingface_hub.close_session()


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


def test_two_files_that_differ_in_the_unet_share_the_rest_in_memory(tmp_path: Path) -> None:
    parts = original_layout.components()
    one = single_file(tmp_path / "svd.safetensors", parts)
    with torch.no_grad():
        parts["unet"].conv_in.bias.add_(1)
    two = single_file(tmp_path / "svd_xt.safetensors", parts)
    residency = Residency("cpu")
    a, b = residency.get(read_checkpoint(one)), residency.get(read_checkpoint(two))
    assert a.vae is b.vae
    assert a.image_encoder is b.image_encoder
    assert a.unet is not b.unet
    assert residency.loads == 4


def test_a_folder_and_a_single_file_of_the_same_numbers_are_the_same(tmp_path: Path) -> None:
    file = single_file(tmp_path / "svd.safetensors", original_layout.components())
    examine.convert(read_checkpoint(file), tmp_path / "folder")
    one, two = (Residency("cpu").get(read_checkpoint(p)) for p in (tmp_path / "folder", file))
    for part in ("unet", "vae", "image_encoder"):
        a, b = getattr(one, part).state_dict(), getattr(two, part).state_dict()
        assert set(a) == set(b)
        assert all(np.array_equal(a[name].numpy(), b[name].numpy()) for name in a), part


def test_a_clip_is_decoded_again_with_the_decoder_another_checkpoint_lends(
    tmp_path: Path, example_picture: Path
) -> None:
    own = read_checkpoint(single_file(tmp_path / "own.safetensors", original_layout.components()))
    frame_wise = original_layout.components("image", seed=3)
    lender = read_checkpoint(single_file(tmp_path / "lender.safetensors", frame_wise))
    catalogue = Catalogue([replace(own, lenders={"image": "lender"}), lender])
    small = {"width": 64, "height": 64, "num_frames": 3, "num_inference_steps": 1}
    with Lab(tmp_path / "data", catalogue) as lab:
        worker = LocalWorker(lab, Compute("cpu")).start()
        run = lab.generate(example_picture, "own", seed=1, **small)
        assert lab.decoders("own") == ("temporal", "image")
        assert lab.decoders("lender") == ("image",)
        pair = lab.decode_again(run.id, "image")
        again = lab.wait(pair.b.id)[0]
        assert [one.part for one in worker.renderer.residency.resident()].count(
            "unet"
        ) == 1  # the lender's stays away
    versions = run.recipe.versions["vae_sha256"], again.recipe.versions["vae_sha256"]
    assert versions[0] != versions[1]
    latents = safetensors.torch.load_file(run.latents)["latents"]
    vae = frame_wise["vae"]
    with torch.no_grad():
        wanted = vae.decode(latents[0] / vae.config.scaling_factor).sample
    pixels = ((wanted / 2 + 0.5).clamp(0, 1) * 255).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(read_frames_zip(again.frames_zip) - pixels).max() <= 1


def test_ids_are_checked_before_weights_are_read(shell: Shell, folder: Path) -> None:
    with pytest.raises(BadInput):
        read_checkpoint(folder, "a b")
    assert shell("checkpoints", "add", folder, "--id", "a b")[0] == 2
