"""A UNet alone goes with what another checkpoint lends it: found by itself, named, refused where it does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from svdlab.engine.residency import Residency
from svdlab.errors import BadCheckpoint, BadInput, CheckpointUnavailable, NotFound
from svdlab.recipes.limits import check, defaults_for
from svdlab.weights.availability import availability
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.register import Registry, found_in, read_checkpoint
from tests import original_layout
from tests.original_layout import UNET

Tensors = dict[str, torch.Tensor]


def save(tensors: Tensors, path: Path) -> Path:
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    return path


@pytest.fixture(scope="module")
def parts() -> dict[str, torch.nn.Module]:
    return original_layout.components()


@pytest.fixture(scope="module")
def whole(parts: dict[str, torch.nn.Module]) -> Tensors:
    return original_layout.to_original(parts)


@pytest.fixture(scope="module")
def tuned() -> dict[str, torch.nn.Module]:
    """Another UNet of the same layers."""
    return original_layout.components(seed=7)


def in_diffusers_layout(module: torch.nn.Module, prefix: str = "") -> Tensors:
    return {prefix + name: tensor.contiguous() for name, tensor in module.state_dict().items()}


def alone(how: str, tuned: dict[str, torch.nn.Module]) -> Tensors:
    """The tuned UNet by itself, as people have it."""
    if how == "diffusers":
        return in_diffusers_layout(tuned["unet"])
    if how == "diffusers, with a prefix":
        return in_diffusers_layout(tuned["unet"], "unet.")
    original = {n: t for n, t in original_layout.to_original(tuned).items() if n.startswith(UNET)}
    if how == "original":
        return original
    return {name.removeprefix(f"{UNET}."): tensor for name, tensor in original.items()}


HOWS = ("original", "original, without its prefix", "diffusers", "diffusers, with a prefix")


@pytest.mark.parametrize("how", HOWS)
def test_a_unet_alone_loads_with_the_rest_of_a_checkpoint_that_fits(
    how: str,
    whole: Tensors,
    tuned: dict[str, torch.nn.Module],
    parts: dict[str, torch.nn.Module],
    tmp_path: Path,
) -> None:
    registry = Registry(tmp_path)
    registry.add(save(whole, tmp_path / "whole.safetensors"))
    added = registry.add(save(alone(how, tuned), tmp_path / "tuned.safetensors"), num_frames=14)
    assert added.lacks == ("image_encoder", "vae")
    assert added.base is not None
    assert added.base.id == "whole"
    assert (added.native_frames, added.size_step, added.decoders) == (14, 4, ("temporal",))
    [_, listed] = Registry(tmp_path).checkpoints(Catalogue())
    assert listed == added
    assert availability(listed).sentence.endswith("; image encoder and autoencoder of whole.")
    residency = Residency("cpu")
    base, loaded = residency.get(added.base), residency.get(listed)
    assert loaded.vae is base.vae
    assert loaded.image_encoder is base.image_encoder
    for name, tensor in tuned["unet"].state_dict().items():
        assert torch.equal(loaded.unet.state_dict()[name], tensor), name


@pytest.mark.parametrize("name", ["diffusion_pytorch_model", "diffusion_pytorch_model.fp16"])
def test_a_unets_folder_as_diffusers_writes_it_is_a_unet_alone(
    name: str, whole: Tensors, tuned: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    folder = tmp_path / "unet_lcm"
    folder.mkdir()
    with pytest.raises(BadCheckpoint, match=r"no model_index\.json"):
        read_checkpoint(folder)
    (folder / "config.json").write_text("{}")
    file = save(alone("diffusers", tuned), folder / f"{name}.safetensors")
    registry = Registry(tmp_path)
    with pytest.raises(CheckpointUnavailable, match=r"unet_lcm: .* no checkpoint that fits lends them here"):
        registry.add(folder)
    registry.add(save(whole, tmp_path / "whole.safetensors"))
    added = registry.add(folder)
    assert (added.id, added.source.location, added.base and added.base.id) == ("unet_lcm", str(file), "whole")
    assert added in Registry(tmp_path).checkpoints(Catalogue())
    assert "unet_lcm" in [found.id for found in found_in([tmp_path])]


@pytest.mark.parametrize(
    "name",
    [
        "AnimateLCM-SVD-xt.safetensors",
        "AnimateLCM-SVD-xt-1.1.safetensors",
        "animatelcm-svd-xt-1-1_fp16.safetensors",
    ],
)
def test_weights_distilled_to_few_steps_are_known_by_their_name(
    name: str, tuned: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    one = read_checkpoint(save(alone("diffusers", tuned), tmp_path / name))
    own = defaults_for(one)
    assert (own.schedule, own.num_inference_steps, own.guided, own.num_frames) == ("lcm", 4, False, 25)
    assert one.trained_for == "distilled to 2 to 8 steps at 25 frames"
    assert not [note for note in check(one, own) if note.field == "schedule"]


@pytest.mark.parametrize("how", ["whole", "as ComfyUI saves the image encoder"])
def test_a_whole_pipeline_in_diffusers_layout_in_one_file_loads(
    how: str, whole: Tensors, parts: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    if how == "whole":
        tensors = {
            n: t for part, own in parts.items() for n, t in in_diffusers_layout(own, f"{part}.").items()
        }
    else:
        clip = original_layout.CLIP
        tensors = {n: t for n, t in whole.items() if not n.startswith(clip)}
        tensors |= in_diffusers_layout(parts["image_encoder"], f"{clip}.visual.")
    added = Registry(tmp_path).add(save(tensors, tmp_path / "one.safetensors"))
    assert added.lacks == ()
    loaded = Residency("cpu").get(added)
    for part, own in parts.items():
        got = getattr(loaded, part).state_dict()
        assert all(torch.equal(got[name], tensor) for name, tensor in own.state_dict().items()), part


def test_the_heads_that_a_file_cannot_say_are_its_bases(tmp_path: Path) -> None:
    demo = Catalogue().get("demo-1-1")
    folder = Path(demo.source.location)
    unet = safetensors.torch.load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    added = Registry(tmp_path).add(save(unet, tmp_path / "steady.safetensors"), base="demo-1-0")
    residency = Residency("cpu")
    ours, theirs = residency.get(added), residency.get(demo)
    assert ours.unet.config.num_attention_heads == theirs.unet.config.num_attention_heads
    sample = torch.randn(1, 2, ours.unet.config.in_channels, 8, 8, generator=torch.Generator().manual_seed(0))
    context = torch.randn(
        1, 1, ours.unet.config.cross_attention_dim, generator=torch.Generator().manual_seed(1)
    )
    ids = torch.tensor([[5.0, 127.0, 0.02]])
    with torch.no_grad():
        one, two = (parts.unet(sample, torch.tensor(1.3), context, ids).sample for parts in (ours, theirs))
    assert torch.equal(one, two)
    assert added.size_step == demo.size_step


def test_without_a_base_at_hand_it_is_said_what_would_help(
    tuned: dict[str, torch.nn.Module], whole: Tensors, tmp_path: Path
) -> None:
    file = save(alone("diffusers", tuned), tmp_path / "tuned.safetensors")
    registry = Registry(tmp_path)
    with pytest.raises(CheckpointUnavailable) as refused:
        registry.add(file)
    assert str(refused.value).endswith(
        ", without image encoder and autoencoder, and no checkpoint that fits lends them here: get one (svdlab "
        "checkpoints pull svd-xt) or name one that you have (svdlab checkpoints add --base ID)."
    )
    base = save(whole, tmp_path / "whole.safetensors")
    registry.add(base)
    registry.add(file)
    base.unlink()
    listed = {one.id: one for one in registry.checkpoints(Catalogue())}
    here = availability(listed["tuned"])
    assert here.state == "missing"
    assert here.sentence.endswith(f"which are those of whole: It cannot be used: {base} is gone.")


def test_a_base_that_does_not_fit_is_refused(
    tuned: dict[str, torch.nn.Module], whole: Tensors, tmp_path: Path
) -> None:
    file = save(alone("original", tuned), tmp_path / "tuned.safetensors")
    registry = Registry(tmp_path)
    with pytest.raises(
        BadInput, match="demo-1-0 does not fit: the UNet of tuned is for 4 channels of latents and"
    ):
        registry.add(file, base="demo-1-0")
    with pytest.raises(NotFound, match="there is no checkpoint 'nothing'"):
        registry.add(file, base="nothing")
    with pytest.raises(CheckpointUnavailable, match="svd-xt: Not on disk"):
        registry.add(file, base="svd-xt")
    registry.add(save(whole, tmp_path / "whole.safetensors"))
    registry.add(file)
    other = save(alone("diffusers", tuned), tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match="tuned cannot lend other anything: it is not whole itself"):
        registry.add(other, base="tuned")
    with pytest.raises(BadInput, match=r"whole\.safetensors is whole, so it needs no --base"):
        registry.add(tmp_path / "whole.safetensors", base="demo-1-0")
