"""What a zip from elsewhere may ask of whoever reads it: told from its sizes, before anything it says is believed.

Knows zip files and where a run's folder ends; nothing of labs, models or screens.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from svdlab.errors import BadInput

MAX_MANIFEST_BYTES = 128 * 2**20  # 200,000 runs
MAX_RATIO = 4  # videos and pictures do not deflate; what unpacks to more than this is a bomb
SLACK_BYTES = 16 * 2**20  # a small zip's manifest and recipes do deflate
MAX_DIRECTORY_SHARE = 8  # a run of ours has a hundred times as many bytes as its names in the zip's directory
MAX_MANIFEST_SHARE = 4  # and more than ten times as many as its entry in the manifest
FREE_BYTES = 2**20  # of directory or manifest, whatever the share
MAX_REFUSED = 500  # after so many the rest is not read: it is no export of ours

END, END_BYTES = b"PK\5\6", 22  # the record at the end of a zip
END_64, END_64_BYTES = b"PK\6\6", 56
LOCATOR_BYTES = 20  # between the two


def check_directory(path: Path) -> None:
    """Raises `BadInput` for a zip whose list of files is far longer than what is in it; `OSError`.

    Reading that list is what opening a zip does first, and it takes long if it is long.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 2**16 - END_BYTES - END_64_BYTES - LOCATOR_BYTES))
        tail = file.read()
    at = tail.rfind(END)
    if at < 0 or at + END_BYTES > len(tail):
        return  # no zip: whoever opens it says so
    directory = int.from_bytes(tail[at + 12 : at + 16], "little")
    large = tail[max(0, at - LOCATOR_BYTES - END_64_BYTES) : max(0, at - LOCATOR_BYTES)]
    if large.startswith(END_64):
        directory = int.from_bytes(large[40:48], "little")
    if directory > FREE_BYTES + size // MAX_DIRECTORY_SHARE:
        raise BadInput(f"{path.name} names far more files than it holds, so it was not read")


def check_sizes(archive: zipfile.ZipFile, path: Path, manifest: str) -> None:
    """Raises `BadInput` for a zip without a manifest, or that is none of ours by its sizes and names; `OSError`."""
    members, size = archive.infolist(), path.stat().st_size
    names = {member.filename: member for member in members}
    if manifest not in names:
        raise BadInput(f"{path.name} was not exported by svdlab: it has no {manifest}")
    if len(names) != len(members):
        raise BadInput(f"{path.name} holds two files of one name, so it was not read")
    total = sum(member.file_size for member in members)
    if total > size * MAX_RATIO + SLACK_BYTES:
        raise BadInput(
            f"{path.name} unpacks to {total / 1e6:.0f} MB, far more than its size, so it was not read"
        )
    if names[manifest].file_size > FREE_BYTES + size // MAX_MANIFEST_SHARE:
        raise BadInput(f"the manifest of {path.name} names far more than it holds, so it was not read")
