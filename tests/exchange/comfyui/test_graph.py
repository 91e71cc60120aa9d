"""Links are followed through what only hands on: switches, contexts, pipes, seeds and numbers of any pack."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest

from svdlab.errors import BadInput
from tests.exchange.comfyui.told import (
    CLIP,
    CONDITIONING,
    GUIDANCE,
    LOADER,
    PICTURE,
    SAMPLER,
    SAVER,
    Flow,
    api,
    node,
    read,
    tells_the_clip,
)

SEED, FRAMES = CLIP["seed"], CLIP["num_frames"]
SEEDS = {
    "rgthree": node("Seed (rgthree)", seed=SEED),
    "Easy-Use": node("easy seed", seed=SEED),
    "Comfyroll": node("CR Seed", seed=SEED),
    "WAS": node("Seed", seed=SEED),
    "Inspire": node("Seed Logger", seed=SEED, seed_input=SEED),
    "everywhere": node("Seed Everywhere", seed=SEED),
    "core": node("PrimitiveInt", value=SEED, control_after_generate="randomize"),
    "a pack that nobody knows": node("Glow Seeds", seed=SEED, note="lucky"),
}
NUMBERS = {
    "KJNodes": node("INTConstant", value=FRAMES),
    "Easy-Use": node("easy int", value=FRAMES),
    "Mixlab's slider": node("mxSlider", Xi=FRAMES, Xf=float(FRAMES), isfloatX=0),
    "rgthree": node("Power Primitive (rgthree)", type="INT", value=FRAMES),
    "one number alone": node("Glow Number", how_many=FRAMES),
}


@pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS)
def test_a_seed_comes_from_any_packs_seed_node(seed: Flow) -> None:
    flow = api() | {"40": seed}
    flow[SAMPLER]["inputs"]["seed"] = ["40", 0]
    assert "Not mapped" not in " ".join(tells_the_clip(flow).notes)


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_a_number_comes_from_any_packs_constant(number: Flow) -> None:
    flow = api() | {"40": number}
    flow[CONDITIONING]["inputs"]["video_frames"] = ["40", 0]
    tells_the_clip(flow)


def test_one_node_hands_out_several_values_under_their_names() -> None:
    steps, cfg = CLIP["num_inference_steps"], CLIP["max_guidance_scale"]
    flow = api()
    flow["40"] = node(
        "KSampler Config (rgthree)",
        **{
            "steps_total": steps,
            "refiner_step": 9,
            "cfg": cfg,
            "sampler_name": "euler",
            "scheduler": "karras",
        },
    )
    names = {"steps": 0, "cfg": 2, "sampler_name": 3, "scheduler": 4}
    flow[SAMPLER]["inputs"] |= {name: ["40", slot] for name, slot in names.items()}
    assert not any("sampler there" in note for note in tells_the_clip(flow).notes)


def test_a_constant_may_itself_be_linked() -> None:
    flow = api() | {"40": node("PrimitiveInt", value=["41", 0]), "41": node("INTConstant", value=FRAMES)}
    flow[CONDITIONING]["inputs"]["video_frames"] = ["40", 0]
    tells_the_clip(flow)


WORKED_OUT = {
    "an expression": node("MathExpression|pysssss", expression="a*2", a=FRAMES),
    "a sum": node("easy mathInt", a=20, b=1, operation="add"),
    "a random number": node("Random Number", minimum=0, maximum=FRAMES, seed=SEED),
    "two numbers": node("Glow Numbers", here=3, there=4),
    "a size of a picture": node("GetImageSize", image=[PICTURE, 0]),
}


@pytest.mark.parametrize("made", WORKED_OUT.values(), ids=WORKED_OUT)
def test_what_is_worked_out_is_not_guessed(made: Flow) -> None:
    flow = api() | {"40": made}
    flow[CONDITIONING]["inputs"]["video_frames"] = ["40", 0]
    found = read(flow)
    assert "num_frames" not in found.knobs
    assert [one.knobs for one in found.lost] == [("num_frames",)]
    assert made["class_type"].split("|")[0] in found.lost[0].sentence


def test_the_size_of_a_picture_that_was_just_brought_to_it_is_known() -> None:
    flow = api()
    size = {"width": CLIP["width"], "height": CLIP["height"]}
    flow["40"] = node("ImageScale", image=[PICTURE, 0], upscale_method="area", crop="center", **size)
    flow["41"] = node("GetImageSize", image=["40", 0])
    flow[CONDITIONING]["inputs"] |= {"init_image": ["40", 0], "width": ["41", 0], "height": ["41", 1]}
    tells_the_clip(flow)
    flow["40"]["inputs"]["width"] = 0
    assert [one.knobs for one in read(flow).lost] == [("width",), ("height",)]


@pytest.mark.parametrize("seed", [-1, -2, -3])
def test_a_seed_that_is_drawn_anew_is_no_seed(seed: int) -> None:
    flow = api() | {"40": node("Seed (rgthree)", seed=seed)}
    flow[SAMPLER]["inputs"]["seed"] = ["40", 0]
    found = read(flow)
    assert "seed" not in found.knobs
    assert found.lost[0].sentence == "The seed is drawn anew each time there"


OTHER = "90"  # a loader that is not the clip's
SWITCHES: dict[str, Flow] = {
    "first that is there": node(
        "Any Switch (rgthree)", any_01=["77", 0], any_02=[LOADER, 0], any_03=[OTHER, 0]
    ),
    "first of two": node("Any Switch (rgthree)", any_01=[LOADER, 0], any_02=[OTHER, 0]),
    "Impact, from 1": node("ImpactSwitch", select=2, input1=[OTHER, 0], input2=[LOADER, 0], sel_mode=False),
    "Easy-Use, from 0": node("easy anythingIndexSwitch", index=1, value0=[OTHER, 0], value1=[LOADER, 0]),
    "Comfyroll": node("CR Model Input Switch", Input=1, model1=[LOADER, 0], model2=[OTHER, 0]),
    "core": node("ComfySwitchNode", switch=True, on_false=[OTHER, 0], on_true=[LOADER, 0]),
    "Crystools": node("Switch any [Crystools]", boolean=False, on_true=[OTHER, 0], on_false=[LOADER, 0]),
    "by a linked truth": node("easy ifElse", boolean=["91", 0], on_true=[LOADER, 0], on_false=[OTHER, 0]),
}


@pytest.mark.parametrize("switch", SWITCHES.values(), ids=SWITCHES)
def test_a_switch_is_followed_where_it_leads(switch: Flow) -> None:
    flow = api() | {"40": switch, "91": node("PrimitiveBoolean", value=True)}
    flow[OTHER] = node("ImageOnlyCheckpointLoader", ckpt_name="svd_xt_1_1.safetensors")
    flow[GUIDANCE]["inputs"]["model"] = ["40", 0]
    tells_the_clip(flow)


def test_a_switch_whose_choice_is_not_known_is_named_and_not_guessed() -> None:
    flow = api() | {"41": node("Glow Random", low=1, high=2)}
    flow["40"] = node("ImpactSwitch", select=["41", 0], input1=[OTHER, 0], input2=[LOADER, 0])
    flow[OTHER] = node("ImageOnlyCheckpointLoader", ckpt_name="svd_xt_1_1.safetensors")
    flow[GUIDANCE]["inputs"]["model"] = ["40", 0]
    assert "The model goes through a ImpactSwitch node there, which is not mapped." in read(flow).notes


def test_a_context_hands_on_what_it_was_given() -> None:
    flow = api()
    flow["40"] = node("Context (rgthree)", model=[GUIDANCE, 0], vae=[LOADER, 2], seed=["42", 0])
    flow["41"] = node("Context (rgthree)", base_ctx=["40", 0], positive=[CONDITIONING, 0])
    flow["42"] = node("Seed (rgthree)", seed=SEED)
    flow[SAMPLER]["inputs"] |= {"model": ["41", 1], "positive": ["41", 4], "seed": ["41", 8]}
    flow["6"]["inputs"]["vae"] = ["41", 3]
    tells_the_clip(flow)


def test_of_two_contexts_the_first_that_is_there_is_taken() -> None:
    flow = api()
    flow["40"] = node("Context (rgthree)", model=[GUIDANCE, 0])
    flow["41"] = node("Context Switch (rgthree)", ctx_01=["77", 0], ctx_02=["40", 0])
    flow[SAMPLER]["inputs"]["model"] = ["41", 1]
    tells_the_clip(flow)


@pytest.mark.parametrize(("type", "first"), [("FromBasicPipe", 0), ("FromBasicPipe_v2", 1)])
def test_a_pipe_hands_on_what_was_put_into_it(type: str, first: int) -> None:
    flow = api()
    given = {
        "model": [GUIDANCE, 0],
        "vae": [LOADER, 2],
        "positive": [CONDITIONING, 0],
        "negative": [CONDITIONING, 1],
    }
    flow["40"] = node("ToBasicPipe", **given, clip=["77", 0])
    flow["41"] = node(type, basic_pipe=["40", 0])
    taken = {"model": first, "positive": first + 3, "negative": first + 4}
    flow[SAMPLER]["inputs"] |= {name: ["41", slot] for name, slot in taken.items()}
    flow["6"]["inputs"]["vae"] = ["41", first + 2]
    tells_the_clip(flow)


def tangle(depth: int) -> Flow:
    """Switches on switches that lead nowhere: two ways at each."""
    flow = api()
    for number in range(depth):
        flow[f"t{number}"] = node("Any Switch", any_01=[f"t{number + 1}", 0], any_02=[f"t{number + 1}", 0])
    flow[GUIDANCE]["inputs"]["model"] = ["t0", 0]
    return flow


def knot(size: int) -> Flow:
    """Every node is given every other."""
    flow = api()
    for number in range(size):
        flow[f"t{number}"] = node("Glow", **{f"in{other}": [f"t{other}", 0] for other in range(size)})
    for number in range(40):
        flow[f"s{number}"] = node("Glow Saver", images=["t0", 0], fps=6)
    return flow


@pytest.mark.parametrize(
    "flow", [tangle(40), tangle(1500), knot(300)], ids=["40 deep", "1500 deep", "a knot"]
)
def test_links_that_branch_without_end_take_no_time(flow: Flow) -> None:
    began = time.perf_counter()
    with suppress(BadInput):
        read(flow)
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize(
    "value", [None, True, "x", 1.5, [], {}, {"a": []}, [["1", 0]], [1, "0"], "__value__"]
)
def test_no_value_in_place_of_a_link_or_number_raises_anything_else(value: Any) -> None:
    for id, one in api().items():
        for name in one["inputs"]:
            flow = json.loads(json.dumps(api()))
            flow[id]["inputs"][name] = value
            found = read(flow)
            for sentence in (*found.notes, *(lost.sentence for lost in found.lost)):
                assert not {"<", "{", "["} & set(sentence)
                assert "None" not in sentence


def test_a_saver_is_no_node_that_is_left_over() -> None:
    flow = api() | {"50": node("Glow Saver", images=["6", 0], fps=6, path="x")}
    assert not any("Not mapped" in note for note in read(flow).notes)
    assert SAVER in flow
