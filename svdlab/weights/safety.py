"""Where the weights of a safety checker are: a folder, or a repository on the hub, fetched into its own cache.

Knows files and the hub; loads no tensor. `svdlab.engine.safety` looks with what is there.
"""

from __future__ import annotations

import re
from pathlib import Path

from svdlab.errors import CheckpointUnavailable

NEEDED = ("config.json", "model.safetensors")
OPTIONAL = ("preprocessor_config.json",)


def checker_folder(place: str, fetch: bool = True) -> Path | None:
    """The folder with a checker's files; with `fetch`, downloaded if need be, else None until it is.

    `place` is a folder or a repository's name. Raises `CheckpointUnavailable` with one sentence.
    """
    folder = Path(place).expanduser()
    if folder.is_dir():
        missing = [name for name in NEEDED if not (folder / name).is_file()]
        if missing:
            raise CheckpointUnavailable(f"the safety checker {folder.name} has no {missing[0]}")
        return folder
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", place):
        raise CheckpointUnavailable(
            f"there is no safety checker at {place[:80]!r}; name a folder or a hub repository"
        )
    return _fetched(place) if fetch else None


def _fetched(repository: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    found = None
    for name in (*NEEDED, *OPTIONAL):
        try:
            found = Path(hf_hub_download(repository, name))
        except LocalEntryNotFoundError as error:
            raise _unreachable(repository, "the hub cannot be reached") from error
        except EntryNotFoundError:
            if name in NEEDED:
                raise CheckpointUnavailable(f"the safety checker {repository} has no {name}") from None
        except Exception as error:  # no such repository, terms first: each says it at length
            said = str(error).strip() or type(error).__name__
            raise _unreachable(repository, said.splitlines()[0][:160]) from error
    assert found is not None
    return found.parent


def _unreachable(repository: str, why: str) -> CheckpointUnavailable:
    return CheckpointUnavailable(f"the safety checker {repository} could not be fetched: {why}")
