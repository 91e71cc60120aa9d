"""Named endpoints for programs: /generate, /compare, /submit, /sweep, /cells, /clip, /runs, /run, /checkpoints, /fetch,
/presets.

/generate and /compare answer when the clip is there; waiting costs the server a task and a wake-up. /submit answers
at once with the run's id; `GET /events?id=…` follows it and /clip fetches what became of it. Every argument arrives as
it was sent and is checked by the lab, so that a wrong one gets its sentence. One parameter per knob, made from `KNOBS`.
Knows the lab; nothing of the pages.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Literal

import gradio as gr
from gradio.data_classes import FileData

from svdlab.errors import BadInput, BadPicture, NotFound, SvdlabError
from svdlab.exchange.pair_export import file_name, write_pair
from svdlab.lab.lab import Lab
from svdlab.lab.visit import Visit
from svdlab.lab.watching import Watching
from svdlab.recipes.loras import Lora
from svdlab.recipes.records import Comparison, Run
from svdlab.recipes.settings import KNOBS, Knob
from svdlab.ui.handover import hand_over
from svdlab.ui.identity import visit_of
from svdlab.ui.parts.picture import uploaded
from svdlab.weights.availability import availability

MOST_RUNS = 200
SWEEP_HINTS: dict[str, Any] = {
    "axes": dict,
    "together": list | None,
    "skip": list | None,
    "dry_run": bool | None,
}
LORA_HINTS: dict[str, Any] = {"loras": list | None}
CLIP_CHOICES = ("checkpoint", "preset", "loras")


def build(lab: Lab, watching: Watching) -> None:
    """Adds the endpoints to the app being built."""
    waiting = (_generate(lab, watching), _compare(lab, watching))
    for function in (
        *waiting,
        _submit(lab),
        _sweep(lab),
        _cells(lab),
        _clip(lab),
        _runs(lab),
        _run(lab),
        _checkpoints(lab),
        _fetch(lab),
        _presets(lab),
    ):
        gr.api(function, api_name=function.__name__)


def told(call: Callable[[], Any]) -> Any:
    """The call's answer; the lab's sentences become the error the caller reads, word for word."""
    try:
        return call()
    except SvdlabError as error:
        raise gr.Error(str(error), print_exception=False) from None


def file_of(value: Any) -> Any:
    """The path of a file argument (`handle_file(...)`). Raises `BadPicture`."""
    if isinstance(value, dict):
        value = value.get("path")
    if not isinstance(value, str) or not value:
        raise BadPicture("picture must be a file; send it with gradio_client's handle_file")
    return uploaded(value)


def answer(path: Any) -> dict[str, Any]:
    """A file as an endpoint returns it."""
    return {"path": str(path), "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}


def run_summary(run: Run) -> dict[str, Any]:
    """A run as JSON."""
    return {
        "id": run.id,
        "state": run.state,
        "created": run.created,
        "error": run.error,
        "preset": run.preset,
        "comparison": run.comparison,
        "recipe": run.recipe.model_dump(mode="json"),
        "device": run.outcome.device,
        "seconds": run.outcome.seconds,
        "noise_sha256": run.outcome.noise_sha256,
    }


def comparison_summary(lab: Lab, pair: Comparison) -> dict[str, Any]:
    """A finished comparison as JSON."""
    fairness = lab.fairness(pair)
    return {
        "id": pair.id,
        "a": pair.a.recipe.model_dump(mode="json"),
        "b": pair.b.recipe.model_dump(mode="json"),
        "fairness": {
            "fair": fairness.fair,
            "same_picture": fairness.same_picture,
            "same_settings": fairness.same_settings,
            "same_noise": fairness.same_noise,
            "shared_frames": fairness.shared_frames,
            "subject": fairness.subject,
            "differences": list(fairness.differences),
            "remarks": list(fairness.remarks),
        },
        "noise_sha256": {"a": pair.a.outcome.noise_sha256, "b": pair.b.outcome.noise_sha256},
        "metrics": {"a": pair.a.outcome.metrics, "b": pair.b.outcome.metrics},
    }


def with_knobs(
    function: Callable[..., Any], *choices: str, returns: Any, hints: Mapping[str, Any] = MappingProxyType({})
) -> Callable[..., Any]:
    """Gives a function the signature Gradio reads: who asks, a picture, `choices`, a parameter per knob.

    `choices` are ids, but for those that have another hint.
    """
    knobs = [_parameter(knob.name, _hint(knob)) for knob in KNOBS.values()]
    picture = inspect.Parameter("picture", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=FileData)
    asking = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request)
    parameters = [
        asking,
        picture,
        *(_parameter(name, hints.get(name, str | None)) for name in choices),
        *knobs,
    ]
    function.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": returns}
    return function


def _parameter(name: str, hint: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=hint)


def _hint(knob: Knob) -> Any:
    if knob.kind == "choice":
        return Literal[knob.choices] | None
    if knob.name == "seed":
        return int | str | None
    return (int if knob.kind == "int" else float) | None


def _changes(knobs: tuple[Any, ...]) -> tuple[Any, dict[str, Any]]:
    """The seed, and what else was given."""
    changes = {name: value for name, value in zip(KNOBS, knobs, strict=False) if value is not None}
    return changes.pop("seed", None), changes


async def _over(lab: Lab, watching: Watching, *ids: str) -> list[Run]:
    """The runs once they have ended. Raises `gr.Error` where one failed."""
    try:
        async for _ in watching.watch(*ids):
            pass
    except asyncio.CancelledError:  # who asked is gone; the run goes on
        raise gr.Error("nobody waits for this any more", print_exception=False) from None
    return await asyncio.to_thread(told, lambda: lab.ended(*ids))


def _generate(lab: Lab, watching: Watching) -> Callable[..., Any]:
    async def generate(
        request: gr.Request,
        picture: Any,
        checkpoint: Any = None,
        preset: Any = None,
        loras: Any = None,
        *knobs: Any,
    ) -> Any:
        asked = (picture, checkpoint, preset, loras, knobs)
        run: Run = await asyncio.to_thread(_asked, visit_of(lab, request), *asked)
        [run] = await _over(lab, watching, run.id)
        return answer(run.video), run.recipe.model_dump(mode="json")

    generate.__doc__ = (
        "A picture in, a video and its recipe out. Knobs that are not given keep the checkpoint's official value, "
        "or the preset's. The seed may be 'random', which it also is when it is not given. loras are ids of LoRAs "
        "that were added to the lab, each with its strength behind it or not: ['tdd:0.8']."
    )
    return with_knobs(generate, *CLIP_CHOICES, returns=tuple[FileData, dict], hints=LORA_HINTS)


def _submit(lab: Lab) -> Callable[..., Any]:
    def submit(
        request: gr.Request,
        picture: Any,
        checkpoint: Any = None,
        preset: Any = None,
        loras: Any = None,
        *knobs: Any,
    ) -> Any:
        run = _asked(visit_of(lab, request), picture, checkpoint, preset, loras, knobs)
        return run_summary(run) | {"events": f"/events?id={run.id}"}

    submit.__doc__ = (
        "As /generate, but that it answers at once with the run's id. GET its 'events' address to follow it as "
        "server-sent events, or ask /run now and then; /clip has the video when its state is 'done'."
    )
    return with_knobs(submit, *CLIP_CHOICES, returns=dict, hints=LORA_HINTS)


def _asked(
    visit: Visit, picture: Any, checkpoint: Any, preset: Any, loras: Any, knobs: tuple[Any, ...]
) -> Run:
    seed, changes = _changes(knobs)

    def asked() -> Run:
        added = _loras(visit.lab, loras)
        return visit.order(file_of(picture), checkpoint, preset, seed, added, **changes)

    run: Run = told(asked)
    return run


def _loras(lab: Lab, given: Any) -> tuple[Lora, ...]:
    """LoRAs by id. Raises `BadInput`, `NotFound`: a file of this machine is nobody's to name from outside."""
    return lab.loras.chosen(_texts(given, "loras"), files=False)


def _sweep(lab: Lab) -> Callable[..., Any]:
    def sweep(
        request: gr.Request,
        picture: Any,
        axes: Any = None,
        together: Any = None,
        skip: Any = None,
        dry_run: Any = None,
        checkpoint: Any = None,
        preset: Any = None,
        loras: Any = None,
        *knobs: Any,
    ) -> Any:
        (seed, changes), visit = _changes(knobs), visit_of(lab, request)

        def asked() -> dict[str, Any]:
            grid = lab.sweeps.grid(_axes(axes), _names(together), _texts(skip, "skip"))
            added = _loras(lab, loras)
            base = lab.recipe_of(file_of(picture), checkpoint, preset, seed, changes, added)
            plan = visit.plan_sweep(base, grid, preset, told=changes)
            told_first = plan.summary()
            if dry_run:
                return told_first
            made = visit.submit_sweep(plan)
            return told_first | {"id": made.id, "state": made.state}

        return told(asked)

    sweep.__doc__ = (
        "A picture and axes in, a grid of runs out: answers at once with the sweep's id and how many of its cells were "
        "rendered before, are refused and why. axes has for each name of a knob, 'checkpoint', 'lora' or 'preset' its "
        'values, as a list or as text: {"motion_bucket_id": "1..255[6]", "seed": [1, 2]}. together names axes that '
        'change together, [["fps", "motion_bucket_id"]]; skip leaves cells out, ["fps>8 seed=1"]. With dry_run nothing '
        "is rendered. Ask /cells how far it is."
    )
    return with_knobs(
        sweep,
        "axes",
        "together",
        "skip",
        "dry_run",
        *CLIP_CHOICES,
        returns=dict,
        hints=SWEEP_HINTS | LORA_HINTS,
    )


def _axes(given: Any) -> dict[str, Any]:
    """Axes by name. Raises `BadInput`; a picture is no name of a file here, but one that is kept."""
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise BadInput('axes must be names with their values, as in {"seed": "1..4", "fps": [6, 8]}')
    if "picture" in given:
        raise BadInput("pictures are no axis of this endpoint; ask for a sweep of each")
    return {name: values if isinstance(values, list) else str(values) for name, values in given.items()}


def _names(given: Any) -> list[list[str]]:
    """Groups of axes that change together. Raises `BadInput`."""
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(one, list) for one in given):
        raise BadInput('together must be lists of names, as in [["fps", "motion_bucket_id"]]')
    return [_texts(one, "together") for one in given]


def _texts(given: Any, name: str) -> list[str]:
    """A list of texts. Raises `BadInput`."""
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise BadInput(f"{name} must be a list of texts")
    return given


def _cells(lab: Lab) -> Callable[..., Any]:
    def cells(request: gr.Request, id: str) -> dict:
        """How far a sweep is, and each of its cells: its values, its state and the run that /clip and /run know."""

        def found() -> dict[str, Any]:
            made = visit_of(lab, request).sweep(_text(id))
            standing = lab.sweeps.standing(made.id)
            return {
                "id": made.id,
                "state": made.state,
                "counts": standing.counts,
                "seconds_left": standing.seconds_left,
                "cells": [
                    {
                        "number": cell.number,
                        "values": dict(made.grid.cell(made.grid.place(cell.number)).values),
                        "state": cell.state,
                        "run": cell.run,
                        "error": cell.said or None,
                    }
                    for cell in standing.cells
                ],
            }

        answer: dict[str, Any] = told(found)
        return answer

    return cells


def _clip(lab: Lab) -> Callable[..., Any]:
    def clip(request: gr.Request, id: str) -> tuple[FileData, dict]:
        """The video and the recipe of a run that is done."""
        run = told(lambda: visit_of(lab, request).run(_text(id)))
        if not run.done:
            raise gr.Error(f"there is no video of run {run.id}: it is {run.state}", print_exception=False)
        return answer(run.video), run.recipe.model_dump(mode="json")

    return clip


def _compare(lab: Lab, watching: Watching) -> Callable[..., Any]:
    async def compare(
        request: gr.Request,
        picture: Any,
        a: Any = None,
        b: Any = None,
        preset: Any = None,
        loras: Any = None,
        *knobs: Any,
    ) -> Any:
        (seed, changes), visit = _changes(knobs), visit_of(lab, request)

        def asked() -> Comparison:
            return visit.order_comparison(file_of(picture), a, b, preset, seed, _loras(lab, loras), **changes)

        def written(id: str) -> Any:
            pair = visit.comparison(id)
            path = hand_over(file_name(pair), lambda path: write_pair(lab, pair, path))
            return answer(path), comparison_summary(lab, pair)

        pair: Comparison = await asyncio.to_thread(told, asked)
        await _over(lab, watching, pair.a.id, pair.b.id)
        return await asyncio.to_thread(told, lambda: written(pair.id))

    compare.__doc__ = (
        "A picture in, two checkpoints side by side out: the labelled MP4, and both recipes with what was measured. "
        "Without a and b it is the best pair of 1.0 and 1.1 that is here. Both sides get the same noise "
        "and the same loras."
    )
    return with_knobs(compare, "a", "b", "preset", "loras", returns=tuple[FileData, dict], hints=LORA_HINTS)


def _runs(lab: Lab) -> Callable[..., Any]:
    def runs(request: gr.Request, limit: int = 20) -> list:
        """The latest runs, newest first; on a public lab those that whoever calls has asked for."""
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_RUNS:
            raise gr.Error(f"limit must be a whole number from 1 to {MOST_RUNS}", print_exception=False)
        return [run_summary(run) for run in visit_of(lab, request).latest_runs(limit)]

    return runs


def _run(lab: Lab) -> Callable[..., Any]:
    def run(request: gr.Request, id: str) -> dict:
        """One run by its id."""
        found: dict[str, Any] = told(lambda: run_summary(visit_of(lab, request).run(_text(id))))
        return found

    return run


def _text(id: Any) -> str:
    """An id as it was sent. Raises `NotFound`."""
    if not isinstance(id, str):
        raise NotFound(f"there is no run {str(id)[:40]!r}")
    return id


def _checkpoints(lab: Lab) -> Callable[..., Any]:
    def checkpoints() -> list:
        """The catalogue, and what of it is here."""
        return [
            {
                "id": c.id,
                "name": c.name,
                "version": c.version,
                "summary": c.summary,
                "native_frames": c.native_frames,
                "width": c.width,
                "height": c.height,
                "size_step": c.size_step,
                "official": dict(c.official),
                "state": (here := availability(c)).state,
                "sentence": here.sentence,
                "licence": c.licence,
                "licence_url": c.licence_url,
                "limits": list(c.limits),
            }
            for c in lab.catalogue
        ]

    return checkpoints


def _fetch(lab: Lab) -> Callable[..., Any]:
    def fetch(request: gr.Request, checkpoint: str, login: gr.OAuthToken | None = None) -> dict:
        """Fetches a checkpoint's weights in the background; ask again to see how far it is.

        Weights whose terms must be accepted first are fetched with the caller's own Hugging Face login, which is used
        for that and kept nowhere.
        """

        def started() -> dict[str, Any]:
            wanted = lab.catalogue.get(_text(checkpoint))
            here = availability(wanted)
            if here.ready:
                return {"checkpoint": wanted.id, "state": here.state, "sentence": here.sentence}
            if (
                login is None or not wanted.source.gated
            ):  # a login opens what an account was granted, nothing more
                visit_of(lab, request).require("fetch_weights")
            return asdict(lab.downloads.start(wanted, login.token if login else None))

        found: dict[str, Any] = told(started)
        return found

    return fetch


def _presets(lab: Lab) -> Callable[..., Any]:
    def presets() -> list:
        """The presets: what each changes and what to look for."""
        return [preset.model_dump(mode="json") for preset in lab.presets]

    return presets
