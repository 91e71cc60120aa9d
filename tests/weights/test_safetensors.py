"""Headers: what is whole is read, what is broken or hostile is refused in one sentence, no pickle is opened."""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from svdlab.errors import BadCheckpoint
from svdlab.weights.safetensors import MAX_HEADER_BYTES, MAX_TENSORS, Header, TensorInfo, read_header


class Trap:
    """Ends the process if it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os._exit, (1,))


def entry(start: int, end: int, dtype: str = "F32", shape: Any = None) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [(end - start) // 4] if shape is None else shape,
        "data_offsets": [start, end],
    }


def write(path: Path, entries: Any, data: bytes = b"\0" * 12) -> Path:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "some.safetensors"


def refused(path: Path) -> str:
    """The sentence a file is refused with; it names the file and is one line."""
    with pytest.raises(BadCheckpoint) as caught:
        read_header(path)
    sentence = str(caught.value)
    assert path.name in sentence
    assert "\n" not in sentence
    assert len(sentence) < 400
    return sentence


def test_a_header_gives_names_types_shapes_and_places(file: Path) -> None:
    entries = {
        "__metadata__": {"format": "pt"},
        "b": entry(4, 12, "F16", [2, 2]),
        "a": entry(0, 4, "F32", []),
    }
    header = read_header(write(file, entries))
    start = file.stat().st_size - 12
    assert dict(header.tensors) == {
        "a": TensorInfo("F32", (), start, start + 4),
        "b": TensorInfo("F16", (2, 2), start + 4, start + 12),
    }
    assert header.metadata == {"format": "pt"}
    assert header.file_bytes == file.stat().st_size


def test_it_agrees_with_the_safetensors_library(file: Path) -> None:
    safetensors_torch = pytest.importorskip("safetensors.torch")
    torch = pytest.importorskip("torch")
    tensors = {
        "half": torch.ones(3, 5, dtype=torch.float16),
        "brain": torch.ones(2, dtype=torch.bfloat16),
        "scalar": torch.tensor(2.0),
        "numbers": torch.arange(7),
        "flags": torch.tensor([True, False]),
        "nothing": torch.ones(0, 4),
    }
    safetensors_torch.save_file(tensors, file, {"format": "pt"})
    header = read_header(file)
    content = file.read_bytes()
    assert {name: info.shape for name, info in header.tensors.items()} == {
        name: tuple(tensor.shape) for name, tensor in tensors.items()
    }
    for name, tensor in tensors.items():
        info = header.tensors[name]
        assert content[info.start : info.end] == bytes(
            tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
        )


def test_a_header_of_640_bytes_is_not_taken_for_a_pickle(file: Path) -> None:
    text = json.dumps({"a": entry(0, 12)}).encode().ljust(640)
    write(file, text)
    assert file.read_bytes()[:2] == b"\x80\x02"
    assert list(read_header(file).tensors) == ["a"]


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin", ".pkl", ".CKPT"])
def test_pickles_are_refused_by_name_even_if_they_are_none(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"svd_xt{suffix}", {"a": entry(0, 12)})
    assert "is a pickle by its name" in refused(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_are_refused_by_their_first_bytes(file: Path, protocol: int) -> None:
    file.write_bytes(pickle.dumps(Trap(), protocol))
    assert "is not a safetensors file but a pickle" in refused(file)


def test_torch_archives_are_refused_by_their_first_bytes(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Trap()))
    assert "as torch.save writes pickles" in refused(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\x10\0\0", "is cut off: 3 bytes"),
        (b"\0" * 9, "is cut off: 9 bytes"),
        (b"\0" * 10, "has a broken header"),
        (b"GGUF\3\0\0\0" + b"\0" * 40, "a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html><title>Sign in</title>", "a web page"),
        (struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{}", "its header would be"),
        (b"\xff" * 40, "its header would be 18446744073709551615 bytes long"),
        (struct.pack("<Q", 5000) + b"{}", "is cut off: its header ends at byte 5008, the file at 10"),
    ],
)
def test_what_is_no_safetensors_file_is_said(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    assert said in refused(file)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (b"[]", "it is not a table of tensors"),
        (b"{", "has a broken header"),
        (b'{"a": \xff}', "has a broken header"),
        (b'{"a": ' + b"9" * 5000 + b"}", "has a broken header"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "it is nested too deeply"),
        (b'{"a": {}, "a": {}}', "a name stands in it twice"),
        (b'{"a": {"dtype": "F32", "dtype": "F16"}}', "a name stands in it twice"),
        (b"[" + b"[]," * (11 * MAX_TENSORS) + b"]", "names more tensors than"),
        ({"__metadata__": []}, "its __metadata__ is not a table of texts"),
        ({"__metadata__": {"a": 1}}, "its __metadata__ is not a table of texts"),
        ({"a": 3}, "a is not described by a table"),
        ({"a\x1b[2J": entry(0, 12)}, "name holds control characters"),
        (b'{"\\ud800": {}}', "name holds control characters"),
        ({"a": {}}, "a has the unknown type 'None'"),
        ({"a": entry(0, 12, "F31")}, "a has the unknown type 'F31'"),
        ({"a": {**entry(0, 12), "dtype": ["F32"]}}, "a has the unknown type"),
        ({"a": entry(0, 12, shape=[-3])}, "a has no valid shape"),
        ({"a": entry(0, 12, shape=[3.0])}, "a has no valid shape"),
        ({"a": entry(0, 12, shape=[True, 3])}, "a has no valid shape"),
        ({"a": entry(0, 12, shape=[1] * 17)}, "a has no valid shape"),
        ({"a": entry(0, 12, shape="3")}, "a has no valid shape"),
        ({"a": entry(0, 12, shape=[2**63])}, "a has no valid shape"),
        (b'{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 12]}}', "a has no valid shape"),
        ({"a": {"dtype": "F32", "shape": [3]}}, "a has no valid place"),
        ({"a": {**entry(0, 12), "data_offsets": [0]}}, "a has no valid place"),
        ({"a": {**entry(0, 12), "data_offsets": [12, 0]}}, "a has no valid place"),
        ({"a": {**entry(0, 12), "data_offsets": [-12, 0]}}, "a has no valid place"),
        ({"a": {**entry(0, 12), "data_offsets": [0, 1e400]}}, "a has no valid place"),
        ({"a": entry(0, 12, shape=[4])}, "a is 4 of F32, which is not 12 bytes"),
        ({"a": entry(0, 12, "F16")}, "a is 3 of F16, which is not 12 bytes"),
        ({"a": entry(0, 12, shape=[2**62, 2**62])}, "which is not 12 bytes"),
        ({"a": entry(0, 12, shape=[2**62, 0])}, "which is not 12 bytes"),
        ({"a": entry(0, 8), "b": entry(4, 12)}, "b overlaps the tensor before it"),
        ({"a": entry(0, 4), "b": entry(8, 12)}, "b leaves a gap before it"),
        ({"a": entry(4, 12)}, "a leaves a gap before it"),
        ({"a": entry(0, 8)}, "has 4 bytes after its last tensor"),
        ({}, "has 12 bytes after its last tensor"),
        ({"a": entry(0, 16)}, "is cut off: a ends at byte"),
    ],
)
def test_a_broken_header_is_refused_with_the_defect(file: Path, entries: Any, said: str) -> None:
    assert said in refused(write(file, entries))


def test_every_way_of_cutting_a_file_off_is_noticed(file: Path) -> None:
    whole = write(file, {"a": entry(0, 4), "b": entry(4, 12)}).read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert refused(file)


def test_no_change_of_a_byte_raises_anything_else(file: Path) -> None:
    whole = write(file, {"__metadata__": {"format": "pt"}, "a": entry(0, 4), "b": entry(4, 12)}).read_bytes()
    draw = random.Random(0)
    for _ in range(2000):
        changed = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 5))):
            changed[draw.randrange(len(changed))] = draw.choice((draw.randrange(256), *b'{}[]",:0-'))
        file.write_bytes(changed)
        try:
            header = read_header(file)
        except BadCheckpoint:
            continue
        assert isinstance(header, Header)
        assert all(0 <= t.start <= t.end <= header.file_bytes for t in header.tensors.values())


def test_what_is_not_there_or_not_a_file_is_said(tmp_path: Path) -> None:
    assert "is not there" in refused(tmp_path / "gone.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    assert "is not a file" in refused(tmp_path / "folder.safetensors")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "is not a file" in refused(tmp_path / "pipe.safetensors")


def test_a_link_is_followed(tmp_path: Path, file: Path) -> None:
    write(file, {"a": entry(0, 12)})
    link = tmp_path / "link.safetensors"
    link.symlink_to(file)
    assert read_header(link) == read_header(file)


def test_neither_torch_nor_safetensors_is_imported() -> None:
    code = (
        "import sys, svdlab.weights.safetensors; print({'torch', 'safetensors', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
