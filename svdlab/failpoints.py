"""Places where a test ends this process as a power cut would. Knows one environment variable; nothing of svdlab.

`SVDLAB_FAILPOINT=video-written` kills the process, with no chance to tidy up, when it comes past that place;
`step:3` when it comes past for the third time; `video-written=full` finds the disk full there instead. Unset, as it
is outside the tests, a failpoint is one look at the environment: a microsecond, some twenty times a run.
"""

from __future__ import annotations

import errno
import os
import signal

VARIABLE = "SVDLAB_FAILPOINT"

_passed: list[str] = []  # the armed place, once for each time it was come past


def failpoint(name: str) -> None:
    """Does nothing, unless `SVDLAB_FAILPOINT` names this place."""
    armed = os.environ.get(VARIABLE)
    if armed is not None:
        _fail(name, armed)


def _fail(name: str, armed: str) -> None:
    place, _, then = armed.partition("=")
    place, _, times = place.partition(":")
    if place != name:
        return
    if then == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    _passed.append(name)
    if len(_passed) == int(times or 1):
        os.kill(os.getpid(), signal.SIGKILL)
