"""A ComfyUI workflow → knobs by name, the checkpoint, what was lost, and sentences on what has no counterpart here.

Nothing of the workflow is run, and no file it names is opened. Knob values are as untrusted as the workflow: whoever
uses them checks them with `GenerationSettings.parse`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any

from svdlab.clips.carried import shown
from svdlab.errors import BadInput
from svdlab.exchange.comfyui import roles
from svdlab.exchange.comfyui.findings import Findings, Lost
from svdlab.exchange.comfyui.formats import graph_of, is_api, is_ui, is_workflow
from svdlab.exchange.comfyui.graph import Graph, Node
from svdlab.exchange.comfyui.picturing import read_picture
from svdlab.exchange.comfyui.playing import decoder_source, read_rate
from svdlab.exchange.comfyui.sampling import Chain, chain_in, read_sampling
from svdlab.recipes.checkpoint import Decoder
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.register import released_as

CONDITIONING = roles.CONDITIONING
CARRIED = "svdlab"  # where a workflow of ours keeps what ComfyUI has no node for
SAMPLED = ("seed", "num_inference_steps", "min_guidance_scale", "max_guidance_scale", "schedule")
# It adds the noise to values from 0 to 1 and stretches those to -1 to 1 afterwards; diffusers adds it after that.
OTHER_AUGMENTATION = (
    "ComfyUI's noise on the picture has no seed, and at the same level it is twice as strong as here."
)
OTHER_NOISE = "ComfyUI draws other noise from the same seed, so expect another clip with these settings."


@dataclass(frozen=True)
class Reading:
    """What a workflow says in our words."""

    checkpoint: str | None  # its id in the catalogue
    knobs: dict[str, Any]  # by name, unchecked
    picture: str | None  # SHA-256, where the picture is named by it
    notes: tuple[str, ...]
    digest: str = ""  # of what the nodes say, to see whether they were changed
    lost: tuple[Lost, ...] = ()  # what it says and could not be read


def read_workflow(prompt: Any, workflow: Any, catalogue: Catalogue) -> Reading:
    """Reads a workflow, parsed from JSON: `prompt` in the API format, `workflow` in the page's, or one of them.

    The API format is preferred where both are there, since what the page resolves is resolved in it. Raises
    `BadInput` if neither makes a clip with Stable Video Diffusion.
    """
    unread: list[str] = []
    for value in (prompt, workflow):
        if is_workflow(value):
            graph = graph_of(value)
            unread += graph.unread
            if any(map(roles.conditions, graph.values())):
                return _Reader(graph, catalogue).read(_carried(prompt, workflow))
    if unread:
        raise BadInput(
            f"no {CONDITIONING} node was found in the ComfyUI workflow, and what is inside of {shown(unread[0], 40)} "
            "there could not be read"
        )
    if is_workflow(prompt) or is_workflow(workflow):
        raise BadInput(
            f"the ComfyUI workflow has no {CONDITIONING} node, so it makes no Stable Video Diffusion clip"
        )
    raise BadInput("this is no ComfyUI workflow: neither the API format nor the UI format")


def checkpoint_named(name: str, catalogue: Catalogue) -> tuple[str | None, Decoder | None]:
    """The checkpoint that a file of this name is here, and the decoder in that file; None where there is none."""
    file = PureWindowsPath(name).name  # takes both kinds of slashes
    for one in catalogue:
        if one.source.kind == "file" and PureWindowsPath(one.source.location).name.lower() == file.lower():
            return one.id, one.decoders[0]
    known = {one.id: one for one in catalogue}
    for id in (re.sub(r"\.(safetensors|ckpt|sft)$", "", file), released_as(file) or ""):
        if id in known:
            return id, known[id].decoders[0]
    if released_as(file) == "svd-image-decoder" and "svd" in known:
        return "svd", "image"
    return None, None


def _carried(prompt: Any, workflow: Any) -> dict[str, Any] | None:
    """What we put beside the nodes when we wrote the workflow."""
    places = [workflow.get("extra")] if is_ui(workflow) else []
    if is_api(prompt):
        places += [node.get("_meta") for node in prompt.values() if isinstance(node, dict)]
    found = (place.get(CARRIED) for place in places if isinstance(place, dict))
    return next((one for one in found if isinstance(one, dict) and isinstance(one.get("knobs"), dict)), None)


@dataclass
class _Reader:
    graph: Graph
    catalogue: Catalogue
    checkpoint: str | None = None
    found: Findings = field(init=False)

    def __post_init__(self) -> None:
        self.found = Findings(self.graph)

    def read(self, carried: dict[str, Any] | None) -> Reading:
        chain = chain_in(self.graph)
        self._condition(chain.conditioning)
        picture, crop = read_picture(self.found, chain.conditioning)
        if chain.sampler is None:
            self._no_sampler(chain.conditioning)
        else:
            self._after(chain, chain.sampler)
        if self.checkpoint is None:
            given = (
                self.graph.source(chain.conditioning.inputs.get(name)) for name in ("vae", "clip_vision")
            )
            self._loader(chain.conditioning, *given)
        self._left_over()
        digest = self._digest(crop)
        self._take_carried(carried, digest)
        if "seed" in self.found.knobs:
            self.found.note(OTHER_NOISE)
        sentences = tuple(dict.fromkeys(sentence for _, sentence in self.found.notes))
        lost = tuple(dict.fromkeys(self.found.lost))
        return Reading(self.checkpoint, self.found.knobs, picture, sentences, digest, lost)

    def _condition(self, node: Node) -> None:
        self.found.used.add(node.id)
        for names, knob in (
            (("width", "empty_latent_width"), "width"),
            (("height", "empty_latent_height"), "height"),
            (roles.FRAMES, "num_frames"),
            (roles.BUCKETS, "motion_bucket_id"),
            (("fps", "fps_id"), "fps"),  # the model is told one less, there as here
            (("augmentation_level", "noise_aug_strength", "cond_aug"), "noise_aug_strength"),
        ):
            self.found.take(node, names, knob)
        chosen = re.fullmatch(r"(\d{2,5}) x (\d{2,5})", str(node.inputs.get("resolution")))
        if chosen:  # a list of sizes goes before the two boxes
            self.found.knobs |= {"width": int(chosen[1]), "height": int(chosen[2])}
        if self.found.knobs.get("noise_aug_strength") not in (None, 0):
            self.found.note(OTHER_AUGMENTATION)

    def _no_sampler(self, conditioning: Node) -> None:
        """What follows the conditioning is not known; that there is nothing is said only where all was read."""
        after = [
            node
            for node in self.graph.values()
            if not (node.bypassed or roles.decodes(node))
            and any(self.graph.source(link) is conditioning for link in node.links.values())
        ]
        if after:
            self.found.used.add(after[0].id)
            self.found.lose(f"How a {shown(after[0].type)} node samples could not be read", *SAMPLED)
        elif self.graph.unread:
            self.found.lose(
                f"What is inside of {shown(self.graph.unread[0], 40)} there could not be read", *SAMPLED
            )
        else:
            self.found.lose("The workflow has no sampler that uses the conditioning", *SAMPLED)

    def _after(self, chain: Chain, sampler: Node) -> None:
        """Everything behind the conditioning."""
        if chain.clips > 1:
            self.found.note(f"The workflow makes {chain.clips} clips; the first one's settings are used.")
        if chain.again:
            self.found.note(
                f"The clip goes through {'another sampler' if chain.again == 1 else f'{chain.again} more samplers'} "
                "there; here it is sampled once."
            )
        loader = read_sampling(self.found, sampler)
        if loader is not None:
            self._loader(loader, loader)
        self._decoder(decoder_source(self.found, sampler, chain.others))
        read_rate(self.found, sampler, chain.others)

    def _decoder(self, loader: Any) -> None:
        if not isinstance(loader, Node):
            return
        self.found.used.add(loader.id)
        if roles.loads(loader):
            decoder = checkpoint_named(self._file(loader), self.catalogue)[1]
            self.found.knobs |= {"decoder": decoder} if decoder else {}
        else:
            self.found.note(
                f"The clip is decoded by a {shown(loader.type)} node there; here by the checkpoint's.",
                "decoder",
            )

    def _loader(self, *nodes: Any) -> None:
        """The checkpoint that the first of these nodes loads."""
        node = next((one for one in nodes if isinstance(one, Node) and roles.loads(one)), None)
        if node is None:
            unknown = self.graph.unread or any(
                isinstance(one, Node) and not roles.conditions(one) for one in nodes
            )
            self.found.note(
                "Which checkpoint is loaded there could not be read; choose one here."
                if unknown
                else "The workflow loads no checkpoint; choose one here."
            )
            return
        self.found.used.add(node.id)
        self.checkpoint, decoder = checkpoint_named(self._file(node), self.catalogue)
        if self.checkpoint is None:
            self.found.note(
                f"There is no checkpoint {shown(self._file(node)) or 'of that name'} here; choose another, or add "
                "that file."
            )
        elif decoder is not None:
            self.found.knobs.setdefault("decoder", decoder)

    def _file(self, loader: Node) -> str:
        name = roles.file_input(loader)
        value = self.graph.source(loader.inputs[name], name) if name is not None else ""
        if isinstance(value, dict):  # a list that shows pictures keeps the name among them
            value = value.get("content")
        return PureWindowsPath(value[:500]).name if isinstance(value, str) else ""

    def _left_over(self) -> None:
        """One sentence on all nodes that were not understood."""
        types = {
            node.type
            for node in self.graph.values()
            if node.id not in self.found.used | self.graph.passed
            and node.type not in roles.QUIET
            and not node.bypassed
            and not node.type.startswith("Primitive")
            and not roles.saves(node)
        }
        types |= set(self.graph.unread)
        if types:
            named = ", ".join(sorted(shown(type, 40) for type in types)[:8])
            more = f" and {len(types) - 8} more kinds" if len(types) > 8 else ""
            self.found.note(f"Not mapped: {named}{more}.")

    def _digest(self, crop: tuple[Any, ...]) -> str:
        """Short hash of what the nodes say, the same for 6 and 6.0: a browser writes one as the other.

        Without the decoder, which depends on what the catalogue knows of a file. A playback rate that is the frame
        rate counts as none, as it did when the first workflows were written.
        """
        said = {**self.found.knobs, "crop": crop, "decoder": None}
        if said.get("playback_fps") == said.get("fps"):
            said["playback_fps"] = None
        same = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in said.items()}
        return hashlib.sha256(json.dumps(same, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def _take_carried(self, carried: dict[str, Any] | None, digest: str) -> None:
        """Knobs without a node, if the nodes still say what they said when we wrote them."""
        if carried is None:
            return
        if carried.get("of") != digest:
            self.found.note(
                "The workflow was changed after svdlab wrote it: what ComfyUI has no node for is lost."
            )
            return
        ours = carried["knobs"]
        if "playback_fps" not in ours and self.found.knobs.get("playback_fps") == self.found.knobs.get("fps"):
            ours = {**ours, "playback_fps": None}  # workflows of older versions left it out
        self.found.knobs |= ours
        self.found.notes = [(knob, said) for knob, said in self.found.notes if not knob or knob not in ours]
        self.found.lost = [one for one in self.found.lost if not set(one.knobs) <= set(ours)]
