"""Where a workflow's picture comes from, and how it is brought to the clip's shape. Knows crops; nothing of pixels.

ComfyUI's conditioning itself scales the picture until it covers the clip and cuts the middle out of it: our `crop`.
"""

from __future__ import annotations

import re
from pathlib import PureWindowsPath
from typing import Any, Literal

from svdlab.clips.carried import shown
from svdlab.exchange.comfyui import roles
from svdlab.exchange.comfyui.findings import Findings
from svdlab.exchange.comfyui.graph import Link, Node

PICTURES = ("image", "image_path", "path", "file", "filename")
KEEPS_SHAPE = ("scale_by", "megapixels", "upscale_model", "rescale_factor", "upscale_by")
KEEPING = ("keep proportion", "resize", "total_pixels", "true", "rescale", "contain")
BLACK = (0, "0", "black", "#000000", "0, 0, 0", "0,0,0")

Way = Literal[
    "keep", "crop", "pad", "stretch", "by hand", ""
]  # how a node changes the shape; "" if not known


def read_picture(found: Findings, conditioning: Node) -> tuple[str | None, tuple[Any, ...]]:
    """The picture's hash if it is named by that, and the box it is cropped to by hand; the fit becomes a knob."""
    ways: list[Way] = []
    sha256: str | None = None
    box: tuple[Any, ...] = ()
    for node in found.graph.upstream(conditioning, "init_image"):
        found.used.add(node.id)
        name = next((n for n in PICTURES if isinstance(node.inputs.get(n), str)), None)
        if name is not None and not node.links:
            sha256 = _named(found, node, name)
            continue
        if roles.decodes(node) or roles.samples(node):
            found.note(
                f"The picture is made there, by a {shown(node.type)} node, and not in it; drop one in as well."
            )
            break
        way = _way(found, node)
        ways.append(way)
        if way == "by hand" and not box:
            box = tuple(node.inputs.get(name) for name in ("width", "height", "x", "y"))
        if way == "":
            found.note(f"The picture comes through a {shown(node.type)} node there, which is not mapped.")
    fit = "crop"
    if "by hand" in ways:
        found.note("The picture is cropped by hand there; here its middle is used.", "focus_x")
    else:
        fit = next((way for way in ways if way in ("pad", "stretch")), "crop")
    found.knobs |= {"fit": fit, "focus_x": 0.5, "focus_y": 0.5}
    return sha256, box


def _named(found: Findings, node: Node, name: str) -> str | None:
    file = PureWindowsPath(str(node.inputs[name])[:500]).name
    named = re.match(r"([0-9a-f]{64})\b", file)
    if named is None:
        found.note(
            f"The workflow starts from the picture {shown(file)}, which is not in it; drop it in as well."
        )
    return named[1] if named else None


def _way(found: Findings, node: Node) -> Way:
    """What a node does to the picture's shape, by its inputs' names."""
    if node.type == "ImageCompositeMasked":
        return _composed(found, node)
    if node.has("width", "height", "x", "y") and "source" not in node.inputs:
        return "by hand"
    if node.has("left", "top", "right", "bottom"):
        found.note("The picture's bars are of another colour there; here they are black.", "fit")
        return "pad"
    if "padding_color" in node.inputs:
        return _padded(found, found.read(node, "padding_color"))
    if node.first(*KEEPS_SHAPE) and found.read(node, "mode") not in ("resize",):
        return "keep"
    for name in ("keep_proportion", "keep_aspect_ratio", "method", "fit", "mode"):
        said = str(found.read(node, name) if name in node.inputs else "").lower()
        if name == "mode" and said == "resize":  # beside "rescale"
            return "stretch"
        if said in KEEPING:
            return "keep"
        if said.startswith("pad"):
            return _padded(found, found.read(node, "pad_color")) if "pad_color" in node.inputs else "pad"
        if said.startswith(("crop", "fill", "cover")):
            return "crop"
        if said == "stretch":
            return "stretch"
    return _scaled(found, node)


def _scaled(found: Findings, node: Node) -> Way:
    """A plain resize: a side of 0 is worked out from the other, so that the shape stays."""
    sizes = [found.read(node, name) for name in ("width", "height") if name in node.inputs]
    if len(sizes) < 2 or not any(name in node.inputs for name in ("upscale_method", "interpolation", "crop")):
        return "keep" if node.type in ("ImageFromBatch", "RepeatImageBatch") else ""
    if 0 in sizes:
        return "keep"
    return "stretch" if found.read(node, "crop") in (None, "disabled") else "crop"


def _padded(found: Findings, colour: Any) -> Way:
    if colour not in BLACK:
        found.note("The picture's bars are of another colour there; here they are black.", "fit")
    return "pad"


def _composed(found: Findings, node: Node) -> Way:
    """A picture laid onto an empty one of one colour: bars, in two nodes."""
    canvas = found.graph.source(node.inputs.get("destination"))
    if (
        not isinstance(canvas, Node)
        or canvas.type != "EmptyImage"
        or isinstance(node.inputs.get("mask"), Link)
    ):
        return ""
    found.used.add(canvas.id)
    scaled = found.graph.source(node.inputs.get("source"))
    if isinstance(scaled, Node):
        found.used.add(scaled.id)
    return _padded(found, found.read(canvas, "color"))
