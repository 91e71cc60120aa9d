"""LoRA files: registered by their headers, found by id or content, refused by what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from svdlab.errors import BadCheckpoint, BadInput, NotFound
from svdlab.recipes.loras import MOST_LORAS, Lora, together
from svdlab.weights.content import Hashes
from svdlab.weights.layouts.loras import read_lora
from svdlab.weights.loras import Loras

Tensors = dict[str, torch.Tensor]


def pair(layer: str = "unet.a.to_q", rank: int = 2, down: str = "lora_A", up: str = "lora_B") -> Tensors:
    return {f"{layer}.{down}.weight": torch.ones(rank, 8), f"{layer}.{up}.weight": torch.ones(8, rank)}


def write(path: Path, tensors: Tensors, **metadata: str) -> Path:
    safetensors.torch.save_file(tensors, path, metadata)
    return path


@pytest.fixture
def loras(tmp_path: Path) -> Loras:
    return Loras(tmp_path / "data", Hashes())


REFUSED: dict[str, tuple[Tensors, str]] = {
    "a checkpoint": (
        {"conv_in.weight": torch.ones(3)},
        "it has conv_in.weight, which is no factor of a layer's change",
    ),
    "half": ({"unet.a.lora_A.weight": torch.ones(2, 8)}, "lacks the second factor of a"),
    "other half": ({"unet.a.lora_B.weight": torch.ones(2, 8)}, "lacks the first factor of a"),
    "ranks": (
        {"a.lora_A.weight": torch.ones(2, 8), "a.lora_B.weight": torch.ones(8, 3)},
        r"the factors of a have the shapes \[2, 8\] and \[8, 3\]",
    ),
    "one number": ({"a.lora_A.weight": torch.ones(1), "a.lora_B.weight": torch.ones(1)}, "have the shapes"),
    "rank of none": (
        {"a.lora_A.weight": torch.ones(0, 8), "a.lora_B.weight": torch.ones(8, 0)},
        "have the shapes",
    ),
    "LoHa": (pair() | {"lora_unet_a.hada_w1_a": torch.ones(2)}, "a LyCORIS of another kind"),
    "DoRA": (pair() | {"unet.a.dora_scale": torch.ones(2)}, "a DoRA"),
    "text encoder": (pair() | {"lora_te_text_model_a.alpha": torch.ones(())}, "for a text encoder"),
    "alpha": (pair() | {"unet.a.to_q.alpha": torch.ones(2)}, "alpha is not one number"),
    "twice": (pair() | pair("base_model.model.a.to_q"), "it changes a_to_q twice"),
    "whole numbers": (
        {"a.lora_A.weight": torch.ones(2, 8, dtype=torch.int8), "a.lora_B.weight": torch.ones(8, 2)},
        "is stored as I8; F32, F16, BF16 are read",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_lora_is_refused_by_what_it_is(what: str, loras: Loras, tmp_path: Path) -> None:
    tensors, said = REFUSED[what]
    with pytest.raises(BadCheckpoint, match=said):
        loras.add(write(tmp_path / "some.safetensors", tensors))
    assert not list(loras)


@pytest.mark.parametrize(
    "noted", ["{", "[]", '{"unet.lora_alpha": "x"}', '{"unet.lora_alpha": NaN}', '{"unet.use_dora": true}']
)
def test_scales_beside_the_tensors_that_are_not_understood_are_one_sentence(
    noted: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "some.safetensors", pair(), lora_adapter_metadata=noted)
    with pytest.raises(BadCheckpoint, match=r"are not understood|a kind that is not read"):
        read_lora(path)


def test_pickles_and_cut_files_are_refused_unread(loras: Loras, tmp_path: Path) -> None:
    whole = write(tmp_path / "some.safetensors", pair()).read_bytes()
    for name, content in (
        ("a.pt", whole),
        ("b.safetensors", whole[:-3]),
        ("c.safetensors", b"PK\x03\x04rest"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadCheckpoint, match=name):
            loras.add(tmp_path / name)


def test_a_lora_is_known_by_its_content_wherever_it_lies(loras: Loras, tmp_path: Path) -> None:
    first = loras.add(write(tmp_path / "My Motion.safetensors", pair()))
    assert (first.id, first.layers, first.rank) == ("my-motion", 1, 2)
    (tmp_path / "My Motion.safetensors").rename(tmp_path / "moved.safetensors")
    lora = Lora(sha256=first.sha256, strength=0.5)
    assert not list(loras)
    with pytest.raises(NotFound, match=f"the LoRA {first.sha256[:8]}… of this recipe is not here"):
        loras.of(lora)
    again = loras.add(tmp_path / "moved.safetensors")
    assert (again.id, again.sha256) == ("my-motion", first.sha256)
    assert (loras.of(lora).file, loras.of(lora).strength) == (again, 0.5)
    assert list(Loras(tmp_path / "data", Hashes())) == [again]
    write(tmp_path / "moved.safetensors", pair(rank=3))
    with pytest.raises(NotFound, match="is not here, or its file has changed"):
        loras.of(lora)


def test_ids_are_of_one_file_each(loras: Loras, tmp_path: Path) -> None:
    one = write(tmp_path / "some.safetensors", pair())
    (tmp_path / "other").mkdir()
    two = write(tmp_path / "other" / "some.safetensors", pair(rank=3))
    assert loras.add(one).id == "some"
    assert loras.add(two).id.startswith("some-")
    with pytest.raises(BadInput, match="there is a LoRA some already"):
        loras.add(two, "some")
    with pytest.raises(BadInput, match="an id is up to 63"):
        loras.add(two, "../up")
    loras.remove("some")
    with pytest.raises(NotFound, match="there is no LoRA 'some'; there are some-"):
        loras.remove("some")


def test_what_is_asked_for_is_a_file_or_an_id_with_a_strength(loras: Loras, tmp_path: Path) -> None:
    path = write(tmp_path / "a b:c.safetensors", pair())
    sha256 = loras.add(path, "mine").sha256
    for text, strength in (
        ("mine", 1.0),
        ("mine:0.75", 0.75),
        (f"{path}", 1.0),
        (f"{path}:-2", -2.0),
        (" mine:1e-1 ", 0.1),
    ):
        assert loras.chosen([text]) == (Lora(sha256=sha256, strength=strength),)
    assert loras.chosen([]) == ()
    for wrong in ("nan", "inf", "-inf", "11", "x", "", " "):
        with pytest.raises(BadInput, match="a LoRA's strength must be a number from -10 to 10"):
            loras.chosen([f"mine:{wrong}"])
    with pytest.raises(BadInput, match="was given twice"):
        loras.chosen(["mine", "mine:0.5"])
    with pytest.raises(NotFound, match="there is no LoRA file"):
        loras.chosen([str(tmp_path / "none.safetensors")])
    with pytest.raises(NotFound, match="there is no LoRA"):
        loras.named(str(path), 1)
    assert loras.chosen(["mine:0.5"], files=False)[0].strength == 0.5
    with pytest.raises(NotFound, match="there is no LoRA"):
        loras.chosen([__file__], files=False)


def test_a_recipe_takes_so_many_and_their_order_says_nothing() -> None:
    some = [Lora(sha256=f"{n:064x}", strength=1.0) for n in range(MOST_LORAS + 1)]
    assert together(reversed(some[:3])) == tuple(some[:3])
    with pytest.raises(BadInput, match="at most 8 LoRA files can be added at once, got 9"):
        together(some)
