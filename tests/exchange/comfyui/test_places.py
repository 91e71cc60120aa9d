"""Where workflows stand: in what ComfyUI's server answers, as text in text, with numbers that are none."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from svdlab.exchange.comfyui.places import parsed, workflows_in
from tests.exchange.comfyui.told import SAMPLER, api, page, read, said, tells_the_clip

ITEM = [3, "0aa0", api(), {"extra_pnginfo": {"workflow": page()}}, ["7"]]
PLACES: dict[str, Any] = {
    "posted": {"prompt": api(), "client_id": "x"},
    "as text": {"prompt": json.dumps(api()), "workflow": json.dumps(page())},
    "the page's, saved": page(),
    "history": {"0aa0": {"prompt": ITEM, "outputs": {"7": {"gifs": []}}, "status": {"completed": True}}},
    "history, of several": {
        "0aa9": {"prompt": [2, "0aa9", {"1": {"class_type": "KSampler", "inputs": {}}}, {}, []]},
        "0aa0": {"prompt": ITEM},
    },
    "one item": {"prompt": ITEM, "outputs": {}},
    "the queue": {"queue_running": [ITEM], "queue_pending": []},
    "waiting in the queue": {"queue_running": [], "queue_pending": [ITEM]},
    "without what the page added": {"0aa0": {"prompt": ITEM[:3]}},
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_clip_is_found_there(place: Any) -> None:
    flows = [prompt or workflow for prompt, workflow in workflows_in({"": place})]
    for flow in flows[-1:]:
        tells_the_clip(flow)
    assert flows


@pytest.mark.parametrize("key", ["prompt", "workflow", "comment", "description", "svd"])
def test_it_is_found_under_any_key(key: str) -> None:
    assert [prompt or workflow for prompt, workflow in workflows_in({key: api()})]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", "5", '{"a": ' * 9000, "{" + "[" * 5000, '{"a": ' + "9" * 5000 + "}"]
)
def test_what_is_no_object_is_none(text: str) -> None:
    assert parsed(text) is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_lost_alone(number: float) -> None:
    flow = api()
    flow[SAMPLER]["inputs"]["cfg"] = number
    flow["2"]["is_changed"] = [number]
    read_back = parsed(json.dumps(flow))
    assert read_back is not None
    found = read(read_back)
    assert [one.knobs for one in found.lost] == [("max_guidance_scale",)]
    assert found.lost[0].sentence.startswith("cfg is ")
    left = said(found)
    assert left.pop("max_guidance_scale") is None
    assert left == {name: value for name, value in said(tells_the_clip(api())).items() if name in left}
