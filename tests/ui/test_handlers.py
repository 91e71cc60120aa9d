"""Whatever a page or a program sends, every handler answers, or says in one sentence why not; never nothing at all."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from svdlab.lab.lab import Lab
from svdlab.ui import build_app, launch

FOREIGN = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}
VALUES = {
    "nothing": None,
    "a foreign file": FOREIGN,
    "a foreign path": {"path": "/etc/hostname", "sha256": "/etc/hostname", "on": "/etc"},
    "a word": "nothing",
    "a list": ["nothing", 7, None],
    "what is almost right": {"id": "nothing", "run": "nothing", "seed": [], "width": {}, "asked": 1.0},
}
EVENTS = {
    "nothing": None,
    "an empty one": {},
    "a foreign file": FOREIGN,
    "a foreign path": {"path": "/etc/hostname", "name": "hostname"},
    "a list": ["nothing"],
    "ids of nothing": {
        **dict.fromkeys(("id", "run", "comparison", "place", "example", "a", "b"), "nothing"),
        **{
            "ids": ["nothing", 7],
            "what": "star",
            "value": [],
            "query": 7,
            "kind": "exe",
            "as": "exe",
            "chunk": [],
        },
    },
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Lab(tmp_path_factory.mktemp("handlers") / "data") as lab:
        yield launch(lab, port=None, block=False)


@pytest.fixture(scope="module")
def handlers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str, int]]:
    """Place, name and number of inputs of every handler there is."""
    with Lab(tmp_path_factory.mktemp("built") / "data") as lab:
        return [
            (place, getattr(each.fn, "__qualname__", ""), len(each.inputs))
            for place, each in build_app(lab).fns.items()
            if each.fn
        ]


def ask(address: str, place: int, data: list[Any], event: Any) -> dict[str, Any]:
    """What a page gets to see: the last message of a call."""
    session = f"test-{place}"
    call = {"data": data, "event_data": event, "fn_index": place, "trigger_id": None, "session_hash": session}
    request = urllib.request.Request(
        f"{address}gradio_api/queue/join", json.dumps(call).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as joined:
        id = json.load(joined)["event_id"]
    with urllib.request.urlopen(f"{address}gradio_api/queue/data?session_hash={session}") as answers:
        for line in answers:
            message = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
            if message.get("msg") == "process_completed" and message.get("event_id") == id:
                return message
    raise AssertionError("the call was never completed")


@pytest.mark.parametrize("kind", VALUES)
def test_every_handler_answers_whatever_the_page_holds(
    address: str, handlers: list[tuple[int, str, int]], kind: str
) -> None:
    assert len(handlers) > 40
    wordless = []
    for place, name, inputs in handlers:
        answer = ask(address, place, [VALUES[kind]] * inputs, {})
        if not answer["success"] and not answer["output"]["error"]:
            wordless.append(name)
    assert wordless == []


@pytest.mark.parametrize("kind", EVENTS)
def test_every_handler_answers_whatever_was_triggered(
    address: str, handlers: list[tuple[int, str, int]], kind: str
) -> None:
    wordless = []
    for place, name, inputs in handlers:
        answer = ask(address, place, [None] * inputs, EVENTS[kind])
        if not answer["success"] and not answer["output"]["error"]:
            wordless.append(name)
    assert wordless == []


def test_an_event_that_names_a_file_of_this_machine_leaves_no_traceback(
    address: str, handlers: list[tuple[int, str, int]], capfd: pytest.CaptureFixture[str]
) -> None:
    place = next(place for place, name, _ in handlers if name == "RunPage.mark")
    for event in (FOREIGN, EVENTS["a foreign path"]):
        answer = ask(address, place, [], event)
        assert answer["output"]["error"] == "that file was not uploaded here; send it again"
    assert "Traceback" not in capfd.readouterr().err


def test_too_few_arguments_get_a_sentence(address: str, handlers: list[tuple[int, str, int]]) -> None:
    place = next(place for place, name, _ in handlers if name.endswith("generate") and "_generate" in name)
    answer = ask(address, place, [], None)
    assert "argument" in answer["output"]["error"]


def test_a_file_that_was_not_uploaded_is_refused_in_a_sentence(
    address: str, handlers: list[tuple[int, str, int]], capfd: pytest.CaptureFixture[str]
) -> None:
    ends = ("_generate.<locals>.generate", "_compare.<locals>.compare")
    taking = [(place, inputs) for place, name, inputs in handlers if name.endswith(ends)]
    assert len(taking) == 2
    for place, inputs in taking:
        answer = ask(address, place, [FOREIGN, *[None] * (inputs - 1)], None)
        assert answer["output"]["error"] == "that file was not uploaded here; send it again"
    assert "Traceback" not in capfd.readouterr().err
