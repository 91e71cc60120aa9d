"""The page's format says what the page would send: subgraphs, groups, Set and Get, what is sent everywhere, modes."""

from __future__ import annotations

import copy
import json
import time
from contextlib import suppress
from typing import Any

import pytest

from svdlab.errors import BadInput
from svdlab.exchange.comfyui.declared import SPECS
from tests.exchange.comfyui.told import CASES, CLIP, Flow, add, link, on_page, page, read, tells_the_clip

BYPASSED, MUTED = 4, 2


def case(name: str) -> Flow:
    flow: Flow = json.loads((CASES / name).read_text())
    return flow


# Modes


def test_a_muted_saver_and_sampler_are_not_there() -> None:
    flow = page()
    other = add(flow, 20, "VHS_VideoCombine", {"frame_rate": 60})
    link(flow, (6, 0), 20, "images", "IMAGE")
    other["mode"] = MUTED
    twin = copy.deepcopy(on_page(flow, 5)) | {
        "id": 21,
        "mode": MUTED,
        "widgets_values": [5, "fixed", 9, 9, "lms", "normal", 1],
    }
    flow["nodes"].insert(0, twin)
    tells_the_clip(flow)


def test_a_bypassed_node_passes_on_what_is_of_the_outputs_type() -> None:
    flow = page()
    add(flow, 20, "Glow Model", outputs="MODEL", mode=BYPASSED)
    link(flow, (1, 1), 20, "vision", "CLIP_VISION")
    link(flow, (4, 0), 20, "base", "MODEL")
    link(flow, (20, 0), 5, "model", "MODEL")
    tells_the_clip(flow)


def test_a_bypassed_sampler_samples_nothing() -> None:
    flow = page()
    on_page(flow, 5)["mode"] = BYPASSED
    [lost] = read(flow).lost
    assert lost.sentence == "The workflow has no sampler that uses the conditioning"


def test_a_bypassed_conditioning_makes_no_clip() -> None:
    flow = page()
    on_page(flow, 3)["mode"] = BYPASSED
    with pytest.raises(BadInput, match="has no SVD_img2vid_Conditioning node"):
        read(flow)


def test_a_link_to_a_muted_node_leads_nowhere_and_that_is_said() -> None:
    flow = page()
    add(flow, 20, "INTConstant", [21], "INT", mode=MUTED)
    link(flow, (20, 0), 3, "video_frames", "INT", widget=True)
    assert [one.sentence for one in read(flow).lost] == ["The workflow does not say video_frames"]


# Set and Get


def through_set_and_get(
    flow: Flow, source: tuple[int, int], target: int, name: str, kind: str, **types: str
) -> None:
    """Puts a pair of nodes in place of a link."""
    set_id, get_id = 100 + len(flow["nodes"]), 101 + len(flow["nodes"])
    key = f"{name} {set_id}"
    add(flow, set_id, types.get("set", "SetNode"), [key], "*")
    link(flow, source, set_id, kind, kind)
    add(flow, get_id, types.get("get", "GetNode"), [key], kind)
    link(flow, (get_id, 0), target, name, kind)


@pytest.mark.parametrize(
    "types", [{}, {"set": "easy setNode", "get": "easy getNode"}], ids=["KJNodes", "Easy-Use"]
)
def test_everything_may_come_through_set_and_get(types: dict[str, str]) -> None:
    flow = page()
    for source, target, name, kind in (
        ((1, 0), 4, "model", "MODEL"),
        ((4, 0), 5, "model", "MODEL"),
        ((3, 0), 5, "positive", "CONDITIONING"),
        ((3, 2), 5, "latent_image", "LATENT"),
        ((5, 0), 6, "samples", "LATENT"),
        ((6, 0), 7, "images", "IMAGE"),
        ((1, 2), 3, "vae", "VAE"),
        ((2, 0), 3, "init_image", "IMAGE"),
    ):
        through_set_and_get(flow, source, target, name, kind, **types)
    assert "Not mapped" not in " ".join(tells_the_clip(flow).notes)


def test_get_may_be_set_again_under_another_name() -> None:
    flow = page()
    through_set_and_get(flow, (4, 0), 5, "model", "MODEL")
    got = next(one["id"] for one in flow["nodes"] if one["type"] == "GetNode")
    through_set_and_get(flow, (got, 0), 5, "model", "MODEL")
    tells_the_clip(flow)


def test_a_get_without_its_set_leads_nowhere() -> None:
    flow = page()
    through_set_and_get(flow, (4, 0), 5, "model", "MODEL")
    flow["nodes"] = [one for one in flow["nodes"] if one["type"] != "SetNode"]
    found = read(flow)
    assert found.checkpoint == CLIP["checkpoint"]  # by the autoencoder
    assert found.knobs["min_guidance_scale"] == CLIP["max_guidance_scale"]


# Widgets


def test_newer_pages_list_every_widget_among_the_inputs_and_so_name_those_of_any_pack() -> None:
    flow = page()
    sampler = on_page(flow, 5)
    sampler["type"] = "KSampler (Glow)"
    names = ["seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"]
    sampler["inputs"] += [
        {"name": name, "type": "INT", "widget": {"name": name}, "link": None} for name in names
    ]
    saver = on_page(flow, 7)
    saver["type"], saver["widgets_values"] = "Glow Saver", [12, "x"]
    saver["inputs"] += [
        {"name": n, "type": "INT", "widget": {"name": n}, "link": None} for n in ("frame_rate", "to")
    ]
    tells_the_clip(flow)


def test_values_by_name_go_before_values_in_order() -> None:
    flow = page()
    on_page(flow, 3)["widgets_values_named"] = {
        **{"width": 832, "height": 448, "video_frames": 21, "motion_bucket_id": 201, "fps": 9},
        "augmentation_level": 0.07,
    }
    on_page(flow, 3)["widgets_values"] = [0.07, 9, 201, 21, 448, 832]
    tells_the_clip(flow)


def test_a_seed_without_its_control_is_read_as_older_pages_wrote_it() -> None:
    flow = page()
    on_page(flow, 5)["widgets_values"].pop(1)
    tells_the_clip(flow)


@pytest.mark.parametrize(
    ("type", "values"),
    [
        ("KSampler (Efficient)", [31337, None, 17, 3.3, "euler", "karras", 1, "auto", "true"]),
        ("KSampler //Inspire", [31337, "fixed", 17, 3.3, "euler", "karras", 1, "GPU(=A1111)", "incremental"]),
        ("KSamplerAdvanced", ["enable", 31337, "fixed", 17, 3.3, "euler", "karras", 0, 10000, "disable"]),
        (
            "SwarmKSampler",
            [
                31337,
                "fixed",
                17,
                3.3,
                "euler",
                "karras",
                0,
                10000,
                0,
                "fixed",
                0,
                -1,
                -1,
                7,
                "enable",
                "disable",
                "one",
            ],
        ),
    ],
)
def test_samplers_of_packs_have_their_widgets_in_their_own_order(type: str, values: list[Any]) -> None:
    flow = page()
    on_page(flow, 5)["type"], on_page(flow, 5)["widgets_values"] = type, values
    reading = tells_the_clip(flow)
    assert not any("there" in note for note in reading.notes if "sampler" in note.lower())


def test_a_sampler_whose_widgets_cannot_be_named_is_said_with_all_that_is_lost() -> None:
    flow = page()
    on_page(flow, 5)["type"] = "Glow Sampler"
    [lost] = read(flow).lost
    assert lost.sentence == "How a Glow Sampler node samples could not be read"
    assert set(lost.knobs) >= {"seed", "num_inference_steps", "max_guidance_scale"}


# Subgraphs


def test_a_subgraph_in_a_subgraph_is_read() -> None:
    flow = case("subgraph.json")
    [inner] = flow["definitions"]["subgraphs"]
    outer = {key: copy.deepcopy(inner[key]) for key in ("inputNode", "outputNode", "inputs", "outputs")}
    outer |= {"id": "aaaaaaaa-0000-4000-8000-000000000000", "name": "Outer", "widgets": []}
    kinds = [(one["name"], one["type"]) for one in inner["inputs"]]
    sockets = [{"name": name, "type": kind, "link": at + 1} for at, (name, kind) in enumerate(kinds)]
    outer["nodes"] = [
        {
            "id": 33,
            "type": inner["id"],
            "mode": 0,
            "inputs": sockets,
            "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
        }
    ]
    outer["links"] = [
        {"id": at + 1, "origin_id": -10, "origin_slot": at, "target_id": 33, "target_slot": at, "type": kind}
        for at, (_, kind) in enumerate(kinds)
    ]
    outer["links"].append(
        {"id": 99, "origin_id": 33, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"}
    )
    for at, one in enumerate(outer["inputs"]):
        one["linkIds"] = [at + 1]
    outer["outputs"][0]["linkIds"] = [99]
    flow["definitions"]["subgraphs"].append(outer)
    on_page(flow, 10)["type"] = outer["id"]
    tells_the_clip(flow)


def promoted(flow: Flow, names: tuple[str, ...]) -> tuple[Flow, list[int]]:
    """Makes widgets of the subgraph's conditioning inputs of the subgraph; its own values become wrong ones."""
    [part] = flow["definitions"]["subgraphs"]
    conditioning = next(one for one in part["nodes"] if one["id"] == 3)
    values = dict(zip(SPECS[conditioning["type"]].widgets, conditioning["widgets_values"], strict=True))
    conditioning["widgets_values"] = (
        [16, 16, 2, 1, 1, 0.9] if len(names) == 6 else conditioning["widgets_values"]
    )
    host = on_page(flow, 10)
    for at, name in enumerate(names, start=len(part["inputs"])):
        part["inputs"].append({"id": name, "name": name, "type": "INT", "linkIds": [900 + at]})
        part["links"].append(
            {
                "id": 900 + at,
                "origin_id": -10,
                "origin_slot": at,
                "target_id": 3,
                "target_slot": at,
                "type": "INT",
            }
        )
        next(one for one in conditioning["inputs"] if one["name"] == name)["link"] = 900 + at
        host["inputs"].append({"name": name, "type": "INT", "widget": {"name": name}, "link": None})
    return host, [values[name] for name in names]


ALL = SPECS["SVD_img2vid_Conditioning"].widgets


def test_a_value_set_on_the_subgraph_goes_before_the_one_inside() -> None:
    flow = case("subgraph.json")
    host, values = promoted(flow, ALL)
    host["widgets_values"] = values
    tells_the_clip(flow)


def test_older_pages_name_the_inner_node_of_such_a_value() -> None:
    flow = case("subgraph.json")
    host, values = promoted(flow, ALL)
    host["properties"]["proxyWidgets"] = [["-1", name] for name in ALL] + [["5", "seed"]]
    host["widgets_values"] = [*values, CLIP["seed"], "randomize"]
    sampler = next(one for one in flow["definitions"]["subgraphs"][0]["nodes"] if one["id"] == 5)
    sampler["widgets_values"][0] = 1
    tells_the_clip(flow)


def test_a_value_may_be_linked_to_the_subgraph_from_outside() -> None:
    flow = case("subgraph.json")
    host, _ = promoted(flow, ("video_frames",))
    flow["definitions"]["subgraphs"][0]["nodes"][0]["widgets_values"][2] = 99
    add(flow, 40, "INTConstant", [CLIP["num_frames"]], "INT")
    link(flow, (40, 0), 10, "video_frames", "INT")
    assert host["inputs"][-1]["link"] is not None
    tells_the_clip(flow)


def test_a_get_in_a_subgraph_finds_what_was_set_outside() -> None:
    flow = case("subgraph.json")
    [part] = flow["definitions"]["subgraphs"]
    add(flow, 40, "SetNode", ["the model"], "*")
    link(flow, (1, 0), 40, "MODEL", "MODEL")
    got = {"id": 60, "type": "GetNode", "mode": 0, "widgets_values": ["the model"]}
    part["nodes"].append(got | {"outputs": [{"name": "MODEL", "type": "MODEL"}]})
    part["links"].append(
        {"id": 800, "origin_id": 60, "origin_slot": 0, "target_id": 4, "target_slot": 0, "type": "MODEL"}
    )
    next(one for one in part["nodes"] if one["id"] == 4)["inputs"][0]["link"] = 800
    tells_the_clip(flow)


@pytest.mark.parametrize("mode", [MUTED, BYPASSED])
def test_what_is_in_a_subgraph_that_is_off_makes_no_clip(mode: int) -> None:
    flow = case("subgraph.json")
    on_page(flow, 10)["mode"] = mode
    with pytest.raises(BadInput, match="has no SVD_img2vid_Conditioning node"):
        read(flow)


def test_nothing_is_said_to_be_absent_where_not_all_could_be_read() -> None:
    flow = case("subgraph.json")
    flow["definitions"] = {}
    on_page(flow, 10)["title"] = "Clip maker"
    with pytest.raises(BadInput, match="what is inside of Clip maker there could not be read"):
        read(flow)
    flow = case("group_node.json")
    flow["extra"] = {}
    with pytest.raises(BadInput, match="what is inside of clip maker there could not be read"):
        read(flow)


def test_a_subgraph_that_holds_itself_ends() -> None:
    flow = case("subgraph.json")
    [part] = flow["definitions"]["subgraphs"]
    part["nodes"] += [{"id": 700 + at, "type": part["id"], "mode": 0} for at in range(3)]
    began = time.perf_counter()
    with pytest.raises(BadInput, match="more than 2000 nodes"):
        read(flow)
    assert time.perf_counter() - began < 10


# Group nodes


def test_a_group_node_may_be_named_as_older_pages_did() -> None:
    flow = case("group_node.json")
    on_page(flow, 10)["type"] = "workflow/clip maker"
    tells_the_clip(flow)


def test_a_group_nodes_inputs_may_have_the_inner_nodes_title_before_their_name() -> None:
    flow = case("group_node.json")
    group = flow["extra"]["groupNodes"]["clip maker"]
    group["nodes"][3]["inputs"] = [{"name": "samples", "type": "LATENT"}, {"name": "vae", "type": "VAE"}]
    link(flow, (1, 2), 10, "VAEDecode vae", "VAE")
    assert "Not mapped" not in " ".join(tells_the_clip(flow).notes)


def test_a_seed_in_a_group_may_come_from_a_number_in_it_or_from_outside() -> None:
    flow = case("group_node.json")
    group = flow["extra"]["groupNodes"]["clip maker"]
    sampler = group["nodes"][2]
    sampler["inputs"] = [{"name": name, "type": kind} for name, kind in SPECS["KSampler"].sockets]
    sampler["inputs"].append({"name": "seed", "type": "INT", "widget": {"name": "seed"}})
    outside = copy.deepcopy(flow)
    group["nodes"].append({"type": "PrimitiveNode", "index": 4, "widgets_values": [5, "fixed"]})
    group["links"].append([4, 0, 2, 4, 9, "INT"])
    values = on_page(flow, 10)["widgets_values"]
    on_page(flow, 10)["widgets_values"] = [*values[:7], *values[9:], values[7], values[8]]
    tells_the_clip(flow)
    on_page(outside, 10)["widgets_values"] = [*values[:7], *values[9:]]
    add(outside, 40, "Seed (rgthree)", [CLIP["seed"], "", "", ""], "INT")
    link(outside, (40, 0), 10, "seed", "INT", widget=True)
    tells_the_clip(outside)


def test_newer_pages_list_a_groups_widgets_among_its_nodes_inputs() -> None:
    flow = case("group_node.json")
    for one in flow["extra"]["groupNodes"]["clip maker"]["nodes"]:
        sockets = [{"name": name, "type": kind} for name, kind in SPECS[one["type"]].sockets]
        names = [name for name in SPECS[one["type"]].widgets if name != "control_after_generate"]
        one["inputs"] = sockets + [{"name": name, "type": "INT", "widget": {"name": name}} for name in names]
    tells_the_clip(flow)


@pytest.mark.parametrize("values", [[1, 2, 3], None])
def test_a_group_node_with_other_widgets_than_its_nodes_have_is_not_guessed(values: list[int] | None) -> None:
    flow = case("group_node.json")
    own = on_page(flow, 10)["widgets_values"]
    on_page(flow, 10)["widgets_values"] = own + values if values else own[:-1]
    with pytest.raises(BadInput, match="what is inside of clip maker there could not be read"):
        read(flow)


# What is sent everywhere


def everywhere(flow: Flow, id: int, source: tuple[int, int], kind: str, **more: Any) -> Flow:
    sender = add(flow, id, more.pop("type", "Anything Everywhere"), **more)
    link(flow, source, id, "anything", kind)
    return sender


def cut(flow: Flow, target: int, name: str) -> None:
    """Takes a link away."""
    socket = next(one for one in on_page(flow, target)["inputs"] if one["name"] == name)
    flow["links"] = [one for one in flow["links"] if one[0] != socket["link"]]
    socket["link"] = None


def test_of_two_senders_the_one_for_this_input_is_taken() -> None:
    flow = page()
    add(flow, 30, "ImageOnlyCheckpointLoader", ["svd_xt_1_1.safetensors"], "MODEL CLIP_VISION VAE")
    cut(flow, 4, "model")
    everywhere(flow, 31, (30, 0), "MODEL")
    only = everywhere(flow, 32, (1, 0), "MODEL", type="Anything Everywhere?")
    only["widgets_values"] = ["VideoLinear", "model", ".*"]
    tells_the_clip(flow)


def test_two_senders_alike_are_not_chosen_between() -> None:
    flow = page()
    add(flow, 30, "ImageOnlyCheckpointLoader", ["svd_xt_1_1.safetensors"], "MODEL CLIP_VISION VAE")
    cut(flow, 4, "model")
    everywhere(flow, 31, (30, 0), "MODEL")
    everywhere(flow, 32, (1, 0), "MODEL")
    assert read(flow).checkpoint == CLIP["checkpoint"]  # by the autoencoder, which is linked


def test_prompts_everywhere_go_to_the_inputs_of_their_names() -> None:
    flow = page()
    for name in ("positive", "negative"):
        cut(flow, 5, name)
    add(flow, 30, "Prompts Everywhere")
    link(flow, (3, 1), 30, "negative", "CONDITIONING")
    link(flow, (3, 0), 30, "positive", "CONDITIONING")
    tells_the_clip(flow)


def test_a_seed_sent_everywhere_reaches_a_seed_that_was_turned_into_an_input() -> None:
    flow = page()
    on_page(flow, 5)["inputs"].append(
        {"name": "seed", "type": "INT", "link": None, "widget": {"name": "seed"}}
    )
    on_page(flow, 5)["widgets_values"][0] = 7
    add(flow, 30, "Seed Everywhere", [CLIP["seed"], "randomize"], "INT")
    tells_the_clip(flow)


def test_links_that_the_pack_wrote_down_are_taken_as_they_are() -> None:
    flow = page()
    cut(flow, 4, "model")
    flow["extra"]["ue_links"] = [
        {
            "downstream": 4,
            "downstream_slot": 0,
            "upstream": "1",
            "upstream_slot": 0,
            "controller": 31,
            "type": "MODEL",
        }
    ]
    tells_the_clip(flow)


@pytest.mark.parametrize(
    "pattern", ["^model$", "^mod", "del$", ".*odel", "model.*", "vae|model", "^.*model.*$", ""]
)
def test_a_plain_pattern_is_honoured(pattern: str) -> None:
    flow = page()
    cut(flow, 4, "model")
    only = everywhere(flow, 31, (1, 0), "MODEL", type="Anything Everywhere?")
    only["widgets_values"] = [".*", pattern, ".*"]
    tells_the_clip(flow)


@pytest.mark.parametrize("pattern", ["^odel", "mode$", "Model", "^mode$", "vae|clip"])
def test_a_plain_pattern_that_does_not_fit_sends_nothing(pattern: str) -> None:
    flow = page()
    cut(flow, 4, "model")
    cut(flow, 3, "vae")
    cut(flow, 3, "clip_vision")
    only = everywhere(flow, 31, (1, 0), "MODEL", type="Anything Everywhere?")
    only["widgets_values"] = [".*", pattern, ".*"]
    assert read(flow).checkpoint is None


@pytest.mark.parametrize("pattern", ["(a+)+$", "[m]odel", "m{1,9}odel", "mo.*el"])
def test_a_pattern_from_a_file_is_not_run_and_its_sender_is_named(pattern: str) -> None:
    flow = page()
    cut(flow, 4, "model")
    only = everywhere(flow, 31, (1, 0), "MODEL", type="Anything Everywhere?")
    only["widgets_values"] = [".*", pattern, ".*"]
    assert any("Anything Everywhere?" in note for note in read(flow).notes)


SHAPES: list[Any] = [None, 5, "x", [], {}, [None], [[1]], [{}], [["a", {}, []]], {"a": [1]}, True]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("key", ["nodes", "links", "extra", "definitions", "groups"])
def test_a_page_with_a_part_of_any_shape_raises_nothing_else(key: str, shape: Any) -> None:
    with suppress(BadInput):
        read(case("subgraph.json") | {key: shape})


@pytest.mark.parametrize(
    "place", ["inputs", "outputs", "widgets_values", "properties", "mode", "title", "id"]
)
@pytest.mark.parametrize(
    "file", ["subgraph.json", "group_node.json", "use_everywhere.json", "setget_model.json"]
)
def test_nodes_with_a_part_of_any_shape_raise_nothing_else(file: str, place: str) -> None:
    for shape in SHAPES:
        flow = case(file)
        parts = [
            flow,
            *flow.get("definitions", {}).get("subgraphs", []),
            *flow["extra"].get("groupNodes", {}).values(),
        ]
        for one in [node for part in parts for node in part["nodes"]]:
            one[place] = shape
        with suppress(BadInput):
            read(flow)


@pytest.mark.parametrize(
    "place", ["nodes", "links", "inputs", "outputs", "external", "inputNode", "outputNode"]
)
@pytest.mark.parametrize("file", ["subgraph.json", "group_node.json"])
def test_what_a_node_holds_may_be_of_any_shape(file: str, place: str) -> None:
    for shape in SHAPES:
        flow = case(file)
        parts = [
            *flow.get("definitions", {}).get("subgraphs", []),
            *flow["extra"].get("groupNodes", {}).values(),
        ]
        for part in parts:
            part[place] = shape
        with suppress(BadInput):
            read(flow)
