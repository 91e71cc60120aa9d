"""Named endpoints for programs: /generate, /compare, /runs, /run, /checkpoints, /fetch, /presets.

Every argument arrives as it was sent and is checked by the lab, so that a wrong one gets its sentence. One
parameter per knob, made from `KNOBS`. Knows the lab; nothing of the pages.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import gradio as gr
from gradio.data_classes import FileData

from svdlab.errors import BadPicture, NotFound, SvdlabError
from svdlab.exchange.pair_export import file_name, write_pair
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Comparison, Run
from svdlab.recipes.settings import KNOBS, Knob
from svdlab.ui.handover import hand_over
from svdlab.ui.parts.picture import uploaded
from svdlab.weights.availability import availability

TOGETHER = 16  # calls of /generate, and of /compare, that may wait at a time; the lab's own queue orders them
MOST_RUNS = 200


def build(lab: Lab) -> None:
    """Adds the endpoints to the app being built."""
    gr.api(_generate(lab), api_name="generate", concurrency_limit=TOGETHER)
    gr.api(_compare(lab), api_name="compare", concurrency_limit=TOGETHER)
    for function in (_runs(lab), _run(lab), _checkpoints(lab), _fetch(lab), _presets(lab)):
        gr.api(function, api_name=function.__name__, concurrency_limit=None)


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


def with_knobs(function: Callable[..., Any], *choices: str) -> Callable[..., Any]:
    """Gives a function the signature Gradio reads: a picture, `choices` by id, one optional parameter per knob."""
    knobs = [_parameter(knob.name, _hint(knob)) for knob in KNOBS.values()]
    picture = inspect.Parameter("picture", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=FileData)
    parameters = [picture, *(_parameter(name, str | None) for name in choices), *knobs]
    returns = tuple[FileData, dict]
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


def _generate(lab: Lab) -> Callable[..., Any]:
    def generate(picture: Any, checkpoint: Any = None, preset: Any = None, *knobs: Any) -> Any:
        seed, changes = _changes(knobs)
        run: Run = told(lambda: lab.generate(file_of(picture), checkpoint, preset, seed, **changes))
        return answer(run.video), run.recipe.model_dump(mode="json")

    generate.__doc__ = (
        "A picture in, a video and its recipe out. Knobs that are not given keep the checkpoint's official value, "
        "or the preset's. The seed may be 'random', which it also is when it is not given."
    )
    return with_knobs(generate, "checkpoint", "preset")


def _compare(lab: Lab) -> Callable[..., Any]:
    def compare(picture: Any, a: Any = None, b: Any = None, preset: Any = None, *knobs: Any) -> Any:
        seed, changes = _changes(knobs)
        pair: Comparison = told(lambda: lab.compare(file_of(picture), a, b, preset, seed, **changes))
        video = told(lambda: hand_over(file_name(pair), lambda path: write_pair(lab, pair, path)))
        return answer(video), comparison_summary(lab, pair)

    compare.__doc__ = (
        "A picture in, two checkpoints side by side out: the labelled MP4, and both recipes with what was measured. "
        "Without a and b it is the best pair of 1.0 and 1.1 that is here. Both sides get the same noise."
    )
    return with_knobs(compare, "a", "b", "preset")


def _runs(lab: Lab) -> Callable[..., Any]:
    def runs(limit: int = 20) -> list:
        """The latest runs, newest first."""
        told(lambda: lab.policy.require("see_all_runs"))
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_RUNS:
            raise gr.Error(f"limit must be a whole number from 1 to {MOST_RUNS}", print_exception=False)
        return [run_summary(run) for run in lab.history.runs(limit)]

    return runs


def _run(lab: Lab) -> Callable[..., Any]:
    def run(id: str) -> dict:
        """One run by its id."""
        if not isinstance(id, str):
            raise gr.Error(str(NotFound(f"there is no run {str(id)[:40]!r}")), print_exception=False)
        found: dict[str, Any] = told(lambda: run_summary(lab.history.get(id)))
        return found

    return run


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
    def fetch(checkpoint: str, login: gr.OAuthToken | None = None) -> dict:
        """Fetches a checkpoint's weights in the background; ask again to see how far it is.

        Weights whose terms must be accepted first are fetched with the caller's own Hugging Face login, which is used
        for that and kept nowhere.
        """

        def started() -> dict[str, Any]:
            wanted = lab.catalogue.get(checkpoint)
            here = availability(wanted)
            if here.ready:
                return {"checkpoint": wanted.id, "state": here.state, "sentence": here.sentence}
            if login is None:  # whoever is logged in fetches what their own account may have
                lab.policy.require("change_weights")
            return asdict(lab.downloads.start(wanted, login.token if login else None))

        found: dict[str, Any] = told(started)
        return found

    return fetch


def _presets(lab: Lab) -> Callable[..., Any]:
    def presets() -> list:
        """The presets: what each changes and what to look for."""
        return [preset.model_dump(mode="json") for preset in lab.presets]

    return presets
