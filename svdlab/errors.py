"""The errors a user can meet. Each carries one sentence: what was wrong and what would be right.

SvdlabError
├── BadInput                 the person can change it
│   ├── BadSettings          a knob outside what is possible (names the knob)
│   ├── BadPicture           a file that is not a usable picture
│   ├── BadVideo             a file that is not a usable video, or a recipe that is not one
│   ├── BadPreset            a preset file that does not load
│   ├── NotFound             no checkpoint, preset, run or picture of that name
│   └── NotAllowed           not for whoever asks, on a public lab
├── CheckpointUnavailable    known, but its weights are not here (gated, offline, not downloaded)
├── BadCheckpoint            weights that are broken or not Stable Video Diffusion
├── OutOfMemory              the device has too little memory, after every fallback
├── RenderFailed             the model gave no usable frames
├── DataFolderError          the data folder cannot be written, or is newer than this version
└── Cancelled                the person asked to stop; not a fault
"""

from __future__ import annotations

import errno

FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # no room, or none that this user may have


class SvdlabError(Exception):
    """Base of every error meant to be read by a person; `str(error)` is one sentence."""

    exit_code = 1


class BadInput(SvdlabError):
    """Something the person gave cannot be used as it is."""

    exit_code = 2


class BadSettings(BadInput):
    """A knob has an impossible value.

    `field` is the knob's name (None when the combination is at fault), so that a page can put
    the sentence under the control it belongs to.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class BadPicture(BadInput):
    """The given file is not a picture that can be used."""


class BadVideo(BadInput):
    """The given file is not a video that can be read, or carries no valid recipe."""


class BadPreset(BadInput):
    """A preset file does not load."""


class NotFound(BadInput):
    """Nothing of that name is known."""


class NotAllowed(BadInput):
    """Whoever asks may not do that on a public lab."""


class CheckpointUnavailable(SvdlabError):
    """The checkpoint is known but its weights cannot be had right now."""

    exit_code = 3


class BadCheckpoint(SvdlabError):
    """The weights are broken or are not of Stable Video Diffusion."""

    exit_code = 3


class OutOfMemory(SvdlabError):
    """The device's memory does not suffice, even after every fallback."""

    exit_code = 4


class RenderFailed(SvdlabError):
    """The model produced nothing that can be shown."""

    exit_code = 4


class DataFolderError(SvdlabError):
    """The data folder cannot be used."""

    exit_code = 5


class Cancelled(SvdlabError):
    """Rendering was stopped on request."""

    exit_code = 130


def reason(error: OSError) -> str:
    """Why a file could not be written, as the end of a sentence."""
    if error.errno in FULL:
        return "the disk is full; free some room and try again"
    return error.strerror or str(error)
