"""How a clip will be rendered in the memory there is: made before the run, and kept with it. Knows words alone."""

from __future__ import annotations

from dataclasses import dataclass

from svdlab.environment import Offload
from svdlab.words import size

WAITING: dict[Offload, str] = {
    "none": "",
    "model": "weights in main memory until their turn",
    "streamed": "weights streamed",
}


@dataclass(frozen=True)
class Plan:
    """What a run takes of the device's memory and how. Bytes; `stages` has the most that each takes, weights included.

    `fits` says whether that is no more than `room`; where it is more, this is the smallest way there is.
    """

    room: int
    stages: dict[str, int]  # encode, sample, decode
    offload: Offload
    sampling: str  # how the UNet is called where it is not in the fastest way
    decoded: int  # frames decoded at once
    frames: int
    counted: bool = True  # False: no more than this, from a bound

    @property
    def bytes(self) -> int:
        """The most that is taken at one time."""
        return max(self.stages.values())

    @property
    def fits(self) -> bool:
        """Whether there is room for it."""
        return self.bytes <= self.room

    @property
    def how(self) -> str:
        """What is done to fit, in words; empty where everything is done at once."""
        at_once = "1 frame" if self.decoded == 1 else f"{self.decoded} frames"
        said = (
            WAITING[self.offload],
            self.sampling,
            f"decoded {at_once} at once" if self.decoded < self.frames else "",
        )
        return ", ".join(filter(None, said))

    @property
    def sentence(self) -> str:
        """What to tell a person before the run: `Takes 5.2 GB of 7.6 GB: weights streamed, decoded 4 at once.`"""
        taken, room = size(self.bytes), size(self.room)
        if not self.fits:
            short = f"May not fit: takes {taken} at the least, and there are {room}"
            return f"{short}; make the clip smaller or shorter."
        most = "" if self.counted else "at most "
        return f"Takes {most}{taken} of {room}{': ' if self.how else ''}{self.how}."
