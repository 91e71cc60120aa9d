"""A run's clock and its state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.runs import LONGEST_STEP, Clock, autocast, load_state, save_state


def test_the_learning_rate_warms_up_and_falls() -> None:
    clock = Clock(60)
    clock.running()
    first = clock.factor()
    for _ in range(50):
        clock.running()
    assert first < clock.factor() <= 1.0
    clock.spent += 59 * 60
    assert clock.factor() < 0.2
    clock.spent += 120
    assert not clock.running()


def test_a_clock_goes_on_where_an_earlier_start_was_stopped() -> None:
    assert 0.49 < Clock(60, spent=1800).done < 0.51
    assert Clock(0).running()  # a step is done however short the time


def test_a_pause_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    clock = Clock(60)
    for seconds in (10, 3600, 20):
        now += seconds
        clock.running()
    assert clock.spent == 30 + LONGEST_STEP


def test_state_is_what_was_saved(tmp_path: Path) -> None:
    assert load_state(tmp_path) is None
    save_state(tmp_path / "a", weights=torch.arange(3), best=1.5)
    known = load_state(tmp_path / "a")
    assert known is not None
    assert known["weights"].tolist() == [0, 1, 2]
    assert known["best"] == 1.5


@pytest.mark.parametrize("able", [{}, {"avx512_bf16": True}, {"amx_bf16": True}])
def test_half_numbers_are_used_where_the_processor_has_them(
    able: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: able)
    with autocast(torch.device("cpu")):
        made = torch.ones(2, 2) @ torch.ones(2, 2)
    assert made.dtype == (torch.bfloat16 if able else torch.float32)
