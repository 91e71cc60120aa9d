"""Reading weights whole goes through whoever opened the lab; without one it is a sentence, not a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from svdlab.errors import BadInput
from svdlab.lab.examiner import Change
from svdlab.lab.lab import Lab
from svdlab.recipes.checkpoint import Checkpoint


class Told:
    """Answers without reading anything."""

    def verify(self, checkpoint: Checkpoint) -> Iterator[str]:
        yield f"unet: of {checkpoint.id}"

    def diff(self, a: Checkpoint, b: Checkpoint) -> Iterator[Change]:
        yield Change("unet", "mid_block", f"{a.id} and {b.id}", 2, 1, 0.5)


def test_without_anyone_who_can_read_weights_it_is_one_sentence(tmp_path: Path) -> None:
    with Lab(tmp_path / "data") as lab:
        one, two = (lab.catalogue.get(id) for id in ("demo-1-0", "demo-1-1"))
        for ask in (lambda: lab.verify(one), lambda: lab.diff(one, two)):
            with pytest.raises(BadInput, match="opened without anyone who can read weights"):
                ask()


def test_whoever_is_handed_in_is_asked(tmp_path: Path) -> None:
    with Lab(tmp_path / "data") as lab:
        lab.examiner = Told()
        one, two = (lab.catalogue.get(id) for id in ("demo-1-0", "demo-1-1"))
        assert lab.verify(one) == ["unet: of demo-1-0"]
        assert [change.kind for change in lab.diff(one, two)] == ["demo-1-0 and demo-1-1"]
