"""The controls: made from the knobs, read into settings, each sentence where its cause is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import safetensors.numpy

from svdlab.environment import Environment
from svdlab.errors import BadSettings, CheckpointUnavailable
from svdlab.lab.lab import Lab
from svdlab.lab.quota import Quota
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.loras import Lora
from svdlab.recipes.plan import Plan
from svdlab.recipes.settings import KNOBS, MAX_SEED, GenerationSettings
from svdlab.ui.parts import loras
from svdlab.ui.parts.controls import Controls
from svdlab.ui.parts.controls.pair import PairControls
from svdlab.ui.words import sentence


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def built(lab: Lab, *sides: str) -> Controls:
    """Controls as a page builds them, not launched."""
    controls = Controls(lab, "test", sides or ("checkpoint",))
    with gr.Blocks():
        for side in controls.sides:
            controls.build_checkpoint(side, side)
        controls.build_preset()
        controls.build_knobs()
        controls.build_advice()
        controls.wire()
    return controls


@pytest.fixture
def controls(lab: Lab) -> Controls:
    return built(lab)


def knobs(controls: Controls, **changes: Any) -> dict[str, Any]:
    return {**controls.knobs.value, **changes}


def test_every_knob_has_a_control_with_its_label_and_help(controls: Controls) -> None:
    for knob in KNOBS.values():
        assert f'data-knob="{knob.name}"' in controls.knobs.html_template
        assert knob.label in controls.knobs.html_template


def test_what_the_controls_show_reads_back_as_the_same_settings(controls: Controls, lab: Lab) -> None:
    form = controls.read("demo-1-1", "", controls.knobs.value)
    official = lab.settings("demo-1-1", seed=42)
    assert form.settings == official
    assert controls.read("demo-1-1", "", controls.fill(official)).settings == official


def test_text_as_a_browser_sends_it_is_read(controls: Controls) -> None:
    form = controls.read(
        "demo-1-1", "", knobs(controls, fps="8", noise_aug_strength="0.1", playback_fps=" ", seed=" 7 ")
    )
    assert (form.settings.fps, form.settings.noise_aug_strength) == (8, 0.1)
    assert form.settings.playback_fps is None
    assert form.settings.seed == 7


def test_a_seed_beyond_what_javascript_counts_survives(controls: Controls) -> None:
    form = controls.read("demo-1-1", "", knobs(controls, seed=str(MAX_SEED)))
    assert controls.fill(form.settings)["seed"] == str(MAX_SEED)


def test_an_empty_seed_is_drawn(controls: Controls) -> None:
    seeds = {controls.read("demo-1-1", "", knobs(controls, seed="")).settings.seed for _ in range(3)}
    assert len(seeds) > 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fps", "fast"),
        ("motion_bucket_id", "NaN"),
        ("num_frames", "1e999"),
        ("seed", "-5"),
        ("width", ""),
        ("fit", []),
    ],
)
def test_a_wrong_value_gets_its_sentence_under_its_own_control(
    controls: Controls, name: str, value: object
) -> None:
    advice = controls.advise("demo-1-1", "", knobs(controls, **{name: value}))
    assert list(advice["errors"]) == [name]
    assert advice["errors"][name].startswith(KNOBS[name].label)


def test_a_size_the_network_cannot_make_is_refused_with_the_next_ones(controls: Controls) -> None:
    with pytest.raises(BadSettings, match="try") as refused:
        controls.read("svd", "", knobs(controls, width=1000))
    assert refused.value.field == "width"


def test_leaving_what_a_checkpoint_was_tuned_for_is_noted_at_the_knob(controls: Controls) -> None:
    advice = controls.advise("demo-1-1", "", knobs(controls, motion_bucket_id="154"))
    assert "127" in advice["notes"]["motion_bucket_id"][0]
    assert "motion bucket" in advice["differs"]
    assert controls.advise("demo-1-1", "", knobs(controls))["differs"] == ""


def test_a_preset_fills_the_knobs_and_keeps_the_seed(controls: Controls, lab: Lab) -> None:
    preset = next(p for p in lab.presets if "motion_bucket_id" in p.settings)
    filled = controls.refill("demo-1-1", preset.id, knobs(controls, seed="9", motion_bucket_id="3"))
    assert filled["motion_bucket_id"] == preset.settings["motion_bucket_id"]
    assert filled["seed"] == "9"


def test_another_checkpoint_brings_its_size_and_keeps_what_was_changed(controls: Controls) -> None:
    filled = controls.refill("svd-xt", "", knobs(controls, motion_bucket_id="154"))
    assert (filled["width"], filled["num_frames"]) == (1024, 25)
    assert filled["motion_bucket_id"] == 154


def test_reset_brings_the_preset_back(controls: Controls) -> None:
    filled = controls.reset("demo-1-1", "", knobs(controls, motion_bucket_id="154", fit="pad", seed="9"))
    assert (filled["motion_bucket_id"], filled["fit"], filled["seed"]) == (127, "crop", "9")


def test_two_checkpoints_share_one_set_of_knobs(lab: Lab) -> None:
    controls = built(lab, "a", "b")
    form = controls.read("svd-xt-image-decoder", "svd-xt-1-1", "", {"seed": "1"})
    assert [c.id for c in form.checkpoints] == ["svd-xt-image-decoder", "svd-xt-1-1"]
    assert controls.suited(form.checkpoints[1], form.settings).decoder == "temporal"


def test_weights_that_cannot_be_had_are_refused_with_the_way_to_them(controls: Controls) -> None:
    form = controls.read("svd-xt-1-1", "", {})
    with pytest.raises(CheckpointUnavailable) as refused:  # tests run with HF_HUB_OFFLINE
        controls.must_be_here(form)
    assert "checkpoint" in controls.problem(refused.value)["errors"]


def test_sentences_on_a_page_name_the_control_and_leave_file_names_alone() -> None:
    assert sentence(BadSettings("fps must be a whole number", "fps")) == "Frame rate must be a whole number."
    assert sentence(Exception("notes.txt is no picture")) == "notes.txt is no picture."


def test_where_time_is_lent_the_line_says_what_a_click_takes_of_it(lab: Lab) -> None:
    lab.quota = Quota(1.5, frozenset({"demo-1-0", "demo-1-1"}))
    one = built(lab)
    value = knobs(one)
    settings = one.read("demo-1-1", "", value).settings
    plan = lab.catalogue.get("demo-1-1"), settings
    assert one.advise("demo-1-1", "", value)["estimate"] == lab.quota.sentence([plan])
    pair = built(lab, "a", "b")
    both = [(lab.catalogue.get(id), settings) for id in ("demo-1-0", "demo-1-1")]
    assert pair.advise("demo-1-0", "demo-1-1", "", value)["estimate"] == lab.quota.sentence(both)


def test_loras_are_read_and_shown_by_id_and_stay_when_another_preset_is_chosen(
    controls: Controls, lab: Lab, tmp_path: Path
) -> None:
    path = tmp_path / "sway.safetensors"
    tensors = {"a.lora_A.weight": np.ones((2, 8), "f4"), "a.lora_B.weight": np.ones((8, 2), "f4")}
    safetensors.numpy.save_file(tensors, path)
    sha256 = lab.loras.add(path).sha256
    chosen = knobs(controls, _loras=[{"id": "sway", "strength": "0.5"}])
    form = controls.read("demo-1-1", "", chosen)
    assert form.loras == (Lora(sha256=sha256, strength=0.5),)
    shown = controls.fill(form.settings, added=form.loras)
    assert shown["_loras"] == [{"id": "sway", "strength": "0.5", "on": ""}]
    assert controls.refill("demo-1-1", "low-motion", chosen)["_loras"] == chosen["_loras"]
    assert controls.reset("demo-1-1", "", chosen)["_loras"] == chosen["_loras"]
    there = controls.first_advice("demo-1-1", "", chosen)["choices"]["loras"]
    assert there == [{"id": "sway", "said": "1 layer, rank 2"}]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([{"id": "sway", "strength": "nan"}], "A LoRA's strength must be a number from -10 to 10"),
        ([{"id": "../up", "strength": "1"}], "There is no LoRA '../up'"),
        ([{"id": "/etc/passwd"}], "A LoRA's strength must be|There is no LoRA"),
        ([{}] * 20, "A LoRA's strength must be a number"),
    ],
)
def test_loras_that_cannot_be_are_said_under_them(controls: Controls, given: Any, said: str) -> None:
    advice = controls.advise("demo-1-1", "", knobs(controls, _loras=given))
    assert re.match(said, advice["errors"]["loras"])


def test_of_two_sides_each_may_have_a_lora_of_its_own(lab: Lab, tmp_path: Path) -> None:
    pair = built(lab, "a", "b")
    found = {}
    for name, height in (("sway", 1), ("calm", 2)):
        path = tmp_path / f"{name}.safetensors"
        tensors = {"a.lora_A.weight": np.full((2, 8), height, "f4"), "a.lora_B.weight": np.ones((8, 2), "f4")}
        safetensors.numpy.save_file(tensors, path)
        found[name] = lab.loras.add(path).sha256
    sway, calm = found["sway"], found["calm"]
    rows = [
        {"id": "calm", "strength": "1", "on": ""},
        {"id": "sway", "strength": "0.5", "on": "a"},
        {"id": "sway", "strength": "2", "on": "b"},
    ]
    form = pair.read("demo-1-1", "demo-1-1", "", knobs(pair, _loras=rows))
    assert form.loras == (Lora(sha256=calm, strength=1),)
    assert form.own_loras == ((Lora(sha256=sway, strength=0.5),), (Lora(sha256=sway, strength=2),))
    assert pair.fill(form.settings, added=form.loras, own=form.own_loras)["_loras"] == rows
    sides = [(*form.loras, *own) for own in form.own_loras]
    assert loras.shared(sides) == (form.loras, *form.own_loras)
    *sides, value = PairControls(lab, "swap", ("a", "b")).turned("one", "two", {"fps": 7, "_loras": rows})
    assert sides == ["two", "one"]
    assert [row["on"] for row in value["_loras"]] == ["", "b", "a"]
    assert value["fps"] == 7
    twice = [{**rows[0], "id": "sway"}, rows[1]]
    advice = pair.advise("demo-1-1", "demo-1-1", "", knobs(pair, _loras=twice))
    assert advice["errors"]["loras"].startswith("One LoRA file was given twice")
    one = built(lab).read("demo-1-1", "", knobs(pair, _loras=rows[:2]))  # a page of one side knows no sides
    assert {lora.sha256 for lora in one.loras} == {calm, sway}
    assert one.own_loras == ()


@pytest.mark.parametrize("given", [None, "all", 3, [None, 4, "x"], {"id": "sway"}])
def test_what_is_no_list_of_loras_adds_none(controls: Controls, given: Any) -> None:
    assert controls.read("demo-1-1", "", knobs(controls, _loras=given)).loras == ()


def test_what_a_clip_takes_of_memory_stands_under_the_button(lab: Lab) -> None:
    asked = []

    def plan(checkpoints: Sequence[Checkpoint], settings: GenerationSettings) -> Plan:
        asked.append(([one.id for one in checkpoints], settings.num_frames))
        return Plan(4 * 10**9, {"sample": 3 * 10**9}, "streamed", "", 2, 14)

    one, pair = built(lab), built(lab, "a", "b")
    value = knobs(one)
    assert one.foresee("demo-1-1", "", value) == {"line": ""}  # nobody renders here
    lab.planner = plan
    said = {"line": "Takes 3.0 GB of 4.0 GB: weights streamed, decoded 2 frames at once."}
    assert one.foresee("demo-1-1", "", value) == said
    assert pair.foresee("demo-1-0", "demo-1-1", "", value) == said
    frames = one.read("demo-1-1", "", value).settings.num_frames
    assert asked == [(["demo-1-1"], frames), (["demo-1-0", "demo-1-1"], frames)]
    assert one.foresee("demo-1-1", "", knobs(one, width="13")) == {
        "line": ""
    }  # the advice says what is wrong


def test_strangers_have_nothing_counted_for_them(tmp_path: Path) -> None:
    with Lab(tmp_path / "public", environment=Environment(public=True)) as lab:
        lab.planner = lambda *_: pytest.fail("counted")
        one = built(lab)
        assert one.foresee("demo-1-1", "", knobs(one)) == {"line": ""}
