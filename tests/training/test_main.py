"""One command trains everything, and goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.__main__ import SHARES, STAGES, train_all


def test_every_stage_has_its_share_of_the_minutes() -> None:
    assert list(SHARES) == list(STAGES)
    assert sum(SHARES.values()) == pytest.approx(1)


def test_a_stopped_plan_is_gone_on_with_where_it_stopped(tmp_path: Path) -> None:
    done: list[tuple[str, float]] = []

    def stage(name: str, stopped: bool = False):
        def run(folder: Path, minutes: float, device: str) -> None:
            if stopped:
                raise KeyboardInterrupt
            done.append((name, minutes))

        return run

    with pytest.raises(KeyboardInterrupt):
        train_all(tmp_path, 100, "cpu", {name: stage(name, stopped=name == "vae") for name in STAGES})
    assert [name for name, _ in done] == ["unet", "whole", "own"]
    train_all(tmp_path, 7, "cpu", {name: stage(name) for name in STAGES})
    assert done == [(name, pytest.approx(100 * share)) for name, share in SHARES.items()]
    train_all(tmp_path, 7, "cpu", {name: stage(name) for name in STAGES})
    assert len(done) == 2 * len(STAGES)  # a new plan
