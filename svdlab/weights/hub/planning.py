"""What a download would fetch: asked of the hub, pinned to one commit.

Knows the hub's listing of a repository and which files a checkpoint is loaded from; fetches none of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from svdlab.errors import CheckpointUnavailable
from svdlab.recipes.checkpoint import Checkpoint, Source
from svdlab.weights.hub.cache import Cache, PlannedFile, size_of
from svdlab.weights.hub.sentences import TOKEN_PAGE, Failed, lacks, name_of, redact, sentence
from svdlab.weights.layouts.folders import CONFIGS, INDEX, STEMS, weights_names


@dataclass(frozen=True)
class Plan:
    """What a download would fetch, pinned to one commit."""

    repo: str
    commit: str  # 40 hexadecimal digits
    files: tuple[PlannedFile, ...]  # in the order they are fetched
    absent: tuple[str, ...] = ()  # variant files the repository lacks; the plain ones are taken

    @property
    def bytes_total(self) -> int:
        """Of all files, here or not."""
        return sum(file.bytes for file in self.files)

    @property
    def bytes_missing(self) -> int:
        """Still to come; what an earlier, cut off download left counts as here."""
        return sum(file.bytes - file.bytes_here for file in self.files)


def machine_token() -> str | None:
    """The token of this machine: HF_TOKEN, or what `hf auth login` stored; None if there is none."""
    from huggingface_hub import constants, get_token

    return None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()


def needed_files(source: Source) -> list[str]:
    """Patterns (as of `fnmatch`) of the files a checkpoint is loaded from, in a repository in diffusers layout."""
    return [INDEX, "*/*.json", *(wanted for wanted, _ in _weights(source))]


def plan(checkpoint: Checkpoint, token: str | None = None) -> Plan:
    """Asks the hub what a download would fetch. `token` (default: this machine's) is used for this call alone.

    Raises `CheckpointUnavailable` with what to do.
    """
    try:
        return look_up(checkpoint, token_to_send(token))
    except Exception as error:
        said = sentence(checkpoint, error, bool(token or machine_token()))
    raise CheckpointUnavailable(redact(said, token))  # outside: no request hangs on as its context


def _weights(source: Source) -> list[tuple[str, str]]:
    """The weights files: as the variant is named, and as they are named without one."""
    names = [weights_names(part, source) for part in STEMS]
    return [(own[0], own[1 if source.variant and len(own) > 1 else 0]) for own in names]


def token_to_send(given: str | None) -> str | None:
    """The given token, else this machine's. Raises `Failed` for what cannot be one."""
    sent = ((given if given else machine_token()) or "").strip()
    if sent and not re.fullmatch(r"[!-~]+", sent):
        raise Failed(f"the token holds characters that no token has; copy it again from {TOKEN_PAGE}")
    return sent or None


def look_up(checkpoint: Checkpoint, sent: str | None) -> Plan:
    """Asks the hub. Raises `Failed`, and whatever its client raises."""
    from huggingface_hub import HfApi, constants

    source, name = checkpoint.source, name_of(checkpoint)
    if source.kind != "hub":
        raise Failed(f"{name} is not on the hub, its weights are at {source.location}")
    if ".." in (source.revision or ""):  # it names a file in the cache
        raise Failed(
            f"{name} cannot have {source.revision!r} as its revision; give a branch, a tag or a commit"
        )
    info = HfApi(token=sent or False).model_info(
        source.location,
        revision=source.revision,
        files_metadata=True,
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
    )
    listed = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    absent = tuple(wanted for wanted, plain in _weights(source) if wanted not in listed and plain in listed)
    weights = [plain if wanted in absent else wanted for wanted, plain in _weights(source)]
    for file in (INDEX, *CONFIGS, *weights):
        if file not in listed:
            raise Failed(lacks(checkpoint, file))
    names = [n for n in listed if n in weights or any(fnmatchcase(n, p) for p in needed_files(source))]
    commit = info.sha or ""
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise ValueError("no commit")
    files = [_planned(Cache(source.location, commit), listed[n]) for n in names]
    # The index last: with it a snapshot counts as there, so everything else has to be.
    files.sort(key=lambda file: (file.name == INDEX, file.bytes, file.name))
    return Plan(source.location, commit, tuple(files), absent)


def _planned(cache: Cache, sibling: Any) -> PlannedFile:
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    size = sibling.lfs.size if sibling.lfs else sibling.size
    parts = PurePosixPath(sibling.rfilename).parts
    if ".." in parts or "\\" in sibling.rfilename or ":" in sibling.rfilename or sibling.rfilename[0] == "/":
        raise ValueError("a file outside the repository")
    if not isinstance(size, int) or not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", digest or ""):
        raise ValueError("a file without size or hash")
    cached = size in (size_of(cache.pointer(sibling.rfilename)), size_of(cache.blob(digest)))
    partial = size_of(cache.partial(digest)) or 0
    here = size if cached else partial if partial <= size else 0
    return PlannedFile(sibling.rfilename, size, cached, digest, here)
