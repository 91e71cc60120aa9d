"""Every door of a public lab × who stands before it: nobody in particular, the owner, another visitor, the operator.

Doors are called as a page or a program calls them, straight at the server. A handler or route that is in no table here
fails a test: whoever adds one says who may.
"""

from __future__ import annotations

import itertools
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from gradio.routes import App

from svdlab.environment import Environment
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.lab.policy import REFUSALS
from svdlab.recipes.records import Comparison, Run
from svdlab.recipes.sweeps import Sweep
from svdlab.recipes.visitors import Visitor
from svdlab.recipes.votes import Scope
from svdlab.ui import build_app, launch
from svdlab.ui.identity import COOKIE, visitor_of
from tests.made import SMALL, make_pair, make_run, picture_of

SECRET = "what the operator alone knows"
ROLES: dict[str, dict[str, str]] = {
    "nobody": {},
    "owner": {"Cookie": f"{COOKIE}=the-secret-of-one-browser"},
    "another": {"Cookie": f"{COOKIE}=the-secret-of-another"},
    "operator": {"Authorization": f"Bearer {SECRET}"},
}
EVERYBODY, OWNERS, OPERATORS = tuple(ROLES), ("owner", "operator"), ("operator",)
PUBLIC = Environment(public=True, operator=SECRET, max_waiting=10_000)
_numbers = itertools.count(100)


@dataclass(frozen=True)
class Headers:
    """As much of a request as tells who sent it."""

    headers: dict[str, str]
    cookies: dict[str, str]


def visitor(role: str) -> Visitor:
    """Whom the server takes a role for."""
    sent = ROLES[role]
    name, _, value = sent.get("Cookie", "").partition("=")
    headers = {key.lower(): told for key, told in sent.items()}
    return visitor_of(PUBLIC, Headers(headers, {name: value} if value else {}))


class World:
    """A public lab that is served, and new things of the owner's in it."""

    def __init__(self, lab: Lab, address: str) -> None:
        self.lab, self.address, self.owner = lab, address, visitor("owner")
        self.read = make_run(lab, by=self.owner, latents=b"kept")
        self.second = make_run(lab, seed=8, by=self.owner)
        self.both = make_pair(lab, by=self.owner)
        self.old = replace(self.read, id="0199a0000000aaaaa", visitor=None)
        lab.history.adopt(self.old)
        self.places = {
            getattr(each.fn, "__qualname__", "").replace(".<locals>", ""): (place, len(each.inputs))
            for place, each in build_app(lab).fns.items()
        }

    def waiting(self) -> Run:
        """A run of the owner's that waits."""
        settings = self.lab.settings("demo-1-0", SMALL, seed=next(_numbers))
        recipe = self.lab.recipe("demo-1-0", self.lab.add_picture(picture_of(0)), settings)
        return self.lab.submit(recipe, by=self.owner)

    def ended(self) -> Run:
        """A run of the owner's that was interrupted."""
        run = self.waiting()
        desk = Desk(self.lab, only=[run.id])
        desk.claim()
        self.lab.history.finish(run.id, "interrupted")
        return self.lab.history.get(run.id)

    def binned(self) -> Run:
        """A run of the owner's in the bin."""
        run = self.ended()
        self.lab.delete([run.id])
        return run

    def sweeping(self) -> Sweep:
        """A sweep of the owner's that goes on."""
        seed = next(_numbers)
        grid = self.lab.sweeps.grid({"seed": [seed, seed + 1_000_000]})
        return self.lab.sweeps.submit(self.lab.sweeps.plan(self.read.recipe, grid), self.owner)

    def swept(self) -> Sweep:
        """A sweep of the owner's whose cell was rendered before."""
        grid = self.lab.sweeps.grid({"seed": [self.read.settings.seed]})
        return self.lab.sweeps.submit(self.lab.sweeps.plan(self.read.recipe, grid), self.owner)

    def waiting_pair(self) -> Comparison:
        """A comparison of the owner's that waits."""
        stored = self.lab.add_picture(picture_of(0))
        recipes = self.lab.comparison_recipes(stored, seed=next(_numbers), changes=SMALL)
        return self.lab.submit_comparison(*recipes, by=self.owner)

    def ended_pair(self) -> Comparison:
        """A comparison of the owner's whose sides were interrupted."""
        pair = self.waiting_pair()
        both = [pair.a.id, pair.b.id]
        Desk(self.lab, only=both).claim()
        for id in both:
            self.lab.history.finish(id, "interrupted")
        return self.lab.history.comparison(pair.id)

    def call(self, door: str, role: str, event: Any, data: list[Any]) -> str:
        """All that the server says to a call, as text."""
        place, inputs = self.places[door]
        session = f"t{next(_numbers)}"  # too short to be a secret
        body = {"data": [*data, *[None] * (inputs - len(data))], "event_data": event, "fn_index": place}
        join = self.request("gradio_api/queue/join", role, {**body, "session_hash": session})
        answers = []
        with urllib.request.urlopen(
            self.asked(f"gradio_api/queue/data?session_hash={session}", role)
        ) as told:
            id = json.loads(join)["event_id"]
            for line in told:
                message = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
                if message.get("event_id") == id and str(message.get("msg", "")).startswith("process_"):
                    answers.append(message.get("output"))
                    if message["msg"] == "process_completed":
                        return json.dumps(answers)
        raise AssertionError("the call was never completed")

    def asked(self, path: str, role: str, body: Any = None) -> urllib.request.Request:
        """A request of a role's."""
        sent = None if body is None else json.dumps(body).encode()
        return urllib.request.Request(
            self.address + path, sent, {"Content-Type": "application/json", **ROLES[role]}
        )

    def request(self, path: str, role: str, body: Any = None) -> str:
        """What the server answers."""
        with urllib.request.urlopen(self.asked(path, role, body)) as answer:
            return str(answer.read().decode())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Lab(tmp_path_factory.mktemp("doors") / "data", environment=PUBLIC) as lab:
        yield World(lab, launch(lab, port=None, block=False))


Try = Callable[[World, str], bool]  # calls a door as a role, and says whether it opened


def changes(door: str, make: Callable[[World], Any], event: Callable[[str], Any], state: str) -> Try:
    """A door that changes a new thing of the owner's: open if it was changed."""

    def attempt(world: World, role: str) -> bool:
        thing = make(world)
        world.call(door, role, event(thing.id), [])
        if isinstance(thing, Run):
            return _state(world.lab.history.get(thing.id)) == state
        after = world.lab.history.comparison(thing.id)
        return all(_state(run) == state for run in (after.a, after.b))

    return attempt


def _state(run: Run) -> str:
    if run.starred:
        return "starred"
    return "binned" if run.deleted is not None else run.state


def tells(
    door: str, what: Callable[[World], str], event: Any = None, data: Any = (), no: str = "There is no "
) -> Try:
    """A door that shows or lists something: open if the answer has it, and not the sentence of a refusal."""

    def attempt(world: World, role: str) -> bool:
        asked = event(world) if callable(event) else event
        said = world.call(door, role, asked, list(data(world) if callable(data) else data))
        return what(world) in said and no.lower() not in said.lower()

    return attempt


def lists(door: str, make: Callable[[World], Any], event: Any = None, data: Any = ()) -> Try:
    """A door that lists: open if a new thing of the owner's is in it."""

    def attempt(world: World, role: str) -> bool:
        thing = make(world)
        return thing.id in world.call(door, role, event, list(data))

    return attempt


def refused(door: str, event: Any, sentence: str, data: Any = ()) -> Try:
    """A door of the machine's: open if it does not say that."""

    def attempt(world: World, role: str) -> bool:
        return sentence.lower() not in world.call(door, role, event, list(data)).lower()

    return attempt


def run(id: str) -> dict[str, Any]:
    return {"run": id, "id": id, "ids": [id], "comparison": id, "what": "star", "value": True, "did": "mark"}


def sweep(of: Sweep, **more: Any) -> dict[str, Any]:
    return {"id": of.id, **more}


def pauses(world: World, role: str) -> bool:
    """Whether a sweep of the owner's was paused."""
    made = world.sweeping()
    world.call("SweepPage.control", role, sweep(made, what="pause"), [])
    return world.lab.history.sweep(made.id).state == "paused"


def votes(world: World, role: str) -> bool:
    """Whether an open ballot of the owner's could be voted on."""
    scope = Scope(runs=(world.read.id, world.second.id))
    shown = world.lab.booth.next(scope, f"sitting {next(_numbers)}", world.owner)
    assert shown is not None
    before = len(world.lab.history.votes(scope))
    world.call("Votes.vote", role, {"token": shown.token, "answer": "tie"}, [])
    return len(world.lab.history.votes(scope)) > before


def ballot(world: World, **scope: Any) -> dict[str, Any]:
    return {"scope": scope, "sitting": f"sitting {next(_numbers)}", "fresh": True}


def nothing(_: World) -> str:
    return ""


DOORS: dict[str, tuple[Try, tuple[str, ...]]] = {
    # what changes a run: its owner's alone
    "Explore.stop": (changes("Explore.stop", World.waiting, run, "cancelled"), OWNERS),
    "Explore.retry": (changes("Explore.retry", World.ended, run, "queued"), OWNERS),
    "Explore.resume": (changes("Explore.resume", World.ended, run, "queued"), OWNERS),
    "Compare.stop": (
        changes("Compare.stop", World.waiting_pair, lambda id: {"run": f"{id}:1"}, "cancelled"),
        OWNERS,
    ),
    "Compare.retry": (changes("Compare.retry", World.ended_pair, run, "queued"), OWNERS),
    "Compare.resume": (changes("Compare.resume", World.ended_pair, run, "queued"), OWNERS),
    "HistoryPage.mark": (changes("HistoryPage.mark", World.ended, run, "starred"), OWNERS),
    "HistoryPage.discard": (changes("HistoryPage.discard", World.ended, run, "binned"), OWNERS),
    "HistoryPage.take_back": (changes("HistoryPage.take_back", World.binned, run, "interrupted"), OWNERS),
    "RunPage.mark": (changes("RunPage.mark", World.ended, run, "starred"), OWNERS),
    "RunPage.discard": (changes("RunPage.discard", World.ended, run, "binned"), OWNERS),
    "RunPage.take_back": (changes("RunPage.take_back", World.binned, run, "interrupted"), OWNERS),
    "SweepPage.control": (pauses, OWNERS),
    # what lists
    "HistoryPage.find": (lists("HistoryPage.find", World.ended, {"query": {}}), OWNERS),
    "HistoryPage.open": (lists("HistoryPage.open", World.ended), OWNERS),
    "_runs.runs": (lists("_runs.runs", World.ended, data=[20]), OWNERS),
    "Explore.open": (lists("Explore.open", World.waiting), OWNERS),
    "Compare.open": (lists("Compare.open", World.waiting_pair), OWNERS),
    "SweepPage.open": (lists("SweepPage.open", World.sweeping), OWNERS),
    # what shows one thing to whoever was given its id
    "_clip.clip": (tells("_clip.clip", lambda w: "video.mp4", data=lambda w: [w.read.id]), EVERYBODY),
    "_cells.cells": (
        tells("_cells.cells", lambda w: '"state": "done"', data=lambda w: [w.swept().id]),
        EVERYBODY,
    ),
    "_run.run": (tells("_run.run", lambda w: w.read.id, data=lambda w: [w.read.id]), EVERYBODY),
    "Explore.pick": (
        tells("Explore.pick", lambda w: w.read.recipe.picture_sha256, lambda w: run(w.read.id)),
        EVERYBODY,
    ),
    "Explore.again": (tells("Explore.again", nothing, lambda w: run(w.read.id)), EVERYBODY),
    "Explore.decode": (tells("Explore.decode", nothing, lambda w: run(w.read.id)), EVERYBODY),
    "Compare.pick": (tells("Compare.pick", nothing, lambda w: run(w.both.id)), EVERYBODY),
    "Compare.again": (tells("Compare.again", nothing, lambda w: run(w.both.id)), EVERYBODY),
    "Compare.deliver": (
        tells("Compare.deliver", lambda w: "exports", lambda w: {**run(w.both.id), "kind": "mp4"}),
        EVERYBODY,
    ),
    "SweepPage.cut": (
        tells("SweepPage.cut", lambda w: "exports", lambda w: {"ids": [w.read.id], "side": 128}),
        EVERYBODY,
    ),
    "SweepPage.measure": (
        tells(
            "SweepPage.measure", lambda w: "camera_motion", lambda w: sweep(w.swept(), name="camera_motion")
        ),
        EVERYBODY,
    ),
    "SweepPage.deliver": (
        tells(
            "SweepPage.deliver",
            lambda w: "exports",
            lambda w: sweep(w.swept(), kind="csv", view={"columns": [0]}),
        ),
        EVERYBODY,
    ),
    "SweepPage.full": (
        tells("SweepPage.full", lambda w: '"kind": "sweep"', lambda w: sweep(w.swept(), numbers=[0])),
        EVERYBODY,
    ),
    "SweepPage.pair": (
        tells("SweepPage.pair", lambda w: "compare=", lambda w: {"ids": [w.read.id, w.second.id]}),
        EVERYBODY,
    ),
    "HistoryPage.weigh": (
        tells("HistoryPage.weigh", nothing, lambda w: {"ids": [w.read.id, w.second.id]}),
        EVERYBODY,
    ),
    "HistoryPage.pair": (
        tells("HistoryPage.pair", lambda w: "compare=", lambda w: {"ids": [w.read.id, w.second.id]}),
        EVERYBODY,
    ),
    "HistoryPage.export": (
        tells("HistoryPage.export", lambda w: "exports", lambda w: {"ids": [w.read.id], "as": "csv"}),
        EVERYBODY,
    ),
    # blind votes: whose run it is may be voted on by whoever has its id, an open ballot by whoever opened it
    "Votes.open": (tells("Votes.open", lambda w: "Demo 1.0 and Demo 1.1"), OWNERS),
    "Votes.next": (
        tells("Votes.next", lambda w: "token", lambda w: ballot(w, checkpoints=["demo-1-0", "demo-1-1"])),
        OWNERS,
    ),
    "Votes.reveal": (
        tells("Votes.reveal", lambda w: "headline", lambda w: ballot(w, runs=[w.read.id, w.second.id])),
        EVERYBODY,
    ),
    "Votes.vote": (votes, ("owner",)),
    # what is the machine's
    "HistoryPage.measure": (tells("HistoryPage.measure", lambda w: "free on that disk"), OPERATORS),
    "_fetch.fetch": (refused("_fetch.fetch", None, REFUSALS["fetch_weights"], ["svd"]), OPERATORS),
    "Models.get": (refused("Models.get", {"id": "svd"}, REFUSALS["fetch_weights"]), OPERATORS),
    "Models.cancel": (refused("Models.cancel", {"id": "svd"}, REFUSALS["fetch_weights"]), OPERATORS),
    "Models.add": (refused("Models.add", {"place": "/nothing"}, REFUSALS["change_weights"]), OPERATORS),
    "Models.remove": (refused("Models.remove", {"id": "svd"}, REFUSALS["change_weights"]), OPERATORS),
    "Models.check": (refused("Models.check", {"id": "demo-1-0"}, REFUSALS["read_weights"]), OPERATORS),
    "Models.contrast": (
        refused("Models.contrast", {"a": "demo-1-0", "b": "demo-1-1"}, REFUSALS["read_weights"]),
        OPERATORS,
    ),
}

# Handlers that name nothing of anybody's: they read the form, ask for something new, or show what everybody sees.
NOBODYS = {
    *(
        "_generate.generate",
        "_submit.submit",
        "_sweep.sweep",
        "_compare.compare",
        "_checkpoints.checkpoints",
        "_presets.presets",
    ),
    *("Controls.foresee", "Controls.refill", "Controls.advise", "Controls.first_advice", "Controls.reset"),
    *("SweepPage.take", "SweepPage.keep", "SweepPage.advise", "SweepPage.start"),
    *("PairControls.choose_preset", "PairControls.advise", "PairControls.turned"),
    *(
        "PictureBox.example",
        "Explore.choose_example",
        "Explore.take",
        "Compare.take",
        "Explore.generate",
        "Compare.start",
    ),
    "Models.open",
    "RunPage.open",  # by the address's query: see below
    *("Explore.follow", "Compare.follow"),  # what the server itself told the page to follow
}


def test_every_handler_has_its_row(world: World) -> None:
    assert set(world.places) - NOBODYS == DOORS.keys()


@pytest.mark.parametrize("door", DOORS)
def test_who_comes_in_at(world: World, door: str) -> None:
    attempt, allowed = DOORS[door]
    opened = tuple(role for role in ROLES if attempt(world, role))
    assert opened == tuple(role for role in ROLES if role in allowed)


PAGES = {  # address → whether whoever was given it sees what it names
    "run?run={read}": EVERYBODY,
    "run?run={old}": OPERATORS,  # 24 bits of chance: an address that could be found by trying
    "?run={read}": EVERYBODY,
    "?run={binned}": OWNERS,
    "compare?compare={both}": EVERYBODY,
    "history?wall={read},{second}": EVERYBODY,
    "history?wall={read},{old}": OPERATORS,
    "sweep?sweep={swept}": EVERYBODY,
    "sweep?from={old}": OPERATORS,
}
OPENERS = {
    "run": "RunPage.open",
    "": "Explore.open",
    "compare": "Compare.open",
    "history": "HistoryPage.open",
    "sweep": "SweepPage.open",
}


@pytest.mark.parametrize("address", PAGES)
def test_who_sees_what_an_address_names(world: World, address: str) -> None:
    binned = world.binned()
    names = {
        "read": world.read,
        "old": world.old,
        "binned": binned,
        "both": world.both,
        "second": world.second,
        "swept": world.swept(),
    }
    page, _, query = address.format(**{name: thing.id for name, thing in names.items()}).partition("?")
    place, inputs = world.places[OPENERS[page]]
    opened = []
    for role in ROLES:
        session = f"t{next(_numbers)}"
        body = {"data": [None] * inputs, "fn_index": place, "session_hash": session}
        world.request(f"gradio_api/queue/join?{query}", role, body)
        said = ""
        with urllib.request.urlopen(
            world.asked(f"gradio_api/queue/data?session_hash={session}", role)
        ) as told:
            for line in told:
                said += line.decode()
                if b"process_completed" in line:
                    break
        if "There is no " not in said:
            opened.append(role)
    assert tuple(opened) == PAGES[address]


def test_nothing_is_called_around_the_queue(world: World) -> None:
    waiting = world.waiting()
    place, _ = world.places["Explore.stop"]
    body = {"data": [], "event_data": {"run": waiting.id}, "fn_index": place, "session_hash": "around-it"}
    for path in ("run/stop", "api/stop", "call/stop", "run/predict"):
        with suppress(urllib.error.HTTPError):
            world.request(f"gradio_api/{path}", "another", body)
    assert world.lab.history.get(waiting.id).state == "queued"


@pytest.mark.parametrize(("thing", "allowed"), [("read", EVERYBODY), ("old", OPERATORS)])
def test_who_follows_a_run_on_the_stream(world: World, thing: str, allowed: tuple[str, ...]) -> None:
    opened = []
    for role in ROLES:
        with suppress(urllib.error.HTTPError):
            told = world.request(f"events?id={getattr(world, thing).id}", role)
            opened += [role] if '"kind":"done"' in told.replace(" ", "") else []
    assert tuple(opened) == allowed


def test_a_visitors_marks_are_its_own(world: World) -> None:
    marked = world.ended()
    world.lab.history.note(marked.id, "what I think of it")
    for role in ROLES:
        world_said = world.call("RunPage.mark", role, {"id": marked.id, "what": "nothing"}, [])
        assert ("what I think of it" in world_said) == (role in OWNERS), role


# Every route that is served → how a plain GET of it ends. CLOSED ones are of no use to the lab; what is not here takes
# POST alone, or tells what an unguessable session or event is told (TOLD).
CLOSED = dict.fromkeys(
    (
        *("/monitoring", "/monitoring/summary", "/monitoring/{key}", "/gradio_api/deep_link"),
        *("/gradio_api/dev/reload", "/gradio_api/runs", "/gradio_api/proxy={url_path:path}"),
        "/gradio_api/stream/{session_hash}/{run}/{component_id}/playlist.m3u8",
        "/gradio_api/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}",
        "/gradio_api/stream/{session_hash}/{run}/{component_id}/playlist-file",
        "/gradio_api/vibe-code",
        *("/gradio_api/run-history/buckets", "/gradio_api/run-history/records"),
        "/gradio_api/run-history/records/{endpoint}/{record_id}/assets/{asset_id}",
    ),
    404,
)
ROUTES: dict[str, int] = {
    **dict.fromkeys(("/", "/run", "/compare", "/sweep", "/vote", "/history", "/models", "/config"), 200),
    **dict.fromkeys(("/theme.css", "/robots.txt", "/favicon.ico", "/manifest.json", "/openapi.json"), 200),
    **dict.fromkeys(("/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/theme.css"), 200),
    **dict.fromkeys(("/gradio_api/user", "/gradio_api/login_check", "/gradio_api/token"), 200),
    **dict.fromkeys(("/gradio_api/app_id", "/gradio_api/queue/status", "/gradio_api/startup-events"), 200),
    **dict.fromkeys(("/svelte/{path:path}", "/static/{path:path}", "/assets/{path:path}", "/pwa_icon"), 404),
    **dict.fromkeys(("/gradio_api/file={path_or_url:path}", "/gradio_api/file/{path:path}"), 403),
    **dict.fromkeys(("/pwa_icon/{size}",), 422),
    "/gradio_api/custom_component/{id}/{environment}/{type}/{file_name}": 422,
    "/logout": 200,  # leads to the first page
    **CLOSED,
}
TOLD = {
    *("/gradio_api/heartbeat/{session_hash}", "/gradio_api/queue/data", "/gradio_api/upload_progress"),
    *("/gradio_api/call/{api_name}/{event_id}", "/gradio_api/call/v2/{api_name}/{event_id}"),
}


def test_every_route_has_its_row_and_is_alike_for_everybody(world: World) -> None:
    served = App.create_app(build_app(world.lab)).routes
    inner = [
        route for outer in served for route in getattr(getattr(outer, "original_router", None), "routes", ())
    ]
    paths = {
        route.path.rstrip("/") or "/"
        for route in (*served, *inner)
        if "GET" in (getattr(route, "methods", None) or ())
    }
    assert paths - TOLD == ROUTES.keys()
    for path, status in ROUTES.items():
        for role in ROLES:
            try:
                world.request(re.sub(r"\{[^}]*\}", "x", path).lstrip("/"), role)
                answered = 200
            except urllib.error.HTTPError as error:
                answered = error.code
                error.close()
            assert answered == status, (path, role)
