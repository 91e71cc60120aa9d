"""How the picture is brought to the clip's shape, told by what the nodes before the conditioning do to it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exchange.comfyui.told import CONDITIONING, PICTURE, Flow, api, node, read, tells_the_clip

SIZE = {"width": 832, "height": 448}
FROM = {"image": [PICTURE, 0]}
PLAIN = {"upscale_method": "lanczos", **FROM}

WAYS: dict[str, tuple[str, tuple[Flow, ...]]] = {
    "nothing": ("crop", ()),
    "squeezed": ("stretch", (node("ImageScale", **PLAIN, **SIZE, crop="disabled"),)),
    "cut by the node": ("crop", (node("ImageScale", **PLAIN, **SIZE, crop="center"),)),
    "width worked out": ("crop", (node("ImageScale", **PLAIN, width=0, height=448, crop="disabled"),)),
    "height worked out": ("crop", (node("ImageScale", **PLAIN, width=832, height=0, crop="disabled"),)),
    "by a factor": ("crop", (node("ImageScaleBy", **PLAIN, scale_by=0.5),)),
    "to a number of pixels": ("crop", (node("ImageScaleToTotalPixels", **PLAIN, megapixels=1.0),)),
    "by a model": ("crop", (node("ImageUpscaleWithModel", upscale_model=["99", 0], **FROM),)),
    "KJ, kept": ("crop", (node("ImageResizeKJ", **PLAIN, **SIZE, keep_proportion=True, crop="disabled"),)),
    "KJ, not kept": (
        "stretch",
        (node("ImageResizeKJ", **PLAIN, **SIZE, keep_proportion=False, crop="disabled"),),
    ),
    "KJ, not kept, cut": (
        "crop",
        (node("ImageResizeKJ", **PLAIN, **SIZE, keep_proportion=False, crop="center"),),
    ),
    "KJ 2, squeezed": ("stretch", (node("ImageResizeKJv2", **PLAIN, **SIZE, keep_proportion="stretch"),)),
    "KJ 2, cut": ("crop", (node("ImageResizeKJv2", **PLAIN, **SIZE, keep_proportion="crop"),)),
    "KJ 2, kept": ("crop", (node("ImageResizeKJv2", **PLAIN, **SIZE, keep_proportion="resize"),)),
    "KJ 2, bars": (
        "pad",
        (node("ImageResizeKJv2", **PLAIN, **SIZE, keep_proportion="pad", pad_color="0, 0, 0"),),
    ),
    "essentials, kept": ("crop", (node("ImageResize+", **FROM, **SIZE, method="keep proportion"),)),
    "essentials, squeezed": ("stretch", (node("ImageResize+", **FROM, **SIZE, method="stretch"),)),
    "essentials, cut": ("crop", (node("ImageResize+", **FROM, **SIZE, method="fill / crop"),)),
    "essentials, bars": ("pad", (node("ImageResize+", **FROM, **SIZE, method="pad"),)),
    "WAS, by a factor": (
        "crop",
        (
            node(
                "Image Resize", **FROM, mode="rescale", rescale_factor=2, resize_width=832, resize_height=448
            ),
        ),
    ),
    "WAS, squeezed": (
        "stretch",
        (node("Image Resize", **FROM, mode="resize", rescale_factor=2, resize_width=832, resize_height=448),),
    ),
    "core's bars": (
        "pad",
        (node("ResizeAndPadImage", **FROM, target_width=832, target_height=448, padding_color="black"),),
    ),
    "squeezed, then by a factor": (
        "stretch",
        (
            node("ImageScale", **PLAIN, **SIZE, crop="disabled"),
            node("ImageScaleBy", image=["50", 0], upscale_method="area", scale_by=2),
        ),
    ),
}


def flow_of(ways: tuple[Flow, ...]) -> Flow:
    flow = api() | {f"5{number}": one for number, one in enumerate(ways)}
    if ways:
        flow[CONDITIONING]["inputs"]["init_image"] = [f"5{len(ways) - 1}", 0]
    return flow


@pytest.mark.parametrize(("fit", "ways"), WAYS.values(), ids=WAYS)
def test_the_fit_is_what_the_nodes_do(fit: str, ways: tuple[Flow, ...]) -> None:
    found = tells_the_clip(flow_of(ways))
    assert found.knobs["fit"] == fit
    assert not any("not mapped" in note or "colour" in note for note in found.notes), found.notes


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (
            node("ImageCrop", **FROM, **SIZE, x=3, y=5),
            "The picture is cropped by hand there; here its middle is used.",
        ),
        (
            node("ResizeAndPadImage", **FROM, target_width=832, target_height=448, padding_color="white"),
            "The picture's bars are of another colour there; here they are black.",
        ),
        (
            node("ImagePadForOutpaint", **FROM, left=9, top=0, right=9, bottom=0, feathering=0),
            "The picture's bars are of another colour there; here they are black.",
        ),
        (
            node("Glow Blur", **FROM, radius=4),
            "The picture comes through a Glow Blur node there, which is not mapped.",
        ),
        (
            node("VAEDecode", samples=["60", 0], vae=["1", 2]),
            "The picture is made there, by a VAEDecode node, and not in it; drop one in as well.",
        ),
    ],
)
def test_what_is_done_to_the_picture_otherwise_is_said(node: Flow, sentence: str) -> None:
    assert sentence in read(flow_of((node,))).notes


@pytest.mark.parametrize(
    "picture",
    [
        node("LoadImage", image="pond.png"),
        node("Load Image (WAS)", image_path="C:\\in\\pond.png", RGBA="false"),
        node("VHS_LoadImagePath", image="in/pond.png", custom_width=0),
    ],
)
def test_a_picture_is_known_by_the_file_it_names(picture: Flow) -> None:
    flow = api() | {PICTURE: picture}
    said = "The workflow starts from the picture pond.png, which is not in it; drop it in as well."
    assert said in tells_the_clip(flow).notes


@pytest.mark.parametrize("named", ["a" * 64 + ".png", "svdlab/" + "a" * 64 + ".png [input]"])
def test_a_picture_of_ours_is_known_by_its_hash(named: Any) -> None:
    flow = api() | {PICTURE: node("LoadImage", image=named)}
    assert read(flow).picture == "a" * 64
