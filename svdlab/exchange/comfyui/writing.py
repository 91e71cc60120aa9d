"""A recipe → a ComfyUI workflow that does the same job there, in both formats, with sentences on what differs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from svdlab.clips.fitting import fit_box, pad_box
from svdlab.errors import NotFound
from svdlab.exchange.comfyui.declared import CONTROL, SPECS
from svdlab.exchange.comfyui.reading import (
    CARRIED,
    CONDITIONING,
    OTHER_AUGMENTATION,
    OTHER_NOISE,
    read_workflow,
)
from svdlab.exchange.comfyui.sampling import LCM, OTHER_LEVELS
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import GenerationSettings
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.sources.file import RELEASED

LARGEST_SEED_OF_A_PAGE = 2**53  # a browser's numbers are exact up to here
COLUMN, ROW = 400, 60  # pixels between nodes on ComfyUI's canvas


@dataclass(frozen=True)
class Workflow:
    """One recipe for ComfyUI: to be posted to its server (`api`), or dropped onto its page (`ui`)."""

    api: dict[str, Any]
    ui: dict[str, Any]
    notes: tuple[str, ...]  # what differs there, one sentence each

    def text(self, ui: bool = True) -> str:
        """Either format as JSON."""
        return json.dumps(self.ui if ui else self.api, indent=2)


@dataclass(frozen=True)
class _Put:
    """A node to be written: values by name, links as (key of another node, output)."""

    type: str
    inputs: dict[str, Any]
    column: int


def write_workflow(
    recipe: Recipe, catalogue: Catalogue, picture_size: tuple[int, int] | None = None
) -> Workflow:
    """The recipe as a workflow. `picture_size` is the picture's (width, height), to crop it where the focus says.

    Reading it again with `read_workflow` gives the same knobs: those that ComfyUI has no node for are put beside the
    nodes, and count only as long as the nodes are not changed.
    """
    settings = recipe.settings
    try:
        checkpoint = catalogue.get(recipe.checkpoint)
    except NotFound:
        checkpoint = None
    puts = _nodes(recipe, checkpoint, catalogue, picture_size)
    ids = {key: str(number) for number, key in enumerate(puts, start=1)}
    api = _api(puts, ids)
    read = read_workflow(api, None, catalogue)
    told = read.knobs
    # The playback rate always: a node says one, and whether ours was left empty it cannot say.
    own = settings.model_dump()
    knobs = {k: v for k, v in own.items() if k not in told or told[k] != v or k == "playback_fps"}
    carried = {CARRIED: {"of": read.digest, "knobs": knobs}}
    ui = {**_ui(puts, ids), "extra": carried}
    api[ids["conditioning"]]["_meta"] |= carried
    return Workflow(api, ui, tuple(_notes(recipe, checkpoint, picture_size)))


def file_of(checkpoint: Checkpoint | None, id: str) -> str:
    """The name of the file that ComfyUI would load for a checkpoint."""
    if checkpoint is not None and checkpoint.source.kind == "file":
        return checkpoint.source.location.replace("\\", "/").rsplit("/", 1)[-1]
    released = {released: stem for stem, (released, _) in RELEASED.items()}
    return f"{released.get(id, id)}.safetensors"


def _nodes(
    recipe: Recipe, checkpoint: Checkpoint | None, catalogue: Catalogue, size: tuple[int, int] | None
) -> dict[str, _Put]:
    """All nodes by key, in the order ComfyUI would run them."""
    s = recipe.settings
    puts = {
        "loader": _Put("ImageOnlyCheckpointLoader", {"ckpt_name": file_of(checkpoint, recipe.checkpoint)}, 0),
        "picture": _Put("LoadImage", {"image": f"{recipe.picture_sha256}.png", "upload": "image"}, 0),
    }
    image = _fitted(puts, s, size)
    puts["conditioning"] = _Put(
        CONDITIONING,
        {
            "clip_vision": ("loader", 1),
            "init_image": (image, 0),
            "vae": ("loader", 2),
            "width": s.width,
            "height": s.height,
            "video_frames": s.num_frames,
            "motion_bucket_id": max(1, s.motion_bucket_id),
            "fps": s.fps,
            "augmentation_level": s.noise_aug_strength,
        },
        2,
    )
    model = "loader"
    if s.guided:
        model = "guidance"
        guided = {"model": ("loader", 0), "min_cfg": s.min_guidance_scale}
        puts["guidance"] = _Put("VideoLinearCFGGuidance", guided, 2)
    _put_sampler(puts, s, model)
    vae = "loader"
    lender = _lender(checkpoint, s, catalogue)
    if lender is not None:
        vae = "decoder"
        puts["decoder"] = _Put("ImageOnlyCheckpointLoader", {"ckpt_name": file_of(lender, lender.id)}, 3)
    puts["decode"] = _Put("VAEDecode", {"samples": ("sampler", 0), "vae": (vae, 2)}, 4)
    saved = {"images": ("decode", 0), "filename_prefix": "svdlab", "fps": s.effective_playback_fps}
    more = {"lossless": False, "quality": 90, "method": "default"}
    puts["save"] = _Put("SaveAnimatedWEBP", {**saved, **more}, 5)
    return puts


def _fitted(puts: dict[str, _Put], s: GenerationSettings, size: tuple[int, int] | None) -> str:
    """Nodes that bring the picture to the clip's shape as `fitting.fit_picture` does; the key of the last."""
    if s.fit == "pad":
        return _padded(puts, s, size)
    image = "picture"
    if size is not None and _cropped(s):
        left, top, right, bottom = fit_box(*size, s.width, s.height, s.focus_x, s.focus_y)
        box = {"width": right - left, "height": bottom - top, "x": left, "y": top}
        puts["crop"] = _Put("ImageCrop", {"image": ("picture", 0), **box}, 1)
        image = "crop"
    scale = {"upscale_method": "lanczos", "width": s.width, "height": s.height}
    crop = "disabled" if s.fit == "stretch" else "center"
    puts["fit"] = _Put("ImageScale", {"image": (image, 0), **scale, "crop": crop}, 1)
    return "fit"


def _padded(puts: dict[str, _Put], s: GenerationSettings, size: tuple[int, int] | None) -> str:
    """Black bars. ComfyUI's own node for them cuts fractions of a pixel off where we round to the nearest, so where
    the picture's size is known it is scaled and laid onto a black picture, at our pixels."""
    if size is None:
        pad = {"target_width": s.width, "target_height": s.height, "padding_color": "black"}
        puts["fit"] = _Put(
            "ResizeAndPadImage", {"image": ("picture", 0), **pad, "interpolation": "lanczos"}, 1
        )
        return "fit"
    left, top, right, bottom = pad_box(*size, s.width, s.height)
    scale = {"upscale_method": "lanczos", "width": right - left, "height": bottom - top, "crop": "disabled"}
    puts["scaled"] = _Put("ImageScale", {"image": ("picture", 0), **scale}, 1)
    black = {"width": s.width, "height": s.height, "batch_size": 1, "color": 0}
    puts["bars"] = _Put("EmptyImage", black, 1)
    laid = {"destination": ("bars", 0), "source": ("scaled", 0), "x": left, "y": top, "resize_source": False}
    puts["fit"] = _Put("ImageCompositeMasked", laid, 1)
    return "fit"


def _cropped(s: GenerationSettings) -> bool:
    """Whether the crop is anywhere but in the middle."""
    return s.fit == "crop" and (s.focus_x, s.focus_y) != (0.5, 0.5)


def _put_sampler(puts: dict[str, _Put], s: GenerationSettings, model: str) -> None:
    """KSampler; for AYS its own schedule before a SamplerCustom."""
    sockets = {"model": (model, 0), "positive": ("conditioning", 0), "negative": ("conditioning", 1)}
    latent = {"latent_image": ("conditioning", 2)}
    cfg = s.max_guidance_scale if s.guided else 1.0
    if s.schedule != "ays":
        sampling = {"seed": s.seed, CONTROL: "fixed", "steps": s.num_inference_steps, "cfg": cfg}
        name = LCM if s.schedule == "lcm" else "euler"
        kinds = {"sampler_name": name, "scheduler": "karras", "denoise": 1.0}
        puts["sampler"] = _Put("KSampler", {**sockets, **latent, **sampling, **kinds}, 3)
        return
    steps = {"model_type": "SVD", "steps": s.num_inference_steps, "denoise": 1.0}
    puts["euler"] = _Put("KSamplerSelect", {"sampler_name": "euler"}, 2)
    puts["sigmas"] = _Put("AlignYourStepsScheduler", steps, 2)
    custom = {"sampler": ("euler", 0), "sigmas": ("sigmas", 0), **latent}
    values = {"add_noise": True, "noise_seed": s.seed, CONTROL: "fixed", "cfg": cfg}
    puts["sampler"] = _Put("SamplerCustom", {**sockets, **custom, **values}, 3)


def _lender(
    checkpoint: Checkpoint | None, settings: GenerationSettings, catalogue: Catalogue
) -> Checkpoint | None:
    """The checkpoint whose decoder is used, if not its own."""
    if checkpoint is None or settings.decoder in checkpoint.decoders:
        return None
    lender = checkpoint.lenders.get(settings.decoder)
    return catalogue.get(lender) if lender else None


def _api(puts: dict[str, _Put], ids: dict[str, str]) -> dict[str, Any]:
    return {
        ids[key]: {
            "class_type": put.type,
            "inputs": {
                name: [ids[value[0]], value[1]] if isinstance(value, tuple) else value
                for name, value in put.inputs.items()
                if name not in (CONTROL, "upload")
            },
            "_meta": {"title": put.type},
        }
        for key, put in puts.items()
    }


def _ui(puts: dict[str, _Put], ids: dict[str, str]) -> dict[str, Any]:
    """The page's own format, with every node below the one before it in its column."""
    links: list[list[Any]] = []
    leaving: dict[tuple[str, int], list[int]] = {}
    inputs: dict[str, list[dict[str, Any]]] = {}
    for key, put in puts.items():
        inputs[key] = []
        for slot, (name, kind) in enumerate(SPECS[put.type].sockets):
            if name not in put.inputs:  # one that may stay open
                inputs[key].append({"name": name, "type": kind, "link": None})
                continue
            source, output = put.inputs[name]
            number = len(links) + 1
            links.append([number, int(ids[source]), output, int(ids[key]), slot, kind])
            leaving.setdefault((source, output), []).append(number)
            inputs[key].append({"name": name, "type": kind, "link": number})
    bottom: dict[int, int] = {}
    nodes = []
    for order, (key, put) in enumerate(puts.items()):
        top = bottom.get(put.column, ROW)
        bottom[put.column] = top + SPECS[put.type].size[1] + ROW
        left = {slot: leaving.get((key, slot), []) for slot in range(len(SPECS[put.type].outputs))}
        place = {"id": int(ids[key]), "pos": [ROW + COLUMN * put.column, top], "order": order}
        nodes.append(place | _drawn(put, inputs[key], left))
    return {
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": [],
        "config": {},
        "version": 0.4,
    }


def _drawn(put: _Put, inputs: list[dict[str, Any]], leaving: dict[int, list[int]]) -> dict[str, Any]:
    """A node on the page, but for its place; `leaving` are the links of each output."""
    spec = SPECS[put.type]
    return {
        "type": put.type,
        "size": list(spec.size),
        "flags": {},
        "mode": 0,
        "inputs": inputs,
        "outputs": [
            {"name": name, "type": kind, "links": leaving[slot], "slot_index": slot}
            for slot, (name, kind) in enumerate(spec.outputs)
        ],
        "properties": {"Node name for S&R": put.type},
        "widgets_values": [put.inputs[name] for name in spec.widgets],
    }


def _notes(recipe: Recipe, checkpoint: Checkpoint | None, size: tuple[int, int] | None) -> list[str]:
    s = recipe.settings
    notes = [
        f"Put the picture into ComfyUI's input folder as {recipe.picture_sha256}.png.",
        OTHER_NOISE,
        "ComfyUI shows CLIP the middle square of the picture; svdlab shows it all of it.",
    ]
    if checkpoint is None or checkpoint.demo or checkpoint.source.kind == "folder":
        name = file_of(checkpoint, recipe.checkpoint)
        notes.append(
            f"ComfyUI loads checkpoints that are one file of the released size; {name} stands for this one."
        )
    if s.noise_aug_strength > 0:
        notes.append(OTHER_AUGMENTATION)
    for lora in recipe.loras:
        notes.append(
            f"The LoRA {lora.sha256[:8]}… is not in the workflow: put a LoraLoaderModelOnly node with its file after "
            f"the loader, at strength {lora.strength:g}."
        )
    if s.feature_reuse > 1:
        notes.append("ComfyUI uses no features again, so it is exact there, and slower.")
    if s.schedule == "lcm":
        notes.append(OTHER_LEVELS)
    if s.decode_chunk_size is not None:
        notes.append("ComfyUI decodes as many frames at once as memory allows.")
    if s.motion_bucket_id < 1:
        notes.append("ComfyUI takes motion buckets from 1 on, so 1 stands for 0.")
    if s.seed > LARGEST_SEED_OF_A_PAGE:
        notes.append("The seed is larger than ComfyUI's page can hold exactly; the API format keeps it.")
    if size is None and _cropped(s):
        notes.append("The picture is not here, so it is cropped in the middle there.")
    if size is None and s.fit == "pad":
        notes.append("The picture is not here, so its bars may be a row of pixels off there.")
    return notes
