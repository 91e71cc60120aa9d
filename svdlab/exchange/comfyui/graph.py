"""ComfyUI's two formats of a workflow as one graph. Knows nodes and links; nothing of what they mean for us.

The API format (`prompt`) names every input; the UI format (`workflow`, version 0.4) has the widgets' values in order
and links in a list of their own. Both are untrusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from svdlab.errors import BadInput

MAX_NODES = 2000
MAX_DEPTH = 64  # links that are followed one after another
MUTED, BYPASSED = 2, 4  # a node's mode; 0 is on
CONTROL = "control_after_generate"  # the widget behind a seed; not part of the API format
CONTROLS = ("fixed", "randomize", "increment", "decrement", "increment-wrap")
REROUTES = ("Reroute", "Reroute (rgthree)", "ReroutePrimitive|pysssss")


@dataclass(frozen=True)
class Spec:
    """A node type as ComfyUI declares it: sockets and outputs as (name, type), widgets in their order."""

    sockets: tuple[tuple[str, str], ...] = ()
    widgets: tuple[str, ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    size: tuple[int, int] = (315, 58)  # pixels, on ComfyUI's canvas


def _spec(sockets: str = "", widgets: str = "", outputs: str = "", size: tuple[int, int] = (315, 58)) -> Spec:
    def pairs(text: str) -> tuple[tuple[str, str], ...]:
        return tuple((name, kind) for name, _, kind in (part.partition(":") for part in text.split()))

    return Spec(pairs(sockets), tuple(widgets.split()), pairs(outputs), size)


_CONDITIONED = "positive:CONDITIONING negative:CONDITIONING"
_IMAGE = "IMAGE:IMAGE"
# Source: ComfyUI's nodes.py, comfy_extras/nodes_video_model.py, nodes_custom_sampler.py, nodes_align_your_steps.py,
# nodes_images.py, nodes_post_processing.py and nodes_video.py.
SPECS: dict[str, Spec] = {
    "ImageOnlyCheckpointLoader": _spec(
        "", "ckpt_name", "MODEL:MODEL CLIP_VISION:CLIP_VISION VAE:VAE", (370, 98)
    ),
    "LoadImage": _spec("", "image upload", f"{_IMAGE} MASK:MASK", (315, 314)),
    "ImageCrop": _spec("image:IMAGE", "width height x y", _IMAGE, (315, 130)),
    "ImageScale": _spec("image:IMAGE", "upscale_method width height crop", _IMAGE, (315, 130)),
    "ResizeAndPadImage": _spec(
        "image:IMAGE", "target_width target_height padding_color interpolation", _IMAGE, (315, 130)
    ),
    "SVD_img2vid_Conditioning": _spec(
        "clip_vision:CLIP_VISION init_image:IMAGE vae:VAE",
        "width height video_frames motion_bucket_id fps augmentation_level",
        f"{_CONDITIONED} latent:LATENT",
        (315, 218),
    ),
    "VideoLinearCFGGuidance": _spec("model:MODEL", "min_cfg", "MODEL:MODEL"),
    "VideoTriangleCFGGuidance": _spec("model:MODEL", "min_cfg", "MODEL:MODEL"),
    "KSampler": _spec(
        f"model:MODEL {_CONDITIONED} latent_image:LATENT",
        f"seed {CONTROL} steps cfg sampler_name scheduler denoise",
        "LATENT:LATENT",
        (315, 262),
    ),
    "KSamplerAdvanced": _spec(
        f"model:MODEL {_CONDITIONED} latent_image:LATENT",
        f"add_noise noise_seed {CONTROL} steps cfg sampler_name scheduler start_at_step end_at_step "
        "return_with_leftover_noise",
        "LATENT:LATENT",
        (315, 334),
    ),
    "SamplerCustom": _spec(
        f"model:MODEL {_CONDITIONED} sampler:SAMPLER sigmas:SIGMAS latent_image:LATENT",
        f"add_noise noise_seed {CONTROL} cfg",
        "output:LATENT denoised_output:LATENT",
        (315, 230),
    ),
    "RandomNoise": _spec("", f"noise_seed {CONTROL}", "NOISE:NOISE"),
    "CFGGuider": _spec(f"model:MODEL {_CONDITIONED}", "cfg", "GUIDER:GUIDER"),
    "KSamplerSelect": _spec("", "sampler_name", "SAMPLER:SAMPLER"),
    "AlignYourStepsScheduler": _spec("", "model_type steps denoise", "SIGMAS:SIGMAS", (315, 106)),
    "BasicScheduler": _spec("model:MODEL", "scheduler steps denoise", "SIGMAS:SIGMAS"),
    "KarrasScheduler": _spec("", "steps sigma_max sigma_min rho", "SIGMAS:SIGMAS"),
    "VAEDecode": _spec("samples:LATENT vae:VAE", "", _IMAGE, (210, 46)),
    "VAEDecodeTiled": _spec("samples:LATENT vae:VAE", "tile_size", _IMAGE),
    "SaveAnimatedWEBP": _spec("images:IMAGE", "filename_prefix fps lossless quality method", "", (420, 400)),
    "SaveAnimatedPNG": _spec("images:IMAGE", "filename_prefix fps compress_level"),
    "SaveWEBM": _spec("images:IMAGE", "filename_prefix codec fps crf"),
    "CreateVideo": _spec("images:IMAGE", "fps", "VIDEO:VIDEO"),
    "PrimitiveNode": _spec("", f"value {CONTROL}"),
    "PrimitiveInt": _spec("", f"value {CONTROL}"),
    "PrimitiveFloat": _spec("", "value"),
    "PrimitiveString": _spec("", "value"),
    "VAELoader": _spec("", "vae_name", "VAE:VAE"),
}


@dataclass(frozen=True)
class Link:
    """An input that comes from another node's output."""

    node: str
    slot: int


@dataclass(frozen=True)
class Node:
    """One node that is not muted. An input is a value or a `Link`; values are untrusted."""

    id: str
    type: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    bypassed: bool = False

    @property
    def passed_through(self) -> bool:
        """Whether it only hands on what it is given."""
        return self.bypassed or self.type in REROUTES


class Graph(dict[str, Node]):
    """A workflow's nodes by id."""

    def source(self, value: Any) -> Any:
        """What a value really comes from: a node behind reroutes and bypassed ones, or a value; None if cut off."""
        for _ in range(MAX_DEPTH):
            if not isinstance(value, Link):
                return value
            node = self.get(value.node)
            if node is None:
                return None
            if node.passed_through:
                value = next((one for one in node.inputs.values() if isinstance(one, Link)), None)
            elif node.type.startswith("Primitive"):
                value = node.inputs.get("value")
            else:
                return node
        return None

    def upstream(self, node: Node, socket: str) -> Iterator[Node]:
        """The nodes behind a socket, nearest first, going on through sockets of the same name (image, images, …)."""
        names, seen = {socket, *ALIASES.get(socket, ())}, {node.id}
        value = node.inputs.get(socket)
        while (
            isinstance(found := self.source(value), Node) and found.id not in seen and len(seen) < MAX_DEPTH
        ):
            seen.add(found.id)
            yield found
            value = next((v for k, v in found.inputs.items() if k in names and isinstance(v, Link)), None)


ALIASES = {
    "init_image": ("image", "images"),
    "images": ("image", "frames"),
    "positive": ("conditioning",),
    "samples": ("latent", "latent_image"),
}


def is_api(value: Any) -> bool:
    """Whether this is a workflow in the API format."""
    return (
        isinstance(value, dict)
        and bool(value)
        and any(isinstance(node, dict) and "class_type" in node for node in value.values())
    )


def is_ui(value: Any) -> bool:
    """Whether this is a workflow in the UI format."""
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)


def is_workflow(value: Any) -> bool:
    """Whether this is a workflow in either format."""
    return is_api(value) or is_ui(value)


def graph_of(value: Any) -> Graph:
    """A workflow in either format. Raises `BadInput` if it has more nodes than anybody draws."""
    nodes = value["nodes"] if is_ui(value) else list(value.values())
    if len(nodes) > MAX_NODES:
        raise BadInput(f"the workflow has more than {MAX_NODES} nodes, so it was not read")
    return _from_ui(value) if is_ui(value) else _from_api(value)


def _from_api(value: dict[str, Any]) -> Graph:
    graph = Graph()
    for id, node in value.items():
        if isinstance(node, dict) and isinstance(node.get("class_type"), str):
            given = node.get("inputs")
            inputs = {k: _api_input(v) for k, v in given.items()} if isinstance(given, dict) else {}
            graph[id] = Node(id, node["class_type"], inputs)
    return graph


def _api_input(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], int):
        return Link(str(value[0])[:80], value[1])
    return value


def _from_ui(value: dict[str, Any]) -> Graph:
    links = dict(filter(None, map(_ui_link, value["links"] if isinstance(value.get("links"), list) else [])))
    graph = Graph()
    for node in value["nodes"]:
        if not isinstance(node, dict) or not isinstance(node.get("type"), str) or node.get("mode") == MUTED:
            continue
        id = str(node.get("id"))[:80]
        inputs = _widgets(node)
        for one in node["inputs"] if isinstance(node.get("inputs"), list) else []:
            if isinstance(one, dict) and isinstance(one.get("name"), str) and _key(one.get("link")) in links:
                inputs[one["name"]] = links[_key(one.get("link"))]
        graph[id] = Node(id, node["type"], inputs, node.get("mode") == BYPASSED)
    return graph


def _ui_link(link: Any) -> tuple[str, Link] | None:
    """An entry of `links`: [id, from node, from slot, to node, to slot, type], or the same as an object."""
    if isinstance(link, dict):
        link = [link.get(key) for key in ("id", "origin_id", "origin_slot")]
    if isinstance(link, list) and len(link) >= 3 and isinstance(link[2], int):
        return _key(link[0]), Link(str(link[1])[:80], link[2])
    return None


def _key(link: Any) -> str:
    return str(link)[:40]


def _widgets(node: dict[str, Any]) -> dict[str, Any]:
    """The widgets' values by name; VideoHelperSuite's nodes have them so already."""
    values = node.get("widgets_values")
    if isinstance(values, dict):
        return {str(name)[:80]: value for name, value in values.items()}
    names = list(SPECS[node["type"]].widgets) if node["type"] in SPECS else []
    found: dict[str, Any] = {}
    rest = list(values) if isinstance(values, list) else []
    for name in names:
        if not rest or (name == CONTROL and rest[0] not in CONTROLS):
            continue  # older pages wrote no control widget for converted seeds
        found[name] = rest.pop(0)
    return found
