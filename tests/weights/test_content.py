"""Hashes of components: of what is in files, remembered while the files stay as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from svdlab.errors import BadCheckpoint, CheckpointUnavailable
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.content import MOST_REMEMBERED, REMEMBERED, Hashes, narrow, signature
from svdlab.weights.layouts.single_files import PARTS, recognise, tensors_of
from svdlab.weights.register import read_checkpoint
from svdlab.weights.safetensors import Header, read_header
from svdlab.weights.sources.folder import local_checkpoint
from tests import original_layout, tiny
from tests.original_layout import CLIP, COPY, FIRST_STAGE, UNET


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return original_layout.to_original(original_layout.components())


@pytest.fixture
def file(tensors: dict[str, torch.Tensor], tmp_path: Path) -> Path:
    path = tmp_path / "svd_xt.safetensors"
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    return path


def flip(path: Path, part: str) -> None:
    """Changes one number of a component in the file; its size stays."""
    header = read_header(path)
    start = header.tensors[tensors_of(header, recognise(header, path.name), part)[0]].start
    with path.open("r+b") as content:
        content.seek(start)
        byte = content.read(1)
        content.seek(start)
        content.write(bytes([byte[0] ^ 1]))


def test_a_folders_hashes_are_those_of_its_files() -> None:
    demo = Catalogue().get("demo-1-0")
    folder = Path(demo.source.location)
    digest = subprocess.run(
        [sys.executable, "-c", "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())",
         str(folder / "unet" / "diffusion_pytorch_model.safetensors")],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    for dtype in ("float32", "float16"):
        keys = Hashes().keys(demo, dtype)
        assert keys.keys() == set(PARTS)
        assert keys["unet"] == digest


def test_a_single_files_hashes_are_what_they_always_were(tmp_path: Path) -> None:
    """Runs in people's histories name these: another way to hash would make their weights look changed."""
    with torch.device("meta"):
        shapes = {n: t.shape for n, t in original_layout.to_original(original_layout.components()).items()}
    path = tmp_path / "svd.safetensors"
    fixed = {name: torch.full(shape, 0.3) for name, shape in shapes.items()}
    safetensors.torch.save_file(fixed, path, {"format": "pt"})
    hashes = Hashes()
    found = {
        f"{part} {dtype}": str(hashes.of_part(path, part, dtype))[:16]
        for part in PARTS
        for dtype in ("float32", "float16", "bfloat16")
    }
    assert found == PINNED


# By svdlab before hashes were remembered, which read the numbers with torch.
PINNED = {
    "image_encoder float32": "e9ba526ddea3183d",
    "image_encoder float16": "b70d79a7fedc0fe5",
    "image_encoder bfloat16": "0dcd2104fbfe7305",
    "unet float32": "043833ab1dff57a7",
    "unet float16": "e27edefd9eba6e26",
    "unet bfloat16": "8aa5d111b8f74706",
    "vae float32": "3d7517b51606434a",
    "vae float16": "17f1053dfd642355",
    "vae bfloat16": "adb11a0409257e42",
}


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_numbers_are_narrowed_as_torch_narrows_them(half: torch.dtype) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 200_000, dtype=np.uint32)
    edges = np.array([0, 1, 0x80000000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x477FE000, 0x477FF000, 0x33000000,
                      0x3F808000, 0x3F818000, 0x387FC000], dtype=np.uint32)  # fmt: skip
    numbers = np.concatenate([edges, bits]).view(np.float32)
    numbers = numbers[~np.isnan(numbers)]  # what is not a number has no one form, and is refused
    wanted = torch.from_numpy(numbers).to(half).view(torch.int16).numpy().tobytes()
    assert narrow(numbers.tobytes(), {torch.float16: "F16", torch.bfloat16: "BF16"}[half]) == wanted


@pytest.mark.parametrize("decoder", ["temporal", "image"])
def test_hashed_is_exactly_what_is_loaded(decoder: original_layout.Decoder) -> None:
    from svdlab.engine import single_file
    from svdlab.weights.safetensors import TensorInfo

    place, infos = 0, {}
    for name, shape in original_layout.full_size(decoder).items():
        size = 2 * int(np.prod(shape))
        infos[name] = TensorInfo("F16", tuple(shape), place, place + size)
        place += size
    header = Header(infos, {}, place)
    original = single_file.recognise(header, "svd.safetensors")
    for part in PARTS:
        loaded = {piece.source for piece in original.pieces[part]}
        assert set(tensors_of(header, original.file, part)) == loaded


def test_a_file_is_read_once_while_it_stays_as_it_is(file: Path, tmp_path: Path) -> None:
    own = read_checkpoint(file)
    (tmp_path / "data").mkdir()
    first = Hashes(tmp_path / "data")
    assert first.known_key(own, "unet", "float32") is None
    keys = first.keys(own, "float32")
    assert first.known_key(own, "unet", "float32") == keys["unet"]
    remembered = json.loads((tmp_path / "data" / REMEMBERED).read_text())
    assert sorted(remembered.values()) == sorted(keys.values())
    again = Hashes(tmp_path / "data")
    assert {part: again.known_key(own, part, "float32") for part in PARTS} == keys
    assert Hashes().known_key(own, "unet", "float32") is None


@pytest.mark.parametrize("part", PARTS)
def test_a_file_that_was_written_over_is_read_again(part: str, file: Path, tmp_path: Path) -> None:
    own, hashes = read_checkpoint(file), Hashes(tmp_path)
    keys, before = hashes.keys(own, "float32"), signature(own)
    times = file.stat()
    flip(file, part)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # whoever copies may keep the time
    assert signature(own) != before
    assert hashes.known_key(own, part, "float32") is None
    changed = {name for name, key in hashes.keys(own, "float32").items() if key != keys[name]}
    assert changed == {part}


def test_another_file_of_the_same_name_size_and_time_is_another(file: Path, tmp_path: Path) -> None:
    own, hashes = read_checkpoint(file), Hashes(tmp_path)
    keys, times = hashes.keys(own, "float32"), file.stat()
    other = tmp_path / "other.safetensors"
    other.write_bytes(file.read_bytes())
    flip(other, "unet")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)
    assert hashes.keys(own, "float32")["unet"] != keys["unet"]


def test_a_folders_configuration_is_part_of_its_signature(tmp_path: Path) -> None:
    tiny.pipeline().save_pretrained(tmp_path / "tiny")
    own = local_checkpoint(tmp_path / "tiny")
    before = signature(own)
    assert signature(own) == before
    config = tmp_path / "tiny" / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + "\n")
    assert signature(own) != before


def test_what_is_not_here_has_neither_signature_nor_hash(file: Path) -> None:
    own = read_checkpoint(file)
    file.unlink()
    for ask in (signature, lambda one: Hashes().keys(one, "float32")):
        with pytest.raises(CheckpointUnavailable, match="is gone"):
            ask(own)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', "null"])
def test_a_broken_memory_is_an_empty_one(content: str, file: Path, tmp_path: Path) -> None:
    (tmp_path / REMEMBERED).write_text(content)
    own = read_checkpoint(file)
    keys = Hashes(tmp_path).keys(own, "float32")
    assert Hashes(tmp_path).known_key(own, "vae", "float32") == keys["vae"]


def test_the_memory_does_not_grow_for_ever(file: Path, tmp_path: Path) -> None:
    old = {f"/old/{number}|1|2|3|4|file": "0" * 64 for number in range(MOST_REMEMBERED + 50)}
    (tmp_path / REMEMBERED).write_text(json.dumps(old))
    Hashes(tmp_path).keys(read_checkpoint(file), "float32")
    kept = json.loads((tmp_path / REMEMBERED).read_text())
    assert len(kept) == MOST_REMEMBERED
    assert list(kept)[-1].startswith(str(file))


def test_a_folder_that_cannot_be_written_forgets(file: Path, tmp_path: Path) -> None:
    own = read_checkpoint(file)
    hashes = Hashes(tmp_path / "not there")
    keys = hashes.keys(own, "float32")
    assert hashes.known_key(own, "unet", "float32") == keys["unet"]
    assert not (tmp_path / "not there").exists()


def test_two_files_with_the_same_component_agree_whatever_else_they_hold(
    tensors: dict[str, torch.Tensor], file: Path, tmp_path: Path
) -> None:
    other = {name: t + 1e-3 if name.startswith(UNET) else t for name, t in reversed(tensors.items())}
    other |= {f"{CLIP}.logit_scale": torch.tensor(3.0), f"{COPY}.decoder.conv_in.bias": torch.zeros(64)}
    path = tmp_path / "svd_xt_1_1.safetensors"
    safetensors.torch.save_file(other, path, {"format": "pt"})
    one, two = (Hashes().keys(read_checkpoint(p), "float32") for p in (file, path))
    assert {part for part in PARTS if one[part] == two[part]} == {"image_encoder", "vae"}


def test_a_unet_alone_is_the_same_with_or_without_its_prefix(
    tensors: dict[str, torch.Tensor], file: Path, tmp_path: Path
) -> None:
    whole = Hashes().of_part(file, "unet")
    for prefix in (f"{UNET}.", ""):
        alone = {
            name.replace(f"{UNET}.", prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(UNET)
        }
        path = tmp_path / f"unet{len(prefix)}.safetensors"
        safetensors.torch.save_file(alone, path, {"format": "pt"})
        assert Hashes().of_part(path, "unet") == whole


def test_a_unet_in_diffusers_layout_is_the_file_of_its_folder(tmp_path: Path) -> None:
    folder = Path(Catalogue().get("demo-1-1").source.location)
    path = tmp_path / "steady.safetensors"
    path.write_bytes((folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes())
    assert Hashes().of_part(path, "unet") == Hashes().keys(Catalogue().get("demo-1-1"), "float32")["unet"]


def test_a_file_that_is_cut_off_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(BadCheckpoint, match=r"svd_xt\.safetensors is cut off"):
        Hashes().of_part(file, "vae")


def test_the_frame_wise_decoder_is_hashed_in_its_file(tmp_path: Path) -> None:
    from dataclasses import replace

    tiny.pipeline().save_pretrained(tmp_path / "tiny")
    own = local_checkpoint(tmp_path / "tiny")
    decoder = original_layout.to_original(original_layout.components("image"))
    safetensors.torch.save_file(decoder, tmp_path / "tiny" / "image.safetensors")
    lent = replace(own, source=replace(own.source, image_decoder_file="image.safetensors"))
    plain, image = Hashes().keys(own, "float32"), Hashes().keys(lent, "float32")
    assert {part for part in PARTS if plain[part] != image[part]} == {"vae"}
    assert image["vae"] == Hashes().of_part(tmp_path / "tiny" / "image.safetensors", "vae", "float32")
    assert FIRST_STAGE in next(name for name in decoder if name.startswith("first"))


def test_asking_for_hashes_loads_no_model_library() -> None:
    code = (
        "import sys, svdlab.weights.content; print({'torch', 'safetensors', 'diffusers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
