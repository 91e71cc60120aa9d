"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from svdlab.errors import BadInput
from svdlab.files import entries, publish_folder, remove_folder, sha256_of, write_whole


def test_a_folder_appears_in_place_of_what_was_there(tmp_path: Path) -> None:
    aside, final = tmp_path / ".new", tmp_path / "final"
    for folder, text in ((aside, "new"), (final, "old")):
        folder.mkdir()
        (folder / text).write_text(text)
    publish_folder(aside, final)
    assert [path.name for path in entries(final)] == ["new"]
    assert not aside.exists()


def test_what_is_in_a_folder_is_told_by_name_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    for name in "ba":
        (tmp_path / name).touch()
    assert [path.name for path in entries(tmp_path)] == ["a", "b"]
    assert entries(tmp_path / "missing") == []


def test_a_removed_folder_is_gone_and_a_missing_one_too(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert remove_folder(tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert remove_folder(tmp_path / "a")


def test_a_hash_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes" * 100_000)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"bytes" * 100_000).hexdigest()


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(BadInput, match=r"out\.bin could not be written: no space left on device"):
        write_whole(tmp_path / "out.bin", half)
    assert list(tmp_path.iterdir()) == []
