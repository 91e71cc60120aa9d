"""Explore: one picture, one checkpoint, one set of knobs, one clip. The first page.

Handlers parse, ask the lab and show. A run lives in the lab's history, not here: leaving the page stops the
watching only, and opening it again finds the run where it is.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from svdlab.errors import NotFound, SvdlabError
from svdlab.exchange.restore import fitted
from svdlab.lab.lab import Lab
from svdlab.recipes.events import Event
from svdlab.recipes.records import Recipe, Run
from svdlab.recipes.settings import KNOBS, random_seed
from svdlab.ui.frame import build_about
from svdlab.ui.parts.controls import OWN_SETTINGS, Controls
from svdlab.ui.parts.element import element
from svdlab.ui.parts.picture import PictureBox, data_uri
from svdlab.ui.parts.player import Clip, ComparePlayer, player_value
from svdlab.ui.words import STATE_WORDS, ago, clip_line, effort_line, sentence

STRIP_RUNS = 18  # tiles in the strip of the latest runs
DECODE_COUNTS = (1, 8)  # frames at once that a clip can be decoded again with, beside all
KEPT_IDS = 60  # run ids a visitor of a shared Space keeps in the browser
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}

STAGE = """
<div class="screen" data-mode="idle">
  <div class="screen-view"><img class="still" alt="The picture as the model will see it" hidden><img class="preview"
    alt="The clip as it forms" hidden><span class="stage-hint" hidden></span>
    <div class="stage-end"><p class="stage-sentence" role="alert" hidden></p><button type="button"
      class="small stage-action" hidden></button></div></div>
  <div class="working" hidden><div class="meter" role="progressbar" aria-label="Progress" aria-valuemin="0"
    aria-valuemax="100"><div></div></div><div class="working-row"><span class="stage-text" aria-live="polite"></span>
    <button type="button" class="small cancel">Cancel</button></div></div>
</div>
"""
RESULT = """
<div class="result" hidden>
  <p class="result-note" hidden><span></span> <button type="button" class="link again">Render again</button></p>
  <div class="result-row"><div class="result-words"><p class="result-line"></p><p class="help result-detail"></p></div>
  <div class="actions"><a class="small get-video">Download MP4</a><a class="small get-frames">Download frames</a><button
    type="button" class="small copy-link">Copy link</button><a class="small to-compare" hidden>Compare with…</a><button
    type="button" class="small show-decode" aria-expanded="false" hidden>Decode again…</button><button
    type="button" class="small show-recipe" aria-expanded="false">Recipe</button></div></div>
  <div class="decode" hidden><p class="help">The same latents through another decoder, or in chunks of another size,
    beside this clip. Nothing is sampled again, so what differs is the decoder's doing: flicker that stays is the
    model's.</p><label>Decoder <span class="select"><select class="decode-decoder"></select></span></label>
    <label>Frames at once <span class="select"><select class="decode-chunk"></select></span></label>
    <button type="button" class="small do-decode">Put side by side</button>
    </div>
  <div class="recipe" hidden><dl class="recipe-words"></dl><pre class="recipe-json" tabindex="0"></pre><button
    type="button" class="small copy-recipe">Copy JSON</button></div>
</div>
"""
DECODED = '<p class="error" role="alert" hidden></p>'
STRIP = """
<div class="strip" hidden><div class="strip-head"><h2>Latest</h2><p class="strip-notice" hidden><span></span>
  <button type="button" class="link resume">Resume</button></p></div><div class="tiles"></div></div>
"""


@dataclass(frozen=True)
class ExplorePage:
    """The page's components, for tests and for the frame."""

    picture: PictureBox
    controls: Controls
    generate: gr.Button


@dataclass
class Watching:
    """Which turn of following is the present one in a visitor's session; shared by the handlers running in it."""

    since: float = 0.0


class Explore:
    """The page's parts and handlers."""

    def __init__(self, lab: Lab, compare: bool) -> None:
        self.lab = lab
        self.compare = compare  # whether there is a Compare page to go to
        self.shared = bool(os.environ.get("SPACE_ID"))  # other people's pictures are in the history
        self.picture: PictureBox
        self.controls = Controls(lab, "explore")
        self.stage: gr.HTML
        self.player: ComparePlayer
        self.result: gr.HTML
        self.decoded: gr.HTML
        self.strip: gr.HTML
        self.go: gr.Button
        self.following: gr.State
        self.watching: gr.State
        self.mine: gr.BrowserState

    # Components

    def lay_out(self) -> None:
        """Everything on the page, in reading order."""
        self.following = gr.State(None)
        self.watching = gr.State(Watching())
        self.mine = gr.BrowserState([], storage_key="svdlab.runs", secret="svdlab")
        with gr.Column(elem_classes="workbench"):
            with gr.Column(elem_classes="asking"):
                self.picture = PictureBox(self.lab, "explore-picture")
                with gr.Column(elem_classes="choosers"):
                    self.controls.build_checkpoint("checkpoint", "Checkpoint")
                    self.controls.build_preset()
                self.controls.build_knobs()
                with gr.Column(elem_classes="go"):
                    self.go = gr.Button("Generate", variant="primary", elem_id="explore-generate")
                    self.controls.build_advice()
            with gr.Column(elem_classes="showing stage-holder"):
                self.stage = element("stage", STAGE, {"mode": "idle"}, name="explore-stage")
                self.player = ComparePlayer(sides=1, elem_id="explore-player", elem_classes="lab-player")
                self.result = element("result", RESULT, {}, name="explore-result")
                self.decoded = element("decoded", DECODED, {}, name="explore-decoded")
                self.strip = element("strip", STRIP, {}, name="explore-strip")
                build_about(self.lab)

    # Handlers

    def open(self, mine: Any, request: gr.Request) -> dict[Any, Any]:
        """A visit: the run of the link, or what is being rendered, or the first example picture."""
        ids = kept_ids(mine)
        wanted = request.query_params.get("run") if request else None
        try:
            if wanted:
                return self.restored(self.lab.history.get(wanted), ids)
        except NotFound as error:
            return self.first_visit(ids) | {self.stage: {"mode": "ended", "sentence": sentence(error)}}
        waiting = [run for run in self._latest(ids) if run.unfinished]
        return self.restored(waiting[0], ids) if waiting else self.first_visit(ids)

    def first_visit(self, ids: list[str]) -> dict[Any, Any]:
        """An example picture is in and Generate is one click away."""
        return {self.picture.component: self.picture.from_example(0), self.strip: self.strip_value(ids)}

    def take(self, picture: Any, mine: Any, event: gr.EventData) -> dict[Any, Any]:
        """A file was dropped in: a picture, or something that carries a recipe, which then comes back."""
        try:
            found = self.picture.recipe_in(event)
            if found is None:
                return {self.picture.component: self.picture.receive(picture, event)}
            known = found.checkpoint is not None
            checkpoint = found.checkpoint or self.lab.catalogue.default().id
            found = fitted(self.lab, found, checkpoint)
            shown: dict[Any, Any] = {
                self.picture.component: self.picture.restored(picture, found, event),
                self.controls.checkpoints["checkpoint"]: checkpoint,
                self.controls.preset: found.preset or OWN_SETTINGS,
                self.controls.knobs: self.controls.fill(found.settings, checkpoint, found.preset),
            }
            if known and found.picture_here and found.picture_sha256:
                stored = self.lab.picture(found.picture_sha256)
                before = self.lab.before.run(self.lab.recipe(checkpoint, stored, found.settings))
                if before and (not self.shared or before.id in kept_ids(mine)):
                    shown[self.following] = _follow(before.id, True)
        except SvdlabError as error:
            return {self.picture.component: self.picture.problem(picture, error)}
        return shown

    def generate(self, picture: Any, *values: Any) -> dict[Any, Any]:
        """Submits what the page says, or shows it at once if it was rendered before."""
        *form_values, mine = values
        try:
            stored = self.picture.read(picture)
        except SvdlabError as error:
            return {self.picture.component: self.picture.problem(picture, error)}
        try:
            form = self.controls.read(*form_values)
            self.controls.must_be_here(form)
            settings = form.settings if form.locked else form.settings.but(seed=random_seed())
            recipe = self.lab.recipe(form.checkpoint.id, stored, settings)
            preset = form.preset.id if form.preset else None
            asked = self.ask(recipe, preset, kept_ids(mine))
        except SvdlabError as error:
            return {self.controls.advice: self.controls.refuse(error)}
        return {
            self.controls.knobs: self.controls.fill(settings, form.checkpoint.id, preset, form.locked),
            **asked,
        }

    def ask(self, recipe: Recipe, preset: str | None, ids: list[str], again: bool = False) -> dict[Any, Any]:
        """Follows the recipe's run: one from before, one already waiting, or a new one."""
        before = None if again else self.lab.before.run(recipe)
        run = before or self.lab.before.waiting(recipe) or self.lab.submit(recipe, preset)
        ids = [run.id, *(id for id in ids if id != run.id)][:KEPT_IDS]
        return {self.mine: ids, self.following: _follow(run.id, before is not None)}

    def again(self, mine: Any, event: gr.EventData) -> dict[Any, Any]:
        """Renders a run's recipe anew."""
        try:
            run = self.lab.history.get(str(event._data.get("run")))
            return self.ask(
                run.recipe.model_copy(update={"versions": {}}), run.preset, kept_ids(mine), again=True
            )
        except SvdlabError as error:
            return {self.stage: {"mode": "ended", "sentence": sentence(error)}}

    def retry(self, mine: Any, event: gr.EventData) -> dict[Any, Any]:
        """Queues an interrupted, failed or cancelled run again."""
        try:
            [run] = self.lab.resume(str(event._data.get("run")))
            return {self.following: _follow(run.id)}
        except SvdlabError as error:
            return {self.stage: {"mode": "ended", "sentence": sentence(error)}}

    def decode(self, event: gr.EventData) -> dict[str, Any]:
        """Decodes a run's latents again; the page then goes to the comparison of the two."""
        asked, chunk = event._data, event._data.get("chunk")
        try:
            count = int(chunk) if chunk else None
            pair = self.lab.decode_again(str(asked.get("run")), asked.get("decoder"), count)
        except (SvdlabError, ValueError) as error:
            return {"asked": time.time(), "error": sentence(error)}
        return {"asked": time.time(), "go": f"compare?compare={pair.id}"}

    def resume(self, mine: Any) -> dict[Any, Any]:
        """Queues everything that was interrupted again, and follows the oldest of it."""
        interrupted = [run for run in self._latest(kept_ids(mine)) if run.state == "interrupted"]
        again = self.lab.resume(*(run.id for run in reversed(interrupted)))
        return (
            {self.following: _follow(again[0].id)}
            if again
            else {self.strip: self.strip_value(kept_ids(mine))}
        )

    def stop(self, event: gr.EventData) -> None:
        """Cancels the run on the stage; whoever watches sees it end."""
        try:
            self.lab.cancel(str(event._data.get("run")))
        except NotFound:
            return

    def pick(self, mine: Any, event: gr.EventData) -> dict[Any, Any]:
        """A tile of the strip was chosen: picture, settings and clip come back."""
        try:
            return self.restored(self.lab.history.get(str(event._data.get("run"))), kept_ids(mine))
        except SvdlabError as error:
            return {self.stage: {"mode": "ended", "sentence": sentence(error)}}

    def restored(self, run: Run, ids: list[str]) -> dict[Any, Any]:
        """Everything on the page as it was for a run."""
        known = run.recipe.checkpoint in {checkpoint.id for checkpoint in self.lab.catalogue}
        preset = self.lab.preset_of(run)
        shown: dict[Any, Any] = {
            self.controls.preset: preset.id if preset else OWN_SETTINGS,
            self.controls.knobs: self.controls.fill(
                run.settings, run.recipe.checkpoint, preset.id if preset else None
            ),
            self.strip: self.strip_value(ids, run.id),
            self.following: _follow(run.id),
        }
        if known:
            shown[self.controls.checkpoints["checkpoint"]] = run.recipe.checkpoint
        try:
            shown[self.picture.component] = self.picture.value(self.lab.picture(run.recipe.picture_sha256))
        except NotFound as error:
            shown[self.picture.component] = {"error": sentence(error)}
        return shown

    def follow(self, following: Any, watching: Watching, mine: Any) -> Iterator[dict[Any, Any]]:
        """Shows a run from where it is to its end, and the strip until nothing waits any more.

        Ends when the visitor turns to another run; Gradio's own cancelling fails on a generator that just ended.
        """
        if not isinstance(following, dict):
            return
        watching.since = following["asked"]
        ids, id = kept_ids(mine), str(following["run"])
        run = self.lab.history.get(id)
        if not run.unfinished:
            yield self.ended(run, ids, bool(following.get("before")))
        waiting = [other.id for other in self._latest(ids) if other.unfinished]
        for event in self.lab.watch(*waiting):
            if watching.since != following["asked"]:
                break
            strip = self.strip_value(ids, id, event)
            if event.run_id != id:
                yield {self.strip: strip}
            elif event.final:
                yield self.ended(self.lab.history.get(id), ids)
            else:
                yield {self.stage: working(run, event), self.result: {}, self.strip: strip}
        # Gradio sends an ended generator's last values once more, and the clip would start anew; these change nothing.
        yield {self.strip: gr.skip()}

    def ended(self, run: Run, ids: list[str], before: bool = False) -> dict[Any, Any]:
        """A run that is over: its clip, or why there is none."""
        strip = self.strip_value(ids, run.id)
        if not run.done:
            word = {"failed": run.error, "interrupted": run.error or "Interrupted before it was finished."}
            stage = {
                "mode": "ended",
                "run": run.id,
                "sentence": sentence(Exception(word.get(run.state) or STATE_WORDS[run.state])),
                "action": "resume" if run.state == "interrupted" else "again",
            }
            return {self.stage: stage, self.result: {}, self.strip: strip}
        return {
            self.stage: {"mode": "shown", "run": run.id},
            self.player: self.clip(run),
            self.result: self.result_value(run, before),
            self.strip: strip,
        }

    # What the elements show

    def clip(self, run: Run) -> dict[str, Any]:
        """The player's value for a finished run."""
        s = run.settings
        return player_value(
            Clip(run.video, "", s.num_frames), fps=s.effective_playback_fps, size=(s.width, s.height)
        )

    def result_value(self, run: Run, before: bool) -> dict[str, Any]:
        """The line, the recipe in words and as JSON, and where the files are."""
        preset = self.lab.preset_of(run)
        settings = run.settings.model_dump()
        automatic = {"decode_chunk_size": "automatic", "playback_fps": "as the frame rate"}
        words = [
            ["Checkpoint", self.lab.label(run)],
            ["Preset", preset.name if preset else "Checkpoint's own"],
        ]
        for name, knob in KNOBS.items():
            value = settings[name]
            words.append([knob.label, automatic[name] if value is None else f"{value} {knob.unit}".strip()])
        return {
            "run": run.id,
            "line": clip_line(run),
            "detail": " ".join(filter(None, (self.lab.label(run) + ".", effort_line(run)))),
            "note": "Rendered before." if before else "",
            "words": words,
            "recipe": run.recipe.model_dump_json(indent=2),
            "video": str(run.video),
            "frames": str(run.frames_zip) if run.frames_zip.is_file() else "",
            "compare": self.compare,
            "decode": self.decode_choices(run),
        }

    def decode_choices(self, run: Run) -> dict[str, Any] | None:
        """What a run's latents can be decoded with; None if they were not kept."""
        source = self.lab.history.get(run.latents_of) if run.latents_of else run
        if not self.compare or not source.latents.is_file():
            return None
        counts = [n for n in DECODE_COUNTS if n < run.settings.num_frames]
        return {
            "decoders": list(self.lab.decoders(run.recipe.checkpoint)),
            "decoder": run.settings.decoder,
            "chunks": [["", f"all {run.settings.num_frames}"], *([str(n), str(n)] for n in reversed(counts))],
        }

    def strip_value(self, ids: list[str], open: str = "", event: Event | None = None) -> dict[str, Any]:
        """The tiles of the latest runs; `event` is news of one of them."""
        runs = self._latest(ids)
        interrupted = [run.id for run in runs if run.state == "interrupted"]
        return {"open": open, "runs": [self._tile(run, event) for run in runs], "interrupted": interrupted}

    def _tile(self, run: Run, event: Event | None) -> dict[str, Any]:
        s = run.settings
        news = event if event is not None and event.run_id == run.id else None
        return {
            "id": run.id,
            "state": run.state,
            "words": STATE_WORDS[run.state],
            "poster": str(run.poster) if run.done else "",
            "picture": "" if run.done else thumbnail(run.picture),
            "title": self.lab.name(run),
            "line": f"bucket {s.motion_bucket_id} · {s.fps} fps",
            "when": ago(run.created),
            "fraction": fraction(news) if news else run.step / s.num_inference_steps,
        }

    def _latest(self, ids: list[str]) -> list[Run]:
        """The latest runs this visitor may see."""
        runs = self.lab.history.runs(limit=STRIP_RUNS if not self.shared else 500)
        return runs if not self.shared else [run for run in runs if run.id in ids][:STRIP_RUNS]

    # Wiring

    def wire(self) -> None:
        """Who calls what."""
        self.controls.wire()
        shown = [self.stage, self.player, self.result, self.strip]
        form = [self.picture.component, *self.controls.inputs]
        page = [
            self.picture.component,
            *self.controls.inputs,
            self.controls.advice,
            self.following,
            self.mine,
            *shown,
        ]
        news: dict[str, Any] = {"trigger_mode": "multiple", **QUIET}
        self.picture.wire(self.take, [self.picture.component, self.mine], page)
        self.following.change(self.follow, [self.following, self.watching, self.mine], shown, **news)
        gr.on([self.go.click, self.controls.knobs.submit], self.generate, [*form, self.mine], page, **news)
        self.strip.select(self.pick, self.mine, page, **news)
        self.strip.resume(self.resume, self.mine, page, **news)
        self.result.decode(self.decode, None, self.decoded, **QUIET)
        self.result.again(self.again, self.mine, page, **news)
        self.stage.retry(self.retry, self.mine, page, **news)
        self.stage.stop(self.stop, None, None, **QUIET)


def build(lab: Lab, page: gr.Blocks, compare: bool = False) -> ExplorePage:
    """Components, handlers, wiring; inside the page's Blocks."""
    explore = Explore(lab, compare)
    explore.lay_out()
    explore.wire()
    outputs = [
        explore.picture.component,
        *explore.controls.inputs,
        explore.following,
        explore.stage,
        explore.strip,
    ]
    page.load(explore.open, explore.mine, outputs, **QUIET)
    page.load(explore.controls.first_advice, explore.controls.inputs, explore.controls.advice, **QUIET)
    return ExplorePage(explore.picture, explore.controls, explore.go)


def working(run: Run, event: Event) -> dict[str, Any]:
    """The stage's value while a run waits or is rendered."""
    shown = {
        "mode": "working",
        "run": run.id,
        "text": event.text,
        "fraction": fraction(event),
        "width": run.settings.width,
        "height": run.settings.height,
    }
    if event.preview:
        shown["preview"] = "data:image/webp;base64," + base64.b64encode(event.preview).decode("ascii")
    return shown


@lru_cache(maxsize=256)
def thumbnail(picture: Path) -> str:
    """A kept picture as a tile shows it while there is no clip; empty if the picture is gone."""
    try:
        with Image.open(picture) as image:
            return data_uri(image.convert("RGB"), 240)
    except OSError:
        return ""


def fraction(event: Event) -> float:
    """How far a run is, 0 to 1; decoding counts as the last tenth."""
    part = event.step / event.steps if event.steps else 0.0
    match event.kind:
        case "step":
            return 0.9 * part
        case "decoding":
            return 0.9 + 0.1 * part
        case "saving" | "done":
            return 1.0
        case _:
            return 0.0


def _follow(id: str, before: bool = False) -> dict[str, Any]:
    """A new value each time, so that following the same run again is a change too."""
    return {"run": id, "before": before, "asked": time.time()}


def kept_ids(mine: Any) -> list[str]:
    """The visitor's own run ids from the browser: untrusted."""
    return [id for id in mine if isinstance(id, str)][:KEPT_IDS] if isinstance(mine, list) else []
