"""Whether two runs may be compared, and what is said where not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from svdlab.recipes.fairness import fairness
from svdlab.recipes.loras import Lora
from svdlab.recipes.records import Outcome, Recipe, Run
from svdlab.recipes.settings import GenerationSettings

SETTINGS = GenerationSettings(num_frames=14)
RECIPE = Recipe(checkpoint="demo-1-0", picture_sha256="a" * 64, settings=SETTINGS)
NOISE = tuple(f"{i:016x}" for i in range(26))  # the picture's, then one a frame


def run(recipe: Recipe = RECIPE, noise: tuple[str, ...] = NOISE[:15]) -> Run:
    outcome = Outcome(noise_sha256="0f" * 32, noise_frames=noise)
    return Run("r", "done", recipe, Path("x"), Path("y"), 0.0, outcome=outcome)


def test_a_pair_that_differs_in_the_checkpoint_alone_is_fair() -> None:
    pair = fairness(run(), run(RECIPE.model_copy(update={"checkpoint": "demo-1-1"})))
    assert pair.fair
    assert pair.differences == ()
    assert pair.noise == "0f0f0f0f"


def test_other_settings_are_named() -> None:
    other = RECIPE.model_copy(update={"settings": SETTINGS.but(fps=9)})
    pair = fairness(run(), run(other))
    assert not pair.fair
    assert pair.differences == ("fps is 6 on A and 9 on B.",)


def test_another_picture_is_named() -> None:
    pair = fairness(run(), run(RECIPE.model_copy(update={"picture_sha256": "b" * 64})))
    assert not pair.fair
    assert "different pictures" in pair.differences[0]


def test_fourteen_against_twenty_five_frames_share_a_prefix_of_noise() -> None:
    longer = run(RECIPE.model_copy(update={"settings": SETTINGS.but(num_frames=25)}), NOISE)
    pair = fairness(run(), longer)
    assert pair.shared_frames == 14
    assert pair.same_noise
    assert not pair.fair
    assert "A has 14 frames and B has 25: only the first 14" in pair.differences[0]
    assert "on the same noise" in pair.differences[0]


def test_loras_are_what_is_compared_where_the_checkpoint_is_one() -> None:
    added = RECIPE.model_copy(update={"loras": (Lora(sha256="1" * 64, strength=0.8),)})
    same = fairness(run(), run(added))
    assert same.fair
    assert "LoRA files are added to the UNet: 0 on A and 1 on B" in same.remarks[0]
    other = fairness(run(), run(added.model_copy(update={"checkpoint": "demo-1-1"})))
    assert not other.fair
    assert "LoRA files" in other.differences[0]
    both = fairness(run(added), run(added.model_copy(update={"checkpoint": "demo-1-1"})))
    assert (both.fair, both.remarks) == (True, ())


def test_other_noise_is_named_even_when_the_settings_agree() -> None:
    pair = fairness(run(), run(noise=("f" * 16, *NOISE[1:15])))
    assert not pair.fair
    assert "The two got different noise." in pair.differences


def test_noise_nobody_recorded_is_not_called_the_same() -> None:
    unrendered = replace(run(), outcome=Outcome())
    assert not fairness(unrendered, unrendered).same_noise


def test_a_decoder_that_comes_with_the_checkpoint_is_a_remark_and_not_a_fault() -> None:
    image = RECIPE.model_copy(
        update={"settings": RECIPE.settings.but(decoder="image"), "checkpoint": "other"}
    )
    assert not fairness(run(), run(image)).fair
    pair = fairness(run(), run(image), forced_decoders=True)
    assert pair.fair
    assert pair.differences == ()
    assert pair.remarks[0].startswith("Each checkpoint brings its own decoder, temporal on A and image on B")


def test_sides_that_memory_made_decode_differently_are_said_to_be() -> None:
    other = run(RECIPE.model_copy(update={"checkpoint": "demo-1-1"}))
    a = run()
    short = replace(
        other, outcome=replace(other.outcome, decode_chunk_size=4, fallbacks=("Memory ran out.",))
    )
    a = replace(a, outcome=replace(a.outcome, decode_chunk_size=14))
    pair = fairness(a, short)
    assert not pair.fair
    assert pair.differences == ("Memory was short: A decoded 14 frames at once and B 4.",)


def test_clips_from_the_same_latents_are_a_comparison_of_decoding() -> None:
    chunked = RECIPE.model_copy(update={"settings": RECIPE.settings.but(decode_chunk_size=1)})
    a = run()
    b = replace(run(chunked), id="again", latents_of=a.id)
    pair = fairness(a, b)
    assert (pair.fair, pair.subject) == (True, "decoding")
    assert fairness(a, replace(run(chunked), id="other")).subject == "checkpoint"
