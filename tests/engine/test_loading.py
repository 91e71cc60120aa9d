"""Loading: only Stable Video Diffusion, only safetensors, shared by content, said in one sentence when broken."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from svdlab.engine.components import Components
from svdlab.engine.residency import Residency, choose_dtype, module_bytes
from svdlab.errors import BadCheckpoint, CheckpointUnavailable
from svdlab.recipes.checkpoint import Checkpoint, Source
from svdlab.weights.availability import availability, place
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.hub import snapshot
from svdlab.weights.sources.folder import local_checkpoint
from tests import original_layout, tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    tiny.pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy a test may break."""
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


def load(folder: Path) -> Components:
    return Residency("cpu").get(local_checkpoint(folder))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_folder_in_diffusers_layout_loads(folder: Path) -> None:
    parts = load(folder)
    assert parts.dtype == torch.float32
    assert parts.size_step == 4
    assert parts.latent_channels == 4
    assert not parts.unet.training
    assert not any(p.requires_grad for p in parts.unet.parameters())


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("unet", ["diffusers", "UNet2DConditionModel"]),
        ("vae", ["os", "system"]),
        ("image_encoder", ["./remote_code", "Evil"]),
        ("scheduler", None),
        ("feature_extractor", "transformers"),
    ],
)
def test_other_classes_are_refused_before_anything_is_imported(
    folder: Path, part: str, named: object
) -> None:
    edit(folder / "model_index.json", **{part: named})
    with pytest.raises(BadCheckpoint, match=f"is not a Stable Video Diffusion checkpoint: its {part} is"):
        load(folder)


def test_pickled_weights_are_never_read(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(safetensors.torch.load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(BadCheckpoint, match="only safetensors weights are read"):
        load(folder)


def test_a_truncated_file_is_refused_by_name(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(BadCheckpoint, match="the unet of tiny does not load"):
        load(folder)


def test_wrong_shapes_are_refused_by_name(folder: Path) -> None:
    edit(folder / "vae" / "config.json", latent_channels=8)
    with pytest.raises(BadCheckpoint, match="the vae of tiny does not load"):
        load(folder)


def test_a_missing_folder_says_so(tmp_path: Path, folder: Path) -> None:
    gone = local_checkpoint(folder)
    shutil.rmtree(folder)
    with pytest.raises(CheckpointUnavailable, match="is gone"):
        Residency("cpu").get(gone)


def test_a_matrix_for_previews_must_fit_the_latents(folder: Path) -> None:
    (folder / "latent_rgb.json").write_text('{"weight": [[1, 2, 3]], "bias": [0, 0, 0]}')
    with pytest.raises(BadCheckpoint, match=r"latent_rgb.json of tiny must hold 4 rows"):
        load(folder)


def test_half_precision_files_are_computed_in_full_precision_on_a_cpu(saved: Path, tmp_path: Path) -> None:
    pipe = tiny.pipeline().to(dtype=torch.float16)
    pipe.save_pretrained(tmp_path / "half", variant="fp16")
    checkpoint = local_checkpoint(tmp_path / "half")
    parts = Residency("cpu").get(checkpoint)
    assert parts.dtype == torch.float32
    expected = pipe.unet.conv_in.weight.float()
    assert torch.equal(parts.unet.conv_in.weight, expected)


def test_components_with_the_same_content_are_in_memory_once(saved: Path, folder: Path) -> None:
    other = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.torch.load_file(other)
    tensors["conv_in.bias"] += 1
    safetensors.torch.save_file(tensors, other, {"format": "pt"})
    residency = Residency("cpu")
    one, two = residency.get(local_checkpoint(saved, "one")), residency.get(local_checkpoint(folder, "two"))
    assert one.vae is two.vae
    assert one.image_encoder is two.image_encoder
    assert one.unet is not two.unet
    assert residency.loads == 4
    assert residency.bytes == sum(map(module_bytes, (one.vae, one.image_encoder, one.unet, two.unet)))


def test_the_least_recently_used_checkpoint_makes_room(saved: Path, folder: Path) -> None:
    edit(folder / "unet" / "config.json")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.torch.load_file(weights)
    tensors["conv_in.bias"] += 1
    safetensors.torch.save_file(tensors, weights, {"format": "pt"})
    one, two = local_checkpoint(saved, "one"), local_checkpoint(folder, "two")
    size = Residency("cpu")
    size.get(one)
    tight = Residency("cpu", budget_bytes=size.bytes + 1000)
    tight.get(one)
    assert not tight.fits_beside(one, two)
    tight.get(two)
    assert not tight.holds(one)
    assert tight.holds(two)
    assert tight.bytes <= tight.budget_bytes


def hub_cache(root: Path, repo: str, saved: Path, variant: str) -> Path:
    """A snapshot as huggingface_hub keeps it: blobs by hash, links to them."""
    home = root / f"models--{repo.replace('/', '--')}"
    snapshot = home / "snapshots" / ("0" * 40)
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    shutil.copytree(saved, snapshot)
    for path in list(snapshot.rglob("*.safetensors")):
        blob = home / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        blob.parent.mkdir(exist_ok=True)
        path.rename(blob)
        path.with_suffix(f".{variant}.safetensors").symlink_to(blob)
    return snapshot


def test_a_snapshot_in_the_hubs_cache_is_used_offline(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = hub_cache(tmp_path, "someone/svd", saved, "fp16")
    source = Source("hub", "someone/svd", variant="fp16")
    assert snapshot(source) == folder
    checkpoint = Checkpoint(
        id="hubbed",
        name="",
        version="",
        summary="",
        source=source,
        native_frames=6,
        width=64,
        height=64,
        size_step=4,
        official={},
        trained_for="",
    )
    assert availability(checkpoint).state == "on disk"
    parts = Residency("cpu").get(checkpoint)
    blob = (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").resolve()
    assert parts.keys["unet"] == blob.name  # the hash in the cache's own file name
    blob.unlink()
    assert snapshot(source) is None


def test_offline_without_weights_names_what_works() -> None:
    with pytest.raises(
        CheckpointUnavailable, match=r"svd-xt-1-1: Not on disk, and HF_HUB_OFFLINE is set; unset it"
    ):
        place(Catalogue().get("svd-xt-1-1"))


def image_decoder_checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(
        id="tiny-image-decoder",
        name="",
        version="",
        summary="",
        source=Source("folder", str(folder), image_decoder_file="svd_xt_image_decoder.safetensors"),
        native_frames=6,
        width=64,
        height=64,
        size_step=4,
        official={},
        trained_for="",
        decoders=("image",),
    )


def test_the_frame_wise_decoder_is_taken_from_an_original_file(folder: Path) -> None:
    whole = original_layout.components("image", seed=5)
    file = folder / "svd_xt_image_decoder.safetensors"
    safetensors.torch.save_file(original_layout.to_original(whole), file)
    residency, vae = Residency("cpu"), whole["vae"]
    parts = residency.get(image_decoder_checkpoint(folder))
    latents = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    image = torch.randn((1, 3, 16, 16), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(parts.vae.decode(latents).sample, vae.decode(latents).sample)
        assert torch.equal(parts.vae.encode(image).latent_dist.mode(), vae.encode(image).latent_dist.mode())
    plain = residency.get(local_checkpoint(folder, "plain"))
    assert plain.unet is parts.unet
    assert plain.vae is not parts.vae


def test_an_original_file_without_its_decoder_is_refused(folder: Path) -> None:
    tensors = original_layout.to_original(original_layout.components("image"))
    kept = {key: tensor for key, tensor in tensors.items() if ".decoder.conv_out" not in key}
    safetensors.torch.save_file(kept, folder / "svd_xt_image_decoder.safetensors")
    with pytest.raises(BadCheckpoint, match=r"svd_xt_image_decoder\.safetensors .*conv_out"):
        Residency("cpu").get(image_decoder_checkpoint(folder))


@pytest.mark.parametrize(
    ("device", "dtype"), [("cuda", torch.float16), ("mps", torch.float32), ("cpu", torch.float32)]
)
def test_each_kind_of_device_has_its_dtype(device: str, dtype: torch.dtype) -> None:
    assert choose_dtype(torch.device(device)) == dtype
    assert choose_dtype(torch.device(device), "bfloat16") == torch.bfloat16
