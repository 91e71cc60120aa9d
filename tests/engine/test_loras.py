"""A LoRA added to a UNet is what its trainer meant, for every way of naming it; the UNet without it stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch import nn

from svdlab.engine.loras import layers_of
from svdlab.engine.original_names import SOURCES
from svdlab.engine.residency import Residency
from svdlab.errors import BadCheckpoint
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.loras import AddedLora
from svdlab.weights.content import Hashes
from svdlab.weights.layouts.single_files import UNET
from svdlab.weights.loras import Loras
from svdlab.weights.register import read_checkpoint
from tests import tiny
from tests.lora_files import ALPHA, NAMES, RANK, Factors, factors, save, scale_of


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    tiny.pipeline().save_pretrained(folder)
    return read_checkpoint(folder)


@pytest.fixture
def loras(tmp_path: Path) -> Loras:
    return Loras(tmp_path, Hashes())


def added(loras: Loras, path: Path, strength: float = 1.0) -> AddedLora:
    return AddedLora(loras.add(path), strength)


def unet_of(checkpoint: Checkpoint, *with_loras: AddedLora) -> UNetSpatioTemporalConditionModel:
    return Residency("cpu", "float32").get(checkpoint, loras=with_loras).unet


def answer(unet: nn.Module) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    sample = torch.randn(1, 2, 8, 8, 8, generator=rng)
    embeds = torch.randn(1, 1, 32, generator=rng)
    with torch.no_grad():
        return unet(
            sample, torch.tensor(0.7), embeds, added_time_ids=torch.tensor([[5.0, 127.0, 0.02]])
        ).sample


def beside(unet: nn.Module, changes: list[tuple[Factors, float]]) -> torch.Tensor:
    """What trainers compute: each layer's own answer, plus its input through both factors."""
    handles = []
    for made, scale in changes:
        for name, (down, up) in made.items():
            layer = unet.get_submodule(name)

            def both(
                module: nn.Module,
                given: tuple[torch.Tensor, ...],
                out: torch.Tensor,
                down: torch.Tensor = down,
                up: torch.Tensor = up,
                scale: float = scale,
            ) -> torch.Tensor:
                if isinstance(module, nn.Linear):
                    return out + scale * (given[0] @ down.T @ up.T)
                convolve = nn.functional.conv2d if isinstance(module, nn.Conv2d) else nn.functional.conv3d
                return out + scale * convolve(
                    convolve(given[0], down, stride=module.stride, padding=module.padding), up
                )

            handles.append(layer.register_forward_hook(both))
    made_so = answer(unet)
    for handle in handles:
        handle.remove()
    return made_so


def everywhere(name: str) -> bool:
    return "norm" not in name


def attention(name: str) -> bool:
    return name.endswith(("to_q", "to_k", "to_v", "to_out.0"))


WANTED: dict[str, Callable[[str], bool]] = dict.fromkeys(NAMES, everywhere) | {"processors": attention}


@pytest.mark.parametrize("how", NAMES)
def test_a_lora_does_what_its_factors_beside_each_layer_do(
    how: str, checkpoint: Checkpoint, loras: Loras, tmp_path: Path
) -> None:
    base = unet_of(checkpoint)
    made = factors(base, WANTED[how])
    lora = added(loras, save(tmp_path / "some.safetensors", made, how, base.config), 0.7)
    expected = beside(base, [(made, 0.7 * scale_of(how))])
    assert not torch.allclose(expected, answer(base), atol=1e-2)
    assert torch.allclose(answer(unet_of(checkpoint, lora)), expected, rtol=1e-4, atol=1e-4)


def test_several_loras_add_up(checkpoint: Checkpoint, loras: Loras, tmp_path: Path) -> None:
    base = unet_of(checkpoint)
    one, two = factors(base, attention), factors(base, everywhere, seed=1, rank=2)
    first = added(loras, save(tmp_path / "one.safetensors", one), 1.0)
    second = added(loras, save(tmp_path / "two.safetensors", two), -0.5)
    expected = beside(base, [(one, 1.0), (two, -0.5)])
    assert torch.allclose(answer(unet_of(checkpoint, first, second)), expected, rtol=1e-4, atol=1e-4)


def test_the_alpha_that_diffusers_notes_beside_the_tensors_counts(
    checkpoint: Checkpoint, loras: Loras, tmp_path: Path
) -> None:
    base = unet_of(checkpoint)
    made = factors(base, attention)
    noted = f'{{"unet.lora_alpha": {ALPHA}, "unet.r": {RANK}, "unet.use_dora": false}}'
    path = save(tmp_path / "noted.safetensors", made, metadata={"lora_adapter_metadata": noted})
    expected = beside(base, [(made, ALPHA / RANK)])
    assert torch.allclose(answer(unet_of(checkpoint, added(loras, path))), expected, rtol=1e-4, atol=1e-4)


def test_the_unet_without_stays_as_it_is_and_each_is_loaded_once(
    checkpoint: Checkpoint, loras: Loras, tmp_path: Path
) -> None:
    residency = Residency("cpu", "float32")
    before = {n: t.clone() for n, t in residency.get(checkpoint).unet.state_dict().items()}
    path = save(tmp_path / "some.safetensors", factors(residency.get(checkpoint).unet, everywhere))
    weak, strong = added(loras, path, 0.5), added(loras, path, 1.0)
    loads = residency.loads
    changed = [residency.get(checkpoint, loras=(lora,)) for lora in (weak, strong, weak)]
    assert residency.loads == loads + 2  # the UNet twice: what is not changed is shared
    assert changed[0] is changed[2]
    assert changed[0].vae is residency.get(checkpoint).vae
    assert (
        changed[0].keys == residency.get(checkpoint).keys
    )  # they are the checkpoint's; the recipe names the LoRA
    assert not torch.equal(changed[0].unet.conv_in.weight, changed[1].unet.conv_in.weight)
    after = residency.get(checkpoint).unet.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    [used] = [one.used_by for one in residency.resident() if one.part == "vae"]
    assert sorted(used) == ["tiny", "tiny + some 0.5", "tiny + some 1"]


def test_at_strength_0_nothing_changes(checkpoint: Checkpoint, loras: Loras, tmp_path: Path) -> None:
    base = unet_of(checkpoint)
    lora = added(loras, save(tmp_path / "some.safetensors", factors(base, everywhere)), 0.0)
    now = unet_of(checkpoint, lora).state_dict()
    assert all(torch.equal(now[name], tensor) for name, tensor in base.state_dict().items())


def wide(unet: nn.Module) -> Factors:
    return {name: (torch.cat([d, d], 1), u) for name, (d, u) in factors(unet, attention).items()}


def strangers(unet: nn.Module) -> Factors:
    return {f"double_blocks.{name}": pair for name, pair in factors(unet, attention).items()}


def partly(unet: nn.Module) -> Factors:
    return factors(unet, attention) | dict([next(iter(strangers(unet).items()))])


def broken(unet: nn.Module) -> Factors:
    return {name: (d.fill_(float("nan")), u) for name, (d, u) in factors(unet, attention).items()}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (strangers, r"is a LoRA for another model: none of the \d+ layers it changes is in the UNet of tiny"),
        (
            partly,
            r"another model: 64 of the 65 layers it changes are in the UNet of tiny, which has no double_blocks_",
        ),
        (
            wide,
            r"is a LoRA for another model: it changes \[32, 64\] values of .*attn1.to_k, which has \[32, 32\] in tiny",
        ),
        (broken, r"lora_A.weight in bad.safetensors holds numbers that are not finite"),
    ],
)
def test_a_lora_that_does_not_fit_is_one_sentence_and_nothing_is_loaded(
    make: Callable[[nn.Module], Factors], said: str, checkpoint: Checkpoint, loras: Loras, tmp_path: Path
) -> None:
    residency = Residency("cpu", "float32")
    base = residency.get(checkpoint).unet
    lora = added(loras, save(tmp_path / "bad.safetensors", make(base)))
    with pytest.raises(BadCheckpoint, match=said):
        residency.get(checkpoint, loras=(lora,))
    assert not residency.holds(checkpoint, (lora,))
    assert residency.get(checkpoint).unet is base
    assert all("bad" not in name for one in residency.resident() for name in one.used_by)


def test_a_strength_that_float16_cannot_hold_is_said(
    checkpoint: Checkpoint, loras: Loras, tmp_path: Path
) -> None:
    made = {n: (1e4 * d, 1e4 * u) for n, (d, u) in factors(unet_of(checkpoint), attention).items()}
    lora = added(loras, save(tmp_path / "loud.safetensors", made))
    with pytest.raises(BadCheckpoint, match=r"loud.safetensors holds numbers that float16 cannot"):
        Residency("cpu", "float16").get(checkpoint, loras=(lora,))


def test_at_full_size_every_layer_has_names_of_its_own_in_both_layouts() -> None:
    with torch.device("meta"):
        unet = UNetSpatioTemporalConditionModel(num_attention_heads=(5, 10, 20, 20))
    layers = layers_of(unet)
    kinds = nn.Linear | nn.Conv2d | nn.Conv3d
    names = [name for name, module in unet.named_modules() if isinstance(module, kinds)]
    assert len(names) == 574
    for name in names:
        stability = (
            SOURCES["unet"](f"{name}.weight", unet.config)[0].removeprefix(UNET).removesuffix(".weight")
        )
        for called in (name, stability):
            assert layers[called.replace(".", "_")][0] == name
