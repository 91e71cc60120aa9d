"""One clip, told in many ways: workflows made of the first case, and what every one of them has to say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from svdlab.exchange.comfyui import Reading, read_workflow
from svdlab.weights.catalogue import Catalogue

CASES = Path(__file__).parent.parent / "comfyui_cases"
EXPECTED: dict[str, dict[str, Any]] = json.loads((CASES / "expected.json").read_text())
CLIP = EXPECTED["base_api.json"]  # the clip that all of them make

LOADER, PICTURE, CONDITIONING, GUIDANCE, SAMPLER, DECODER, SAVER = (str(id) for id in range(1, 8))

Flow = dict[str, Any]


def api() -> Flow:
    """The clip as ComfyUI's server is sent it: nodes by id, inputs by name."""
    flow: Flow = json.loads((CASES / "base_api.json").read_text())
    return flow


def page() -> Flow:
    """The same as ComfyUI's page keeps it."""
    flow: Flow = json.loads((CASES / "base_ui.json").read_text())
    return flow


def node(type: str, /, **inputs: Any) -> Flow:
    """A node of the API format."""
    return {"class_type": type, "inputs": inputs}


def on_page(flow: Flow, id: int) -> Flow:
    """A node of the page's format."""
    found: Flow = next(node for node in flow["nodes"] if node["id"] == id)
    return found


def add(flow: Flow, id: int, type: str, values: Any = None, outputs: str = "", **more: Any) -> Flow:
    """Puts a node onto the page; `outputs` are types."""
    slots = [{"name": kind, "type": kind, "links": []} for kind in outputs.split()]
    new = {
        "id": id,
        "type": type,
        "mode": 0,
        "inputs": [],
        "outputs": slots,
        "widgets_values": values or [],
        **more,
    }
    flow["nodes"].append(new)
    return new


def link(
    flow: Flow, source: tuple[int, int], target: int, name: str, kind: str, widget: bool = False
) -> None:
    """Draws a link on the page, in place of the one that leads there now."""
    number = 1 + max([one[0] for one in flow["links"]], default=0)
    inputs = on_page(flow, target)["inputs"]
    socket = next((one for one in inputs if one["name"] == name), None)
    if socket is None:
        socket = {"name": name, "type": kind} | ({"widget": {"name": name}} if widget else {})
        inputs.append(socket)
    flow["links"] = [one for one in flow["links"] if one[0] != socket.get("link")]
    socket["link"] = number
    flow["links"].append([number, *source, target, inputs.index(socket), kind])


def read(flow: Any) -> Reading:
    """What a workflow in either format says."""
    return read_workflow(flow, None, Catalogue())


def said(reading: Reading) -> dict[str, Any]:
    """What is said of the clip."""
    return {name: reading.knobs.get(name) for name in CLIP} | {"checkpoint": reading.checkpoint}


def tells_the_clip(flow: Any) -> Reading:
    """Asserts that the workflow says all of the clip and that nothing was lost on the way."""
    reading = read(flow)
    assert said(reading) == CLIP
    assert reading.lost == ()
    return reading
