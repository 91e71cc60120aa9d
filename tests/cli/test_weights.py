"""Weights from the shell: listed, added, checked, converted, compared, and what is said where they cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import safetensors.torch
import torch

from svdlab.cli import main
from svdlab.engine.residency import Residency
from svdlab.errors import BadInput
from svdlab.weights import hub
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.register import read_checkpoint
from svdlab.weights.sources.folder import local_checkpoint
from svdlab.workers import open_lab
from tests import original_layout, tiny
from tests.hub_server import HubServer, point_at

Shell = Callable[..., tuple[int, str, str]]
Tensors = dict[str, torch.Tensor]


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


def test_ids_are_checked_before_weights_are_read(shell: Shell, folder: Path) -> None:
    with pytest.raises(BadInput):
        read_checkpoint(folder, "a b")
    assert shell("checkpoints", "add", folder, "--id", "a b")[0] == 2


# What people have


@pytest.fixture(scope="module")
def whole() -> Tensors:
    return original_layout.to_original(original_layout.components())


def save(tensors: Tensors, path: Path) -> Path:
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    return path


def listed(shell: Shell, id: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(shell("checkpoints", "list", "--json")[1])
    return next(one for one in found if one["id"] == id)


def test_a_unet_alone_is_added_with_what_lends_the_rest(
    shell: Shell, whole: Tensors, tmp_path: Path, example_picture: Path
) -> None:
    alone = {name: t for name, t in whole.items() if name.startswith(original_layout.UNET)}
    file = save(alone, tmp_path / "tuned.safetensors")
    code, out, err = shell("checkpoints", "add", file)
    assert (code, out) == (3, "")
    assert (
        "without image encoder and autoencoder, and no checkpoint that fits lends them here: get one" in err
    )
    assert err.count("\n") == 1
    shell("checkpoints", "add", save(whole, tmp_path / "whole.safetensors"))
    code, out, _ = shell("checkpoints", "add", file, "--frames", "14")
    assert code == 0
    assert (
        out
        == "tuned: 14 frames, 64×64, made for 14 frames, with the image encoder and autoencoder of whole\n"
    )
    assert (listed(shell, "tuned")["state"], listed(shell, "tuned")["base"]) == ("on disk", "whole")
    assert shell("checkpoints", "verify", "tuned")[1].endswith("tuned: whole\n")
    small = ("--width", 64, "--height", 64, "--num-frames", 2, "--num-inference-steps", 1, "--seed", 1)
    code, out, err = shell("generate", example_picture, "-c", "tuned", *small, "--device", "cpu")
    assert code == 0, err
    shell("checkpoints", "remove", "whole")
    lost = listed(shell, "tuned")
    assert lost["state"] == "missing"
    assert "no checkpoint that fits lends them here" in lost["sentence"]


def test_values_only_float16_cannot_hold_are_accepted_with_advice(
    shell: Shell, whole: Tensors, tmp_path: Path
) -> None:
    name = f"{original_layout.UNET}.out.2.bias"
    file = save({**whole, name: torch.full_like(whole[name], 70_000.0)}, tmp_path / "wide.safetensors")
    code, out, _ = shell("checkpoints", "add", file, "--frames", 14)
    assert code == 0
    assert out.splitlines()[1:] == [
        "wide: the UNet holds numbers above 65504, which float16 cannot: render with --dtype bfloat16 or float32"
    ]


def test_a_file_of_zeros_is_refused(shell: Shell, whole: Tensors, tmp_path: Path) -> None:
    file = save({name: torch.zeros_like(t) for name, t in whole.items()}, tmp_path / "zeros.safetensors")
    code, out, err = shell("checkpoints", "add", file)
    assert (code, out) == (3, "")
    assert "the UNet in zeros.safetensors is not whole: " in err
    assert "matrices hold nothing but zeros" in err
    assert "zeros" not in shell("checkpoints")[1]


def test_wrong_shapes_are_the_reason_that_is_given(shell: Shell, whole: Tensors, tmp_path: Path) -> None:
    name = f"{original_layout.UNET}.input_blocks.0.0.weight"
    file = save({**whole, name: torch.ones(64, 4, 3, 3)}, tmp_path / "other.safetensors")
    for command in (("checkpoints", "add", file), ("checkpoints", "add", file, "--no-check")):
        code, _, err = shell(*command)
        assert code == 3
        assert "its UNet takes 4 channels and gives 4, expected 8 and 4" in err


def test_a_registered_file_that_broke_is_listed_as_broken(
    shell: Shell, whole: Tensors, tmp_path: Path
) -> None:
    file = save(whole, tmp_path / "mine.safetensors")
    shell("checkpoints", "add", file)
    file.write_bytes(file.read_bytes()[:-5000])
    one = listed(shell, "mine")
    assert one["state"] == "broken"
    assert one["sentence"].startswith("It cannot be used: mine.safetensors is cut off: ")
    assert [one[name] for name in ("frames", "width", "height", "size_step")] == [None] * 4
    text = shell("checkpoints")[1]
    assert [line.split() for line in text.splitlines() if line.startswith("mine ")] == [
        ["mine", "mine", "broken"]
    ]
    code, _, err = shell("checkpoints", "verify", "mine")
    assert code == 3
    assert "mine: It cannot be used: mine.safetensors is cut off" in err
    assert "rendered" not in shell("generate", tmp_path / "x.png", "-c", "mine")[1]


def test_an_id_given_to_another_file_is_rendered_with_that(
    shell: Shell, whole: Tensors, tmp_path: Path, example_picture: Path
) -> None:
    other = {n: t * 1.05 if n.startswith(original_layout.UNET) else t for n, t in whole.items()}
    made = []
    for number, tensors in enumerate((whole, other)):
        shell("checkpoints", "remove", "my")
        shell("checkpoints", "add", save(tensors, tmp_path / f"{number}.safetensors"), "--id", "my")
        small = ("--width", 64, "--height", 64, "--num-frames", 2, "--num-inference-steps", 1, "--seed", 1)
        code, out, err = shell("generate", example_picture, "-c", "my", *small, "--device", "cpu", "--json")
        assert code == 0, err
        made.append(json.loads(out))
    assert [one["rendered_before"] for one in made] == [False, False]
    assert made[0]["recipe_hash"] == made[1]["recipe_hash"]
    assert Path(made[0]["video"]).read_bytes() != Path(made[1]["video"]).read_bytes()
    said = shell("runs", "show", made[0]["run"])[1]
    assert "Rendered with other weights than my has now: its UNet is not the same" in said
    assert "other weights" not in shell("runs", "show", made[1]["run"])[1]


def test_another_number_format_is_rendered_anew(shell: Shell, example_picture: Path) -> None:
    small = ("--width", 64, "--height", 64, "--num-frames", 2, "--num-inference-steps", 1, "--seed", 1)
    told = []
    for dtype in ("float32", "bfloat16", "bfloat16", "float32"):
        _, out, err = shell("generate", example_picture, "-c", "demo-1-0", *small, "--dtype", dtype, "--json")
        told.append(
            (json.loads(out)["rendered_before"], json.loads(out)["dtype"], "(bfloat16 on cpu)" in err)
        )
    assert told == [
        (False, "float32", False),
        (False, "bfloat16", False),
        (True, "bfloat16", True),
        (True, "float32", False),
    ]


def test_pull_fetches_what_a_half_download_lacks(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    source = Catalogue().get("svd").source
    with HubServer() as server:
        server.repo = source.location
        point_at(server.url, tmp_path, monkeypatch)
        assert shell("checkpoints", "pull", "svd")[:2] == (0, "svd: On disk, 0.6 MB.\n")
        folder = hub.snapshot(source)
        assert folder is not None
        lost = folder / "scheduler" / "scheduler_config.json"
        lost.resolve().unlink()
        lost.unlink()
        server.sent.clear()
        assert listed(shell, "svd")["state"] == "can be downloaded"
        assert shell("checkpoints", "pull", "svd")[:2] == (0, "svd: On disk, 0.6 MB.\n")
        assert set(server.sent) == {"scheduler/scheduler_config.json"}
        huggingface_hub.close_session()
