"""ComfyUI's workflows: settings out of them in both formats and from every container, and recipes as workflows."""

from __future__ import annotations

import copy
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from svdlab.clips.fitting import fit_box
from svdlab.errors import BadInput
from svdlab.exchange.comfyui import Reading, Workflow, read_workflow, write_workflow
from svdlab.exchange.comfyui.declared import SPECS
from svdlab.exchange.comfyui.findings import Lost
from svdlab.exchange.restore import Restored, restore, workflow_of
from svdlab.lab.lab import Lab
from svdlab.recipes.limits import LCM_LEVELS
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import KNOBS, GenerationSettings
from svdlab.weights.catalogue import Catalogue
from tests.made import make_run, picture_of

PICTURE = "ab" * 32
SEED = 237514639057514  # of ComfyUI's own example
MAPPED = {  # knobs that ComfyUI has nodes for, whatever their values
    "width",
    "height",
    "num_frames",
    "fps",
    "noise_aug_strength",
    "num_inference_steps",
    "schedule",
    "seed",
    "fit",
    "decoder",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


def example() -> dict[str, Any]:
    """ComfyUI's own image-to-video example, as its server is sent it."""
    nodes: dict[str, Any] = {
        "15": ("ImageOnlyCheckpointLoader", {"ckpt_name": "svd.safetensors"}),
        "23": ("LoadImage", {"image": "mountains.png"}),
        "12": (
            "SVD_img2vid_Conditioning",
            {"width": 1024, "height": 576, "video_frames": 14, "motion_bucket_id": 127, "fps": 6}
            | {"augmentation_level": 0, "clip_vision": ["15", 1], "init_image": ["23", 0], "vae": ["15", 2]},
        ),
        "14": ("VideoLinearCFGGuidance", {"min_cfg": 1, "model": ["15", 0]}),
        "3": (
            "KSampler",
            {"seed": SEED, "steps": 20, "cfg": 2.5, "sampler_name": "euler", "scheduler": "karras"}
            | {"denoise": 1, "model": ["14", 0], "positive": ["12", 0], "negative": ["12", 1]}
            | {"latent_image": ["12", 2]},
        ),
        "8": ("VAEDecode", {"samples": ["3", 0], "vae": ["15", 2]}),
        "10": (
            "SaveAnimatedWEBP",
            {"filename_prefix": "ComfyUI", "fps": 10, "lossless": False, "quality": 85, "method": "default"}
            | {"images": ["8", 0]},
        ),
    }
    return {id: {"class_type": type, "inputs": inputs} for id, (type, inputs) in nodes.items()}


def read(value: Any) -> Reading:
    return read_workflow(value, None, Catalogue())


def said(reading: Reading | Restored) -> str:
    return " ".join(reading.notes)


# Reading


def test_comfyuis_own_example_is_the_preset_of_that_name(lab: Lab) -> None:
    found = restore(lab, json.dumps(example()).encode())
    svd = lab.catalogue.get("svd")
    assert found.checkpoint == "svd"
    assert found.settings == lab.presets.get("comfyui").settings_for(svd).but(seed=SEED % 2**32)
    assert found.settings.conditioning_fps == 5
    assert (found.origin, found.picture_sha256) == ("ComfyUI workflow", None)
    assert found.notes == (
        "The workflow starts from the picture mountains.png, which is not in it; drop it in as well.",
        "ComfyUI draws other noise from the same seed, so expect another clip with these settings.",
        f"The seed {SEED} has more than the 32 bits that torch's generator uses; {SEED % 2**32} is the same seed and "
        "gives the same clip.",
    )


def test_without_linear_guidance_cfg_holds_for_every_frame() -> None:
    flow = example()
    flow["3"]["inputs"]["model"] = ["15", 0]
    del flow["14"]
    knobs = read(flow).knobs
    assert (knobs["min_guidance_scale"], knobs["max_guidance_scale"]) == (2.5, 2.5)


def test_triangle_guidance_is_not_mapped_and_that_is_said() -> None:
    flow = example()
    flow["14"]["class_type"] = "VideoTriangleCFGGuidance"
    assert "Guidance rises to the middle and falls again there" in said(read(flow))


@pytest.mark.parametrize(
    ("node", "name", "value", "sentence"),
    [
        ("3", "sampler_name", "dpmpp_2m", "The sampler there is dpmpp_2m; here it is always euler."),
        ("3", "scheduler", "normal", "The schedule there is normal; karras is used here."),
        ("3", "denoise", 0.6, "denoise is 0.6 there; here every clip starts from noise alone."),
        ("3", "cfg", 0.5, "cfg is below 1 there; here guidance is off at 1 or less."),
        ("12", "augmentation_level", 0.1, "at the same level it is twice as strong as here"),
        ("15", "ckpt_name", "dream.ckpt", "There is no checkpoint dream.ckpt here"),
        ("23", "image", "../../etc/passwd", "starts from the picture passwd, which"),
    ],
)
def test_what_has_no_counterpart_is_said(node: str, name: str, value: Any, sentence: str) -> None:
    flow = example()
    flow[node]["inputs"][name] = value
    assert sentence in said(read(flow))


def test_ksampler_advanced_is_read_and_its_part_of_the_steps_is_said() -> None:
    flow = example()
    inputs = flow["3"]["inputs"]
    del inputs["denoise"]
    inputs |= {
        "add_noise": "enable",
        "noise_seed": inputs.pop("seed"),
        "start_at_step": 0,
        "end_at_step": 10000,
    }
    flow["3"]["class_type"] = "KSamplerAdvanced"
    whole = read(flow)
    assert whole.knobs["seed"] == SEED
    assert "some of the steps" not in said(whole)
    inputs |= {"start_at_step": 5, "add_noise": "disable"}
    assert "only some of the steps" in said(read(flow))
    assert "adds no noise of its own" in said(read(flow))


def test_a_guider_and_sigmas_are_followed_to_where_they_come_from() -> None:
    flow = example()
    latent = flow["3"]["inputs"]
    flow["30"] = {"class_type": "RandomNoise", "inputs": {"noise_seed": 5}}
    guided = {name: latent[name] for name in ("model", "positive", "negative")}
    flow["31"] = {"class_type": "CFGGuider", "inputs": {**guided, "cfg": 3.5}}
    flow["32"] = {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}}
    flow["33"] = {
        "class_type": "AlignYourStepsScheduler",
        "inputs": {"model_type": "SVD", "steps": 10, "denoise": 1},
    }
    sockets = {"noise": ["30", 0], "guider": ["31", 0], "sampler": ["32", 0], "sigmas": ["33", 0]}
    flow["3"] = {"class_type": "SamplerCustomAdvanced", "inputs": {**sockets, "latent_image": ["12", 2]}}
    found = read(flow)
    assert {"seed": 5, "max_guidance_scale": 3.5, "min_guidance_scale": 1, "schedule": "ays"}.items() <= (
        found.knobs.items()
    )
    assert found.knobs["num_inference_steps"] == 10
    assert "Not mapped" not in said(found)


@pytest.mark.parametrize(
    ("file", "id", "decoder"),
    [
        ("svd_xt.safetensors", "svd-xt", "temporal"),
        ("video\\SVD_XT_1_1.safetensors", "svd-xt-1-1", "temporal"),
        ("models/svd_xt_1_1-fp16.safetensors", "svd-xt-1-1", "temporal"),
        ("svd_xt_image_decoder.safetensors", "svd-xt-image-decoder", "image"),
        ("svd_image_decoder.safetensors", "svd", "image"),
        ("demo-1-1.safetensors", "demo-1-1", "temporal"),
    ],
)
def test_a_checkpoint_is_known_by_its_files_name(file: str, id: str, decoder: str) -> None:
    flow = example()
    flow["15"]["inputs"]["ckpt_name"] = file
    found = read(flow)
    assert (found.checkpoint, found.knobs["decoder"]) == (id, decoder)


def test_another_loaders_decoder_is_the_decoder() -> None:
    flow = example()
    flow["16"] = {
        "class_type": "ImageOnlyCheckpointLoader",
        "inputs": {"ckpt_name": "svd_xt_image_decoder.safetensors"},
    }
    flow["8"]["inputs"]["vae"] = ["16", 2]
    found = read(flow)
    assert (found.checkpoint, found.knobs["decoder"]) == ("svd", "image")


def test_nodes_that_are_not_mapped_are_named_in_one_sentence() -> None:
    flow = example()
    flow["40"] = {"class_type": "RIFE VFI", "inputs": {"frames": ["8", 0]}}
    flow["41"] = {"class_type": "<script>alert(1)</script>", "inputs": {}}
    [sentence] = [note for note in read(flow).notes if note.startswith("Not mapped")]
    assert sentence == "Not mapped: ?script?alert(1)??script?, RIFE VFI."


def test_a_workflow_without_svd_is_one_sentence() -> None:
    flow = {"1": {"class_type": "KSampler", "inputs": {}}}
    with pytest.raises(BadInput, match="has no SVD_img2vid_Conditioning node"):
        read(flow)


def test_bounds_that_are_wider_there_are_brought_in_and_that_is_said(lab: Lab) -> None:
    flow = example()
    flow["12"]["inputs"] |= {"width": 1080, "height": 4096, "video_frames": 4096, "fps": 1024}
    flow["3"]["inputs"] |= {"cfg": 100.0, "seed": 2**64, "steps": 10_000}
    found = restore(lab, json.dumps(flow).encode())
    s = found.settings
    assert (s.width, s.height, s.fps, s.num_inference_steps) == (1088, 2048, 60, 200)
    assert s.num_frames == 60  # what fits into memory at that size
    assert (s.max_guidance_scale, s.seed) == (20.0, KNOBS["seed"].maximum)
    lab.recipe("svd", PICTURE, s)  # it can be rendered
    assert "width was 1080 in the file; SVD 1.0 cannot do that, so it is 1088 now." in found.notes
    for name in ("height", "num_frames", "fps", "max_guidance_scale", "seed", "num_inference_steps"):
        assert any(note.startswith(f"{name} was ") for note in found.notes), name


# The page's format


def page(flow: dict[str, Any]) -> dict[str, Any]:
    """The same workflow as ComfyUI's page keeps it."""
    links: list[list[Any]] = []
    nodes = []
    for id, node in flow.items():
        spec = SPECS[node["class_type"]]
        sockets = []
        for slot, (name, kind) in enumerate(spec.sockets):
            source, output = node["inputs"][name]
            links.append([len(links) + 1, int(source), output, int(id), slot, kind])
            sockets.append({"name": name, "type": kind, "link": len(links)})
        widgets = [
            {"control_after_generate": "randomize", "upload": "image"}.get(name, node["inputs"].get(name))
            for name in spec.widgets
        ]
        nodes.append(
            {
                "id": int(id),
                "type": node["class_type"],
                "mode": 0,
                "inputs": sockets,
                "widgets_values": widgets,
            }
        )
    return {"nodes": nodes, "links": links, "version": 0.4, "extra": {}}


def node_of(flow: dict[str, Any], id: int) -> dict[str, Any]:
    return next(node for node in flow["nodes"] if node["id"] == id)


def test_both_formats_say_the_same() -> None:
    assert read(page(example())) == read(example())


def test_a_widget_turned_into_an_input_is_followed_through_a_reroute() -> None:
    flow = page(example())
    flow["nodes"] += [
        {"id": 50, "type": "PrimitiveNode", "widgets_values": [99, "fixed"], "outputs": []},
        {"id": 51, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 100}]},
    ]
    flow["links"] += [[100, 50, 0, 51, 0, "INT"], [101, 51, 0, 3, 4, "INT"]]
    node_of(flow, 3)["inputs"].append(
        {"name": "seed", "type": "INT", "link": 101, "widget": {"name": "seed"}}
    )
    assert read(flow).knobs["seed"] == 99


def test_a_value_that_is_worked_out_is_not_guessed(lab: Lab) -> None:
    flow = page(example())
    flow["nodes"].append({"id": 50, "type": "MathExpression", "widgets_values": ["a*2"]})
    flow["links"].append([100, 50, 0, 3, 4, "INT"])
    node_of(flow, 3)["inputs"].append({"name": "seed", "type": "INT", "link": 100})
    found = read(flow)
    assert "seed" not in found.knobs
    assert found.lost == (
        Lost("seed is worked out by a MathExpression node there and cannot be read", ("seed",)),
    )
    restored = restore(lab, json.dumps(flow).encode())
    assert restored.settings.seed == 42
    assert restored.notes[0] == (
        "seed is worked out by a MathExpression node there and cannot be read, so seed is 42 here."
    )


def test_a_value_that_is_not_there_is_said_with_what_is_used_instead(lab: Lab) -> None:
    flow = example()
    flow["12"]["inputs"]["fps"] = ["99", 0]
    del flow["3"]["inputs"]["steps"]
    found = restore(lab, json.dumps(flow).encode())
    assert (found.settings.fps, found.settings.num_inference_steps) == (7, 25)
    assert found.notes[:2] == (
        "The workflow does not say fps, so fps is 7 here.",
        "The workflow does not say steps, so num_inference_steps is 25 here.",
    )


def test_a_bypassed_node_is_passed_through_and_a_muted_one_is_not_there() -> None:
    flow = page(example())
    node_of(flow, 14)["mode"] = 4
    assert read(flow).knobs["min_guidance_scale"] == 2.5
    node_of(flow, 10)["mode"] = 2
    assert "playback_fps" not in read(flow).knobs


def test_links_in_a_circle_end() -> None:
    flow = page(example())
    flow["nodes"] += [
        {"id": id, "type": "Reroute", "inputs": [{"name": "", "link": link}]}
        for id, link in ((50, 101), (51, 100))
    ]
    flow["links"] += [[100, 50, 0, 51, 0, "*"], [101, 51, 0, 50, 0, "*"]]
    node_of(flow, 14)["inputs"][0]["link"] = 100
    assert read(flow).checkpoint == "svd"  # by the conditioning's autoencoder


# From files


def clip(path: Path, codec: str, tags: dict[str, str], **options: Any) -> bytes:
    """Three grey frames with container tags, as ComfyUI's video nodes write them."""
    with av.open(str(path), "w", **options) as container:
        container.metadata.update(tags)
        stream = container.add_stream(codec, rate=6)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def in_file(kind: str, folder: Path) -> bytes:
    """The example as ComfyUI or VideoHelperSuite puts it into a file of that kind."""
    api, ui = json.dumps(example()), json.dumps(page(example()))
    still, out = Image.new("RGB", (16, 16)), io.BytesIO()
    match kind:
        case "png":
            text = PngInfo()
            text.add_text("prompt", api)
            text.add_text("workflow", ui)
            still.save(out, "PNG", pnginfo=text)
        case "png, compressed":
            text = PngInfo()
            text.add_itxt("workflow", ui, zip=True)
            text.add_text("prompt", api, zip=True)
            still.save(out, "PNG", pnginfo=text)
        case "animated png":
            text = PngInfo()
            text.add(b"comf", b"prompt\0" + api.encode("latin-1"), after_idat=True)
            still.save(out, "PNG", pnginfo=text, save_all=True, append_images=[Image.new("RGB", (16, 16), 9)])
        case "webp":
            exif = still.getexif()
            exif[0x0110] = f"prompt:{api}"
            exif[0x010F] = f"workflow:{ui}"
            still.save(out, "WEBP", save_all=True, append_images=[Image.new("RGB", (16, 16), 9)], exif=exif)
        case "mp4":
            tags = {"prompt": api, "workflow": ui}
            return clip(folder / "a.mp4", "libx264", tags, options={"movflags": "use_metadata_tags"})
        case "webm":
            return clip(folder / "a.webm", "libvpx-vp9", {"prompt": api, "workflow": ui})
        case "helper suite mp4":
            comment = json.dumps({"prompt": api, "workflow": page(example()), "CreationTime": "now"})
            return clip(folder / "a.mp4", "libx264", {"comment": comment})
        case "api json":
            return api.encode()
        case "ui json":
            return ui.encode()
        case "posted json":
            return json.dumps({"prompt": example(), "client_id": "x"}).encode()
    return out.getvalue()


KINDS = (
    "png",
    "png, compressed",
    "animated png",
    "webp",
    "mp4",
    "webm",
    "helper suite mp4",
    "api json",
    "ui json",
    "posted json",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_workflow_is_found_in_every_file_that_carries_one(lab: Lab, kind: str, tmp_path: Path) -> None:
    data = in_file(kind, tmp_path)
    found = restore(lab, data)
    assert found == restore(lab, json.dumps(example()).encode())
    path = tmp_path / "dropped"
    path.write_bytes(data)
    assert restore(lab, path) == found


# Writing


def recipe(checkpoint: str = "svd-xt", **changes: Any) -> Recipe:
    return Recipe(checkpoint=checkpoint, picture_sha256=PICTURE, settings=GenerationSettings.parse(changes))


def some_settings(rng: random.Random, decoders: tuple[str, ...], step: int) -> GenerationSettings:
    """Any settings that can be rendered, bounds included."""
    values: dict[str, Any] = {}
    for name, knob in KNOBS.items():
        if knob.kind == "choice":
            values[name] = rng.choice(knob.choices)
        else:
            assert knob.minimum is not None
            assert knob.maximum is not None
            low, high = knob.minimum, knob.maximum
            drawn = rng.choice((low, high, rng.uniform(low, high), rng.uniform(low, high)))
            values[name] = round(drawn) if knob.kind == "int" else round(drawn, rng.choice((0, 1, 2, 6)))
            if knob.optional and rng.random() < 0.4:
                values[name] = None
    values["width"], values["height"] = (rng.randrange(1, 17) * step + 64 // step * step for _ in "wh")
    values["decoder"] = rng.choice(decoders)
    if values["max_guidance_scale"] <= 1 < values["min_guidance_scale"]:
        values["min_guidance_scale"] = 1.0
    values["num_frames"] = min(values["num_frames"], 32)
    if values["schedule"] == "lcm":
        values["num_inference_steps"] = min(values["num_inference_steps"], LCM_LEVELS)
    return GenerationSettings.parse(values)


def test_any_recipe_comes_back_as_it_was_in_both_formats(lab: Lab) -> None:
    rng = random.Random(5)
    checkpoints = list(lab.catalogue)
    for _ in range(200):
        checkpoint = rng.choice(checkpoints)
        settings = some_settings(rng, lab.decoders(checkpoint.id), checkpoint.size_step)
        made = Recipe(checkpoint=checkpoint.id, picture_sha256=PICTURE, settings=settings)
        written = write_workflow(made, lab.catalogue, rng.choice((None, (1200, 900), (300, 2000))))
        for ui in (True, False):
            found = restore(lab, written.text(ui).encode())
            assert found.settings == settings
            assert (found.checkpoint, found.picture_sha256) == (checkpoint.id, PICTURE)
            assert not any(" was " in note for note in found.notes), found.notes


def test_the_nodes_alone_say_all_that_comfyui_knows(lab: Lab) -> None:
    rng = random.Random(6)
    for _ in range(200):
        checkpoint = rng.choice(("svd", "svd-xt", "svd-xt-image-decoder", "svd-xt-1-1"))
        decoders = lab.catalogue.get(checkpoint)
        settings = some_settings(rng, (*decoders.decoders, *decoders.lenders), 64)
        made = Recipe(checkpoint=checkpoint, picture_sha256=PICTURE, settings=settings)
        api = write_workflow(made, lab.catalogue).api
        for node in api.values():
            del node["_meta"]
        told = read(api).knobs
        for name in MAPPED:
            assert told[name] == getattr(settings, name), name
        if settings.guided:
            assert told["min_guidance_scale"] == settings.min_guidance_scale
            assert told["max_guidance_scale"] == settings.max_guidance_scale
        else:
            assert (told["min_guidance_scale"], told["max_guidance_scale"]) == (1, 1)
        assert (told["playback_fps"] or settings.fps) == settings.effective_playback_fps
        assert told["motion_bucket_id"] == max(1, settings.motion_bucket_id)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "ays", "num_inference_steps": 10},
        {"fit": "pad"},
        {"focus_x": 0.0},
        {"decoder": "image"},
    ],
)
def test_the_pages_format_holds_together(lab: Lab, changes: dict[str, Any]) -> None:
    ui = write_workflow(recipe(**changes), lab.catalogue, (1200, 1200)).ui
    nodes = {node["id"]: node for node in ui["nodes"]}
    assert ui["version"] == 0.4
    assert (ui["last_node_id"], ui["last_link_id"]) == (max(nodes), len(ui["links"]))
    for number, source, output, target, slot, kind in ui["links"]:
        assert nodes[target]["inputs"][slot]["link"] == number
        assert nodes[target]["inputs"][slot]["type"] == kind
        assert number in nodes[source]["outputs"][output]["links"]
        assert nodes[source]["outputs"][output]["type"] == kind
    for node in nodes.values():
        spec = SPECS[node["type"]]
        assert [one["name"] for one in node["inputs"]] == [name for name, _ in spec.sockets]
        assert all(one["link"] is not None for one in node["inputs"] if one["name"] != "mask")
        assert len(node["widgets_values"]) == len(spec.widgets)
    boxes = [(*node["pos"], *node["size"]) for node in nodes.values()]
    for index, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[index + 1 :]:
            beside = x + width <= other_x or other_x + other_width <= x
            assert beside or y + height <= other_y or other_y + other_height <= y


def test_lcm_is_the_samplers_name_there_and_comes_back(lab: Lab) -> None:
    asked = recipe(schedule="lcm", num_inference_steps=4, min_guidance_scale=1.0, max_guidance_scale=1.0)
    written = write_workflow(asked, lab.catalogue)
    [sampler] = [node["inputs"] for node in written.api.values() if node["class_type"] == "KSampler"]
    assert (sampler["sampler_name"], sampler["steps"], sampler["cfg"]) == ("lcm", 4, 1.0)
    assert any("other noise levels" in note for note in written.notes)
    assert read(written.api).knobs["schedule"] == "lcm"


def test_features_used_again_are_said_and_come_back(lab: Lab) -> None:
    written = write_workflow(recipe(feature_reuse=3), lab.catalogue)
    assert any("uses no features again" in note for note in written.notes)
    assert read(written.api).knobs["feature_reuse"] == 3


def test_ays_is_its_own_schedule_node_before_a_custom_sampler(lab: Lab) -> None:
    written = write_workflow(recipe(schedule="ays", num_inference_steps=10), lab.catalogue)
    types = {node["class_type"] for node in written.api.values()}
    assert {"SamplerCustom", "KSamplerSelect", "AlignYourStepsScheduler"} <= types
    assert not any("AYS" in note for note in written.notes)


def test_a_crop_is_where_the_focus_says(lab: Lab) -> None:
    written = write_workflow(recipe(focus_x=1.0, focus_y=0.25), lab.catalogue, (1200, 1200))
    [crop] = [node["inputs"] for node in written.api.values() if node["class_type"] == "ImageCrop"]
    left, top, right, bottom = fit_box(1200, 1200, 1024, 576, 1.0, 0.25)
    assert (crop["x"], crop["y"]) == (left, top)
    assert (crop["width"], crop["height"]) == (right - left, bottom - top)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "ComfyUI draws other noise from the same seed"),
        ({"noise_aug_strength": 0.02}, "twice as strong"),
        ({"decode_chunk_size": 2}, "decodes as many frames at once as memory allows"),
        ({"motion_bucket_id": 0}, "1 stands for 0"),
        ({"focus_x": 0.1}, "cropped in the middle there"),
    ],
)
def test_what_differs_there_is_said(lab: Lab, changes: dict[str, Any], sentence: str) -> None:
    assert sentence in " ".join(write_workflow(recipe(**changes), lab.catalogue).notes)
    if changes:
        plain = recipe(noise_aug_strength=0, motion_bucket_id=127)
        assert sentence not in " ".join(write_workflow(plain, lab.catalogue).notes)


def test_a_browser_that_writes_6_for_6_0_changes_nothing(lab: Lab) -> None:
    made = recipe(playback_fps=12.0, max_guidance_scale=3.0, decode_chunk_size=3, focus_y=1.0)
    ui = write_workflow(made, lab.catalogue, (900, 1200)).ui
    for node in ui["nodes"]:
        node["widgets_values"] = [
            int(v) if isinstance(v, float) and v.is_integer() else v for v in node["widgets_values"]
        ]
    assert restore(lab, json.dumps(ui).encode()).settings == made.settings


@pytest.mark.parametrize(("type", "widget"), [("KSampler", 2), ("ImageCrop", 2)])
def test_a_changed_workflow_says_what_its_nodes_say_now(lab: Lab, type: str, widget: int) -> None:
    made = recipe(decode_chunk_size=3, focus_y=1.0)
    ui = copy.deepcopy(write_workflow(made, lab.catalogue, (900, 1200)).ui)
    [node] = [node for node in ui["nodes"] if node["type"] == type]
    node["widgets_values"][widget] += 1
    found = restore(lab, json.dumps(ui).encode())
    assert found.settings.focus_y == 0.5
    assert found.settings.num_inference_steps == made.settings.num_inference_steps + (type == "KSampler")
    assert any("was changed after svdlab wrote it" in note for note in found.notes)


def test_a_run_becomes_a_workflow_with_its_picture_by_hash(lab: Lab) -> None:
    run = make_run(lab, picture=picture_of(2), focus_x=0.0)
    written = workflow_of(lab, run)
    assert isinstance(written, Workflow)
    found = restore(lab, written.text().encode())
    assert (found.checkpoint, found.settings) == (run.recipe.checkpoint, run.settings)
    assert (found.picture_sha256, found.picture_here) == (run.recipe.picture_sha256, True)
    assert any("demo-1-0.safetensors stands for this one" in note for note in written.notes)
