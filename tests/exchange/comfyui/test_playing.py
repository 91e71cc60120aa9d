"""How fast the clip plays: from its own saver, without the frames that were put in between."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exchange.comfyui.told import CLIP, DECODER, SAMPLER, SAVER, Flow, api, node, read, tells_the_clip

RATE = CLIP["playback_fps"]


def saved_by(*nodes: Flow) -> Flow:
    """The clip behind these nodes instead of its saver; each but the first is given what the one before makes."""
    flow = api()
    del flow[SAVER]
    for number, one in enumerate(nodes):
        flow[f"5{number}"] = one
    return flow


def combine(source: str, rate: Any = RATE) -> Flow:
    return node(
        "VHS_VideoCombine", images=[source, 0], frame_rate=rate, format="video/h264-mp4", pingpong=False
    )


SAVERS: dict[str, Flow] = {
    "WebP": saved_by(node("SaveAnimatedWEBP", images=[DECODER, 0], fps=RATE, lossless=False)),
    "PNG": saved_by(node("SaveAnimatedPNG", images=[DECODER, 0], fps=RATE)),
    "WebM": saved_by(node("SaveWEBM", images=[DECODER, 0], fps=RATE, codec="vp9")),
    "AnimateDiff": saved_by(node("ADE_AnimateDiffCombine", images=[DECODER, 0], frame_rate=RATE)),
    "SwarmUI": saved_by(node("SwarmSaveAnimationWS", images=[DECODER, 0], fps=RATE, format="h264-mp4")),
    "core's video": saved_by(
        node("CreateVideo", images=[DECODER, 0], fps=RATE), node("SaveVideo", video=["50", 0], format="auto")
    ),
    "a pack that nobody knows": saved_by(node("Glow Saver", frames=[DECODER, 0], fps=RATE)),
    "rate of another node": saved_by(combine(DECODER, ["51", 0]), node("PrimitiveFloat", value=RATE)),
    "of latents": saved_by(combine(SAMPLER)),
    "upscaled": saved_by(
        node("ImageUpscaleWithModel", upscale_model=["99", 0], image=[DECODER, 0]), combine("50")
    ),
    "twice as many frames": saved_by(
        node("FILM VFI", frames=[DECODER, 0], ckpt_name="film.pt", multiplier=2), combine("50", 2 * RATE)
    ),
    "six times, in two turns": saved_by(
        node("RIFE VFI", frames=[DECODER, 0], ckpt_name="rife49.pth", multiplier=3),
        node("IFRNet VFI", frames=["50", 0], multiplier=["52", 0]),
        node("INTConstant", value=2),
        combine("51", 6 * RATE),
    ),
    "between by another name": saved_by(
        node("Glow Between", images=[DECODER, 0], interpolation_factor=4), combine("50", 4 * RATE)
    ),
    "every third frame": saved_by(
        node("VHS_SelectEveryNthImage", images=[DECODER, 0], select_every_nth=3), combine("50", RATE / 3)
    ),
}


@pytest.mark.parametrize("flow", SAVERS.values(), ids=SAVERS)
def test_the_rate_is_the_clips_own(flow: Flow) -> None:
    tells_the_clip(flow)


def test_a_saver_of_something_else_says_nothing_of_this_clip() -> None:
    flow = api()
    other = node("KSampler", seed=1, steps=2, cfg=3, latent_image=["61", 0], positive=["62", 0])
    flow = {
        "60": combine("63", 60),
        "63": node("VAEDecode", samples=["64", 0], vae=["1", 2]),
        "64": other,
        **flow,
    }
    tells_the_clip(flow)


def test_the_picture_that_a_clip_starts_from_is_not_the_clip() -> None:
    flow = {"60": node("SaveAnimatedWEBP", images=["2", 0], fps=60), **api()}
    tells_the_clip(flow)


def test_of_several_savers_the_nearest_counts_and_the_others_are_said() -> None:
    flow = {"50": node("RIFE VFI", frames=[DECODER, 0], multiplier=2), "51": combine("50", 60), **api()}
    assert "The clip is saved at 12 and 30 fps there; 12 is used." in tells_the_clip(flow).notes


@pytest.mark.parametrize(
    ("flow", "sentence"),
    [
        (
            saved_by(node("RIFE VFI", frames=[DECODER, 0], multiplier=["77", 0]), combine("50")),
            "The clip goes through a RIFE VFI node there, and by how much cannot be read",
        ),
        (
            saved_by(combine(DECODER, ["51", 0]), node("MathExpression", expression="a*2", a=["2", 0])),
            "The rate of a VHS_VideoCombine node is worked out there",
        ),
        (saved_by(combine(DECODER, "fast")), "The rate of a VHS_VideoCombine node is fast there"),
        (saved_by(combine(DECODER, True)), "The rate of a VHS_VideoCombine node is true there"),
        (
            saved_by(combine(DECODER, float("nan"))),
            "The rate of a VHS_VideoCombine node is not a number there",
        ),
    ],
)
def test_a_rate_that_cannot_be_read_is_lost_and_not_guessed(flow: Flow, sentence: str) -> None:
    found = read(flow)
    assert "playback_fps" not in found.knobs
    assert [(one.sentence, one.knobs) for one in found.lost] == [(sentence, ("playback_fps",))]


def test_a_clip_that_is_saved_as_pictures_has_no_rate_and_nothing_is_lost() -> None:
    found = read(saved_by(node("SaveImage", images=[DECODER, 0], filename_prefix="x")))
    assert "playback_fps" not in found.knobs
    assert found.lost == ()


def test_the_decoder_is_the_one_before_the_saver() -> None:
    flow = api()
    flow["60"] = node("ImageOnlyCheckpointLoader", ckpt_name="svd_xt_image_decoder.safetensors")
    flow[DECODER] = node("VAEDecodeTiled", samples=[SAMPLER, 0], vae=["60", 2], tile_size=512)
    found = tells_the_clip(flow)
    assert found.knobs["decoder"] == "image"
    flow["60"] = node("VAELoader", vae_name="glow.pt")
    assert "The clip is decoded by a VAELoader node there; here by the checkpoint's." in read(flow).notes
