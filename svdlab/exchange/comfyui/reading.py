"""A ComfyUI workflow → knobs by name, the checkpoint, and sentences on what has no counterpart here.

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
from svdlab.exchange.comfyui.graph import REROUTES, Graph, Node, graph_of, is_api, is_ui, is_workflow
from svdlab.recipes.checkpoint import Decoder
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.register import released_as

CONDITIONING = "SVD_img2vid_Conditioning"
LOADERS = ("ImageOnlyCheckpointLoader", "ImageOnlyCheckpointLoaderDevice")
SAMPLERS = ("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced")
DECODERS = ("VAEDecode", "VAEDecodeTiled")
RATES = {  # nodes that write a clip → the input that says how fast it plays
    "SaveAnimatedWEBP": "fps",
    "SaveAnimatedPNG": "fps",
    "SaveWEBM": "fps",
    "CreateVideo": "fps",
    "VHS_VideoCombine": "frame_rate",
}
MAX_SAMPLERS = 50  # of a workflow that are looked at
QUIET = ("SaveVideo", "SaveImage", "PreviewImage", "Note", "MarkdownNote", "PreviewAny", *RATES, *REROUTES)
CARRIED = "svdlab"  # where a workflow of ours keeps what ComfyUI has no node for
KARRAS = {"sigma_max": 700.0, "sigma_min": 0.002, "rho": 7.0}  # SVD's own
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
    digest: str  # of what the nodes say, to see whether they were changed


def read_workflow(prompt: Any, workflow: Any, catalogue: Catalogue) -> Reading:
    """Reads a workflow, parsed from JSON: `prompt` in the API format, `workflow` in the UI format, or one of them.

    The API format is preferred where both are there, since it has no reroutes and no groups. Raises `BadInput` if
    neither makes a clip with Stable Video Diffusion.
    """
    for value in (prompt, workflow):
        if is_workflow(value):
            graph = graph_of(value)
            if any(node.type == CONDITIONING and not node.bypassed for node in graph.values()):
                return _Reader(graph, catalogue).read(_carried(prompt, workflow))
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
    knobs: dict[str, Any] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)  # the knob it is about, and the sentence
    used: set[str] = field(default_factory=set)  # ids of nodes that were understood
    checkpoint: str | None = None
    picture: str | None = None
    crop: tuple[Any, ...] = ()  # the box of an ImageCrop

    def read(self, carried: dict[str, Any] | None) -> Reading:
        conditioning, sampler = self._pipeline()
        self._condition(conditioning)
        self._image(conditioning)
        if sampler is None:
            self._note(
                "",
                "The workflow has no sampler that uses the conditioning; steps and guidance are not in it.",
            )
        else:
            self._sample(sampler)
            self._output(sampler)
        if self.checkpoint is None:
            self._loader(self.graph.source(conditioning.inputs.get("vae")))
        self._left_over()
        digest = self._digest()
        self._take_carried(carried, digest)
        if "seed" in self.knobs:
            self._note("", OTHER_NOISE)
        sentences = (sentence for _, sentence in self.notes)
        return Reading(self.checkpoint, self.knobs, self.picture, tuple(dict.fromkeys(sentences)), digest)

    def _note(self, knob: str, sentence: str) -> None:
        self.notes.append((knob, sentence))

    def _value(self, node: Node, name: str, knob: str) -> Any:
        """A plain value of an input; where there is none, that is noted."""
        found = self.graph.source(node.inputs.get(name))
        if isinstance(found, Node):
            self.used.add(found.id)
            self._note(
                knob, f"{name} is worked out by a {shown(found.type)} node there, so it is not restored."
            )
        elif found is None:
            self._note(knob, f"The workflow does not say {name}.")
        return None if isinstance(found, Node) else found

    def _take(self, node: Node, name: str, knob: str) -> None:
        value = self._value(node, name, knob)
        if value is not None:
            self.knobs[knob] = value

    def _pipeline(self) -> tuple[Node, Node | None]:
        """The first sampler that is conditioned by SVD's node, and that node."""
        found: list[tuple[Node, Node | None]] = []
        samplers = [node for node in self.graph.values() if node.type in SAMPLERS]
        for sampler in samplers[:MAX_SAMPLERS]:
            ahead = self.graph.upstream(self._settled(sampler), "positive")
            found += [(node, sampler) for node in ahead if node.type == CONDITIONING and not node.bypassed]
        if len(found) > 1:
            self._note("", f"The workflow makes {len(found)} clips; the first one's settings are used.")
        alone = [node for node in self.graph.values() if node.type == CONDITIONING and not node.bypassed]
        return found[0] if found else (alone[0], None)

    def _settled(self, sampler: Node) -> Node:
        """A sampler with what its noise, guider and sampler nodes say as inputs of its own."""
        inputs = dict(sampler.inputs)
        for socket in ("noise", "guider", "sampler"):
            part = self.graph.source(sampler.inputs.get(socket))
            if isinstance(part, Node):
                inputs = {**inputs, **part.inputs}
        return Node(sampler.id, sampler.type, inputs)

    def _condition(self, node: Node) -> None:
        self.used.add(node.id)
        for name, knob in (
            ("width", "width"),
            ("height", "height"),
            ("video_frames", "num_frames"),
            ("motion_bucket_id", "motion_bucket_id"),
            ("fps", "fps"),  # the model is told one less, there as here
            ("augmentation_level", "noise_aug_strength"),
        ):
            self._take(node, name, knob)
        if self.knobs.get("noise_aug_strength") not in (None, 0):
            self._note("", OTHER_AUGMENTATION)

    def _image(self, conditioning: Node) -> None:
        """The picture's name, and how it was brought to the clip's shape; ComfyUI itself crops the middle."""
        ways = []
        for node in self.graph.upstream(conditioning, "init_image"):
            self.used.add(node.id)
            if node.type == "LoadImage":
                self._picture(node)
            elif node.type in ("ImageCrop", "ImageScale", "ResizeAndPadImage"):
                ways.append(node)
            else:
                self._note(
                    "", f"The picture comes through a {shown(node.type)} node there, which is not mapped."
                )
        types = [node.type for node in ways]
        fit = "crop"
        if "ImageCrop" in types:
            box = ways[types.index("ImageCrop")].inputs
            self.crop = tuple(box.get(name) for name in ("width", "height", "x", "y"))
            self._note("focus_x", "The picture is cropped by hand there; here its middle is used.")
        elif "ResizeAndPadImage" in types:
            fit = "pad"
            if ways[types.index("ResizeAndPadImage")].inputs.get("padding_color") != "black":
                self._note("fit", "The picture's bars are of another colour there; here they are black.")
        elif "ImageScale" in types and ways[types.index("ImageScale")].inputs.get("crop") == "disabled":
            fit = "stretch"
        self.knobs |= {"fit": fit, "focus_x": 0.5, "focus_y": 0.5}

    def _picture(self, node: Node) -> None:
        name = PureWindowsPath(str(self.graph.source(node.inputs.get("image")))[:500]).name
        named = re.match(r"([0-9a-f]{64})\b", name)
        self.picture = named[1] if named else None
        if named is None:
            self._note(
                "",
                f"The workflow starts from the picture {shown(name)}, which is not in it; drop it in as well.",
            )

    def _sample(self, sampler: Node) -> None:
        settled = self._settled(sampler)
        self.used.add(sampler.id)
        for socket in ("noise", "guider", "sampler"):
            part = self.graph.source(sampler.inputs.get(socket))
            self.used |= {part.id} if isinstance(part, Node) else set()
        self._take(settled, "noise_seed" if "noise_seed" in settled.inputs else "seed", "seed")
        name = self.graph.source(settled.inputs.get("sampler_name"))
        if name != "euler":
            self._note("", f"The sampler there is {shown(name)}; here it is always euler.")
        self._guide(settled)
        sigmas = self.graph.source(settled.inputs.get("sigmas"))
        self._schedule(sigmas if isinstance(sigmas, Node) else settled)
        if self.graph.source(settled.inputs.get("add_noise", True)) in (False, "disable"):
            self._note("", "The sampler there adds no noise of its own; here every clip starts from noise.")
        first: Any = settled.inputs.get("start_at_step", 0)
        last: Any = settled.inputs.get("end_at_step")
        steps: Any = self.knobs.get("num_inference_steps")
        if first != 0 or (_is_number(last) and _is_number(steps) and last < steps):
            self._note("", "The sampler there does only some of the steps; here all of them are done.")

    def _guide(self, settled: Node) -> None:
        """Guidance: cfg for the last frame, min_cfg for the first; without that node cfg for all."""
        if settled.type == "SamplerCustomAdvanced" and "cfg" not in settled.inputs:
            highest: Any = 1.0
        else:
            highest = self._value(settled, "cfg", "max_guidance_scale")
        lowest = highest
        for node in self.graph.upstream(settled, "model"):
            self.used.add(node.id)
            if node.type == "VideoLinearCFGGuidance":
                lowest = self._value(node, "min_cfg", "min_guidance_scale")
            elif node.type == "VideoTriangleCFGGuidance":
                lowest = self._value(node, "min_cfg", "min_guidance_scale")
                self._note(
                    "", "Guidance rises to the middle and falls again there; here it rises to the last frame."
                )
            elif node.type in LOADERS:
                self._loader(node)
            else:
                self._note(
                    "", f"The model goes through a {shown(node.type)} node there, which is not mapped."
                )
        if _is_number(highest) and highest < 1:
            self._note("", "cfg is below 1 there; here guidance is off at 1 or less.")
        pair = {"min_guidance_scale": lowest, "max_guidance_scale": highest}
        self.knobs |= {knob: value for knob, value in pair.items() if value is not None}

    def _schedule(self, node: Node) -> None:
        self.used.add(node.id)
        self._take(node, "steps", "num_inference_steps")
        self.knobs["schedule"] = "karras"
        denoise = self.graph.source(node.inputs.get("denoise", 1))
        if denoise != 1 and node.type != "KSamplerAdvanced":
            self._note("", f"denoise is {shown(denoise)} there; here every clip starts from noise alone.")
        if node.type == "AlignYourStepsScheduler":
            self.knobs["schedule"] = "ays"
            if node.inputs.get("model_type") != "SVD":
                self._note(
                    "",
                    f"The AYS schedule there is {shown(node.inputs.get('model_type'))}'s; here it is SVD's.",
                )
        elif node.type == "KarrasScheduler":
            if any(node.inputs.get(name) != value for name, value in KARRAS.items()):
                self._note(
                    "", "The Karras schedule there has other ends; here it has SVD's own, 700 to 0.002."
                )
        elif (scheduler := self.graph.source(node.inputs.get("scheduler"))) != "karras":
            named = shown(node.type if scheduler is None else scheduler)
            self._note("schedule", f"The schedule there is {named}; karras is used here.")

    def _output(self, sampler: Node) -> None:
        """Which decoder, and how fast the clip plays."""
        for node in self.graph.values():
            if node.type in DECODERS and sampler in self.graph.upstream(node, "samples"):
                self.used.add(node.id)
                self._decoder(self.graph.source(node.inputs.get("vae")))
            elif node.type in RATES and "playback_fps" not in self.knobs:
                rate = self._value(node, RATES[node.type], "playback_fps")
                same = rate is None or rate == self.knobs.get("fps")
                self.knobs["playback_fps"] = None if same else rate

    def _decoder(self, loader: Any) -> None:
        if isinstance(loader, Node) and loader.type in LOADERS:
            self.used.add(loader.id)
            decoder = checkpoint_named(self._file(loader), self.catalogue)[1]
            self.knobs |= {"decoder": decoder} if decoder else {}
        elif isinstance(loader, Node):
            self.used.add(loader.id)
            self._note(
                "decoder",
                f"The clip is decoded by a {shown(loader.type)} node there; here by the checkpoint's.",
            )

    def _loader(self, node: Any) -> None:
        if not isinstance(node, Node) or node.type not in LOADERS:
            self._note("", "The workflow does not load a checkpoint in one piece; choose one here.")
            return
        self.used.add(node.id)
        self.checkpoint, decoder = checkpoint_named(self._file(node), self.catalogue)
        if self.checkpoint is None:
            self._note(
                "",
                f"There is no checkpoint {shown(self._file(node))} here; choose another, or add that file.",
            )
        elif decoder is not None:
            self.knobs.setdefault("decoder", decoder)

    def _file(self, loader: Node) -> str:
        return PureWindowsPath(str(self.graph.source(loader.inputs.get("ckpt_name")))[:500]).name

    def _left_over(self) -> None:
        """One sentence on all nodes that were not understood."""
        types = {
            node.type
            for node in self.graph.values()
            if node.id not in self.used
            and node.type not in QUIET
            and not node.bypassed
            and not node.type.startswith("Primitive")
        }
        if types:
            named = ", ".join(sorted(shown(type, 40) for type in types)[:8])
            more = f" and {len(types) - 8} more kinds" if len(types) > 8 else ""
            self._note("", f"Not mapped: {named}{more}.")

    def _digest(self) -> str:
        """Short hash of what the nodes say, the same for 6 and 6.0: a browser writes one as the other.

        Without the decoder, which depends on what the catalogue knows of a file.
        """
        said = {**self.knobs, "crop": self.crop, "decoder": None}
        same = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in said.items()}
        return hashlib.sha256(json.dumps(same, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def _take_carried(self, carried: dict[str, Any] | None, digest: str) -> None:
        """Knobs without a node, if the nodes still say what they said when we wrote them."""
        if carried is None:
            return
        if carried.get("of") != digest:
            self._note(
                "", "The workflow was changed after svdlab wrote it: what ComfyUI has no node for is lost."
            )
            return
        self.knobs |= carried["knobs"]
        self.notes = [(knob, said) for knob, said in self.notes if not knob or knob not in carried["knobs"]]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
