"""Metrics: declared once, said alike everywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from svdlab.metrics.definitions import METRICS, edition
from svdlab.metrics.flaws import FLAWS

# Runs keep their numbers under these names: none may ever be renamed.
KEPT = (
    "camera_motion",
    "object_motion",
    "camera_jerk",
    "pan_x",
    "pan_y",
    "zoom",
    "rotation",
    "flicker",
    "sharpness_kept",
    "fidelity",
    "loop_closure",
)


def test_names_that_runs_have_numbers_under_stay() -> None:
    assert set(KEPT) <= set(METRICS)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_says_what_it_is(metric) -> None:
    assert metric.label
    assert metric.unit
    assert metric.help[0].isupper()
    assert metric.help.endswith(".")
    assert len(metric.help) < 120
    assert metric.limits[0].isupper()
    assert metric.limits.endswith(".")
    assert metric.name.isidentifier()


@pytest.mark.parametrize("flaw", FLAWS.values(), ids=FLAWS)
def test_every_flaw_says_what_it_is(flaw) -> None:
    assert flaw.name.isidentifier()
    assert flaw.label[0].islower()
    assert flaw.help[0].isupper()
    assert flaw.help.endswith(".")


def test_numbers_of_another_version_are_of_another_edition(monkeypatch: pytest.MonkeyPatch) -> None:
    before = edition()
    monkeypatch.setitem(METRICS, "zoom", replace(METRICS["zoom"], version=METRICS["zoom"].version + 1))
    assert edition() != before


def test_numbers_are_said_with_their_digits_and_a_proper_sign() -> None:
    zoom, fidelity = METRICS["zoom"], METRICS["fidelity"]
    assert (zoom.number(1.2), zoom.number(-0.349), zoom.number(0.1, signed=True)) == (
        "1.20",
        "−0.35",
        "+0.10",
    )
    assert (zoom.number(-0.001, signed=True), zoom.number(None)) == ("0.00", "–")
    assert (fidelity.number(0.91), fidelity.text(1)) == ("0.910", "1.000 SSIM")
