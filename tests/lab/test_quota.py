"""What a click takes of a visitor's seconds on ZeroGPU."""

from __future__ import annotations

from svdlab.lab.quota import TODAY, WITH_ACCOUNT, WITHOUT_ACCOUNT, Quota
from svdlab.recipes.limits import defaults_for
from svdlab.recipes.presets import Presets
from svdlab.weights.catalogue import Catalogue

CATALOGUE = Catalogue()
A, B = CATALOGUE.get("svd-xt"), CATALOGUE.get("svd-xt-1-1")
PLACED = Quota(TODAY, frozenset({A.id, B.id}))


def test_a_visitor_without_an_account_gets_a_fair_pair_and_a_sweep_of_nine_of_the_small_size() -> None:
    small = Presets().get("zerogpu-small").settings_for(A)
    pair = PLACED.charged([(A, small), (B, small)])
    cells = 9 * PLACED.charged([(A, small)])
    assert pair + cells <= WITHOUT_ACCOUNT


def test_more_frames_steps_and_pixels_take_more() -> None:
    small = Presets().get("zerogpu-small").settings_for(A)
    one = PLACED.seconds([(A, small)])
    for change in ({"num_frames": 25}, {"num_inference_steps": 30}, {"width": 1024, "height": 576}):
        assert PLACED.seconds([(A, small.but(**change))]) > one
    assert PLACED.seconds([(A, small), (B, small)]) > one
    assert Quota(TODAY).seconds([(A, small)]) > one  # it has to be loaded


def test_the_sentence_says_what_it_takes_and_of_what() -> None:
    small = Presets().get("zerogpu-small").settings_for(A)
    full = defaults_for(A)
    said = PLACED.sentence([(A, small)])
    assert said.startswith(f"Takes up to {PLACED.charged([(A, small)])} s of your GPU time for the day")
    assert said.endswith(": 2:00 min without an account, 5:00 min with one.")
    assert PLACED.charged([(A, full), (B, full)]) > WITHOUT_ACCOUNT
    assert "log in" in PLACED.sentence([(A, full), (B, full)])
    long = full.but(num_inference_steps=100)
    assert PLACED.charged([(A, long), (B, long)]) > WITH_ACCOUNT
    assert "more than a free account has" in PLACED.sentence([(A, long), (B, long)])
