"""History: every run and comparison found again, marked, exported, put into the bin; one run on a page of its own; a
wall of clips that play in step.

Handlers parse, ask the lab and show. What is looked for stands in the page's address, so that going back finds it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from svdlab.errors import BadInput, NotFound, SvdlabError
from svdlab.exchange import tables
from svdlab.history.search import RunQuery
from svdlab.lab.lab import Lab
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.records import RUN_STATES, Comparison, Run
from svdlab.recipes.settings import KNOBS
from svdlab.ui.pages.explore import KEPT_IDS, QUIET, kept_ids, thumbnail
from svdlab.ui.pages.models import size
from svdlab.ui.parts import compare_result
from svdlab.ui.parts import run as shown_run
from svdlab.ui.parts.element import element
from svdlab.ui.parts.player import Clip, ComparePlayer, player_value
from svdlab.ui.words import STATE_WORDS, ago, duration, sentence

TILES = 48  # a page of the gallery
MAX_CHOSEN = 500  # ids in one request
WALL_CLIPS = 12
EXPORT_SECONDS = 3600.0  # an exported file can be fetched for so long
KINDS = {
    "csv": ("table of runs", tables.write_csv),
    "parquet": ("table of runs", tables.write_parquet),
}
SORT_WORDS = {
    "created": "Date",
    "seconds": "Rendering time",
    "peak_memory_bytes": "Memory",
    "rating": "Rating",
    "checkpoint": "Checkpoint",
    "preset": "Preset",
}

TEMPLATE = """
<div class="past" hidden>
  <form class="past-filters" role="search" aria-label="Filters">
    <div class="past-first">
      <div class="past-kinds" role="group" aria-label="What is listed"><button type="button" data-kind="clips"
        aria-pressed="true">Clips</button><button type="button" data-kind="comparisons"
        aria-pressed="false">Comparisons</button></div>
      <input type="search" name="text" placeholder="Words in notes, tags, checkpoints, presets"
        aria-label="Words to look for" maxlength="200">
      <label class="past-sort">Sort by <span class="select"><select name="sort"></select></span><button type="button"
        class="small past-order" aria-label="Largest first"></button></label>
      <button type="button" class="small past-more" aria-expanded="false">Filters</button>
    </div>
    <div class="past-second" hidden>
      <label>Checkpoint <span class="select"><select name="checkpoint"></select></span></label>
      <label>Preset <span class="select"><select name="preset"></select></span></label>
      <label>State <span class="select"><select name="state"></select></span></label>
      <label>Tag <span class="select"><select name="tag"></select></span></label>
      <label>Rating <span class="select"><select name="rating"></select></span></label>
      <label>From <input type="date" name="since"></label>
      <label>To <input type="date" name="until"></label>
      <div class="past-ticks"><label class="tick"><input type="checkbox" name="starred"> With a star</label>
        <label class="tick"><input type="checkbox" name="bin"> In the bin</label></div>
      <span class="past-picture" hidden><span>From one picture</span> <button type="button" class="link"
        data-clear="picture">Any picture</button></span>
    </div>
  </form>
  <p class="past-count" role="status"></p>
  <p class="error past-error" role="alert" hidden></p>
  <div class="past-grid"></div>
  <div class="past-empty" hidden><p></p><a class="small" href="./">Make a clip</a></div>
  <button type="button" class="small past-on" hidden>Show more</button>
  <p class="past-undo" role="status" hidden><span></span> <button type="button" class="link">Undo</button></p>
  <details class="past-disk"><summary>Room on the disk</summary><div class="past-disk-said help"></div></details>
  <div class="past-bar" role="region" aria-label="Selected" hidden>
    <strong class="past-chosen"></strong><span class="past-differs help"></span>
    <div class="actions"><button type="button" class="small" data-do="pair">Compare</button><button type="button"
      class="small" data-do="wall">Play together</button><button type="button" class="small"
      data-do="star">Star</button><form class="past-tag"><input type="text" maxlength="40" placeholder="Tag"
      aria-label="Tag to add"><button type="submit" class="small">Add tag</button></form><span class="select"><select
      class="past-export" aria-label="Export"><option value="">Export…</option><option
      value="csv">Table as CSV</option><option value="parquet">Table as Parquet</option><option
      value="zip">Zip with videos</option></select></span><button type="button" class="small"
      data-do="discard">Delete</button><button type="button" class="small"
      data-do="revive" hidden>Restore</button><button type="button" class="link" data-do="clear">Clear</button></div>
  </div>
</div>
"""
WALL = """
<div class="wall" tabindex="-1" hidden>
  <p class="past-back"><a href="history">History</a></p>
  <div class="wall-grid"></div>
  <div class="wall-bar"><button type="button" class="small wall-play" aria-label="Pause">Pause</button><button
    type="button" class="small wall-back" aria-label="One frame back">◀</button><button type="button"
    class="small wall-on" aria-label="One frame on">▶</button><input type="range" class="wall-scrub" min="0"
    value="0" aria-label="Frame"><span class="wall-at"></span></div>
  <p class="help wall-said" role="status"></p>
  <p class="error" role="alert" hidden></p>
</div>
"""


class HistoryPage:
    """The page's parts and handlers."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.shared = bool(os.environ.get("SPACE_ID"))  # other people's runs are nobody's business
        self.view: gr.HTML
        self.player: ComparePlayer
        self.details: gr.HTML
        self.wall: gr.HTML
        self.mine: gr.BrowserState
        self.my_pairs: gr.BrowserState

    def lay_out(self) -> None:
        """Everything on the page; what the address does not ask for stays hidden."""
        self.mine = gr.BrowserState([], storage_key="svdlab.runs", secret="svdlab")
        self.my_pairs = gr.BrowserState([], storage_key="svdlab.comparisons", secret="svdlab")
        self.view = element("gallery", TEMPLATE, {}, name="history-view")
        with gr.Column(elem_classes="past-run", elem_id="past-run"):
            with gr.Column(elem_classes="past-run-left"):
                self.player = ComparePlayer(sides=1, elem_id="history-player", elem_classes="lab-player")
            self.details = element("run", shown_run.TEMPLATE, {}, name="history-run")
        self.wall = element("wall", WALL, {}, name="history-wall", before=("player/frames.js",))

    # Handlers

    def open(self, mine: Any, pairs: Any, request: gr.Request) -> dict[Any, Any]:
        """A visit: one run, a wall, or the gallery as the address asks for it."""
        asked = dict(request.query_params) if request else {}
        try:
            if asked.get("run"):
                return self.one(self.lab.history.get(str(asked["run"])))
            if asked.get("wall"):
                return {self.wall: self.wall_value(str(asked["wall"]).split(",")), self.view: {}}
        except SvdlabError as error:
            return {self.view: {**self.gallery({}, mine, pairs), "error": sentence(error)}}
        return {self.view: self.gallery(asked, mine, pairs)}

    def find(self, mine: Any, pairs: Any, event: gr.EventData) -> dict[str, Any]:
        """The first page of another search, or the next page of this one."""
        asked = event._data.get("query")
        query = {str(k): str(v) for k, v in asked.items()} if isinstance(asked, dict) else {}
        after = event._data.get("after")
        return self.gallery(query, mine, pairs, str(after) if after else None) | {
            "turn": event._data.get("turn")
        }

    def mark(self, event: gr.EventData) -> dict[str, Any]:
        """A star, rating, note or tag on the gallery's runs and comparisons."""
        return self._news(event, lambda ids: _mark(self.lab, event._data, ids))

    def discard(self, event: gr.EventData) -> dict[str, Any]:
        """Puts things into the bin."""
        return self._news(event, self.lab.delete)

    def revive(self, event: gr.EventData) -> dict[str, Any]:
        """Takes things out of the bin."""
        return self._news(event, self.lab.history.take_back)

    def _news(self, event: gr.EventData, act: Callable[[list[str]], Any]) -> dict[str, Any]:
        """Does something to things of the gallery and says how they are now."""
        ids = _chosen(event)
        try:
            self._must_be_own()
            act(ids)
            news = {"did": event._data.get("did"), "ids": ids, "tiles": [self.tile_of(id) for id in ids]}
        except SvdlabError as error:
            news = {"error": sentence(error)}
        return {"asked": time.time(), "news": news}

    def _must_be_own(self) -> None:
        """Raises `BadInput` on a shared machine."""
        if self.shared:
            raise BadInput("what is kept here belongs to everybody, so it cannot be changed")

    def weigh(self, event: gr.EventData) -> dict[str, Any]:
        """What two chosen runs differ in, in one line."""
        try:
            a, b = (self.lab.history.get(id) for id in _chosen(event)[:2])
            said = self.lab.fairness(Comparison("", a, b, time.time()))
            parts = said.differences if said.differences else ("same picture, settings and noise",)
            line = " ".join(sentence(Exception(part)) for part in (*parts, *said.remarks))
            names = [self.lab.name(run) for run in (a, b)]
            news: dict[str, Any] = {
                "differs": line if len(set(names)) < 2 else f"{' | '.join(names)}: {line}"
            }
        except (SvdlabError, ValueError) as error:
            news = {"differs": sentence(error)}
        return {"asked": time.time(), "news": news | {"ids": _chosen(event)}}

    def pair(self, pairs: Any, event: gr.EventData) -> tuple[dict[str, Any], list[str]]:
        """Puts two chosen runs side by side on the Compare page."""
        kept = kept_ids(pairs)
        try:
            a, b = sorted(_chosen(event))  # an id begins with its time: the older one is A
            made = self.lab.pair(a, b)
        except (SvdlabError, ValueError) as error:
            return {"asked": time.time(), "news": {"error": sentence(error)}}, kept
        return {"asked": time.time(), "news": {"go": f"compare?compare={made.id}"}}, [made.id, *kept][
            :KEPT_IDS
        ]

    def export(self, event: gr.EventData) -> dict[str, Any]:
        """Chosen runs as a file the browser fetches."""
        try:
            path = self._export(_chosen(event), str(event._data.get("as")))
        except (SvdlabError, OSError) as error:
            return {"asked": time.time(), "news": {"error": sentence(error)}}
        return {"asked": time.time(), "news": {"path": str(path), "name": path.name}}

    def _export(self, ids: list[str], kind: str) -> Path:
        runs: dict[str, Run] = {}
        for id in ids:
            for run in self._runs_of(id):
                runs[run.id] = run
        folder = Path(get_upload_folder()) / "exports"
        for old in folder.glob("*") if folder.is_dir() else ():
            if old.stat().st_mtime < time.time() - EXPORT_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        path = folder / secrets.token_hex(16) / f"svdlab-{datetime.now():%Y-%m-%d-%H%M}.{kind}"
        path.parent.mkdir(parents=True)
        if kind == "zip":
            tables.write_zip(self.lab, runs.values(), path)
        elif kind in KINDS:
            KINDS[kind][1](runs.values(), path)
        else:
            raise BadInput("export as csv, parquet or zip")
        return path

    def measure(self) -> dict[str, Any]:
        """How much room everything takes."""
        use = self.lab.disk_use()
        parts = {
            "videos": use.videos,
            "lossless frames": use.frames,
            "latents": use.latents,
            "pictures": use.pictures,
            "the bin": use.bin,
            "the database": use.database + use.backups,
            "the rest": use.other + use.leftovers,
        }
        line = ", ".join(f"{size(count)} {name}" for name, count in parts.items() if count)
        said = [
            f"{size(use.total)} in {self.lab.history.folder}: {line}. {size(use.free)} are free on that disk."
        ]
        bin_days, keep_days = self.lab.retention.bin_days, self.lab.retention.keep_days
        if bin_days is not None:
            said.append(
                f"What has been in the bin for {bin_days:g} days is removed for good (SVDLAB_BIN_DAYS)."
            )
        if keep_days is not None:
            said.append(
                f"Clips that nobody marked go to the bin after {keep_days:g} days (SVDLAB_KEEP_DAYS)."
            )
        return {"asked": time.time(), "news": {"disk": "" if self.shared else " ".join(said)}}

    # One run

    def one(self, run: Run) -> dict[Any, Any]:
        """The page of one run."""
        s = run.settings
        shown = {self.view: {}, self.details: shown_run.value(self.lab, run, self.shared)}
        if run.done and run.video.is_file():
            clip = Clip(run.video, "", s.num_frames)
            shown[self.player] = player_value(clip, fps=s.effective_playback_fps, size=(s.width, s.height))
        return shown

    def mark_run(self, event: gr.EventData) -> dict[str, Any]:
        """A star, rating, note or tag on the run of the page."""
        return self._on_run(event, lambda ids: _mark(self.lab, event._data, ids))

    def discard_run(self, event: gr.EventData) -> dict[str, Any]:
        """Puts the run of the page into the bin, or takes it out."""
        return self._on_run(event, self.lab.history.take_back if event._data.get("back") else self.lab.delete)

    def _on_run(self, event: gr.EventData, act: Callable[[list[str]], Any]) -> dict[str, Any]:
        ids = _chosen(event)
        try:
            self._must_be_own()
            act(ids)
        except SvdlabError as error:
            return {
                **shown_run.value(self.lab, self.lab.history.get(ids[0]), self.shared),
                "problem": sentence(error),
            }
        return shown_run.value(self.lab, self.lab.history.get(ids[0]), self.shared)

    # What the gallery shows

    def gallery(
        self, asked: Mapping[str, Any], mine: Any, pairs: Any, after: str | None = None
    ) -> dict[str, Any]:
        """A page of tiles for what the address or the filters ask for."""
        kind = "comparisons" if asked.get("kind") == "comparisons" else "clips"
        value: dict[str, Any] = {
            "asked": time.time(),
            "kind": kind,
            "shared": self.shared,
            "tiles": [],
            "next": None,
        }
        value["choices"] = self.choices() if after is None and not self.shared else None
        value["query"] = {name: str(given) for name, given in asked.items() if given}
        value["more"] = after is not None
        try:
            query = read_query(asked)
            value |= self._own(kind, mine, pairs) if self.shared else self._found(kind, query, after)
        except SvdlabError as error:
            value["error"] = sentence(error)
        return value

    def _found(self, kind: str, query: RunQuery, after: str | None) -> dict[str, Any]:
        if kind == "comparisons":
            pairs = self.lab.history.find_comparisons(query, after, TILES)
            return {"tiles": [self.pair_tile(pair) for pair in pairs.comparisons], "next": pairs.next}
        page = self.lab.history.find(query, after, TILES)
        tiles = [self.tile(run, query.sort) for run in page.runs]
        return {"tiles": tiles, "next": page.next, "count": self.lab.history.count(query)}

    def _own(self, kind: str, mine: Any, pairs: Any) -> dict[str, Any]:
        """On a shared machine: what this browser asked for, and nothing else."""
        tiles = []
        for id in kept_ids(pairs if kind == "comparisons" else mine):
            try:
                tiles.append(self.tile_of(id))
            except NotFound:
                continue
        return {"tiles": tiles}

    def choices(self) -> dict[str, Any]:
        """What can be chosen in each filter: [[value, words]]."""
        facets = self.lab.history.facets()
        names = {c.id: c.name for c in self.lab.catalogue}
        presets = {preset.id: preset.name for preset in self.lab.presets}
        return {
            "checkpoint": [[id, f"{names.get(id, id)} ({n})"] for id, n in facets.checkpoints],
            "preset": [[id, f"{presets.get(id, id)} ({n})"] for id, n in facets.presets],
            "tag": [[tag, f"{tag} ({n})"] for tag, n in facets.tags],
            "state": [[state, STATE_WORDS[state]] for state in RUN_STATES],
            "rating": [[str(n), f"{n} or more" if n < 5 else "5"] for n in range(1, 6)],
            "sort": [
                ["", [[name, words] for name, words in SORT_WORDS.items()]],
                ["Measured", [[name, metric.label] for name, metric in METRICS.items()]],
                ["Knobs", [[name, knob.label] for name, knob in KNOBS.items()]],
            ],
        }

    def tile_of(self, id: str) -> dict[str, Any]:
        """The tile of a run or comparison by its id. Raises `NotFound`."""
        try:
            return self.tile(self.lab.history.get(id))
        except NotFound:
            return self.pair_tile(self.lab.history.comparison(id))

    def tile(self, run: Run, sort: str = "created") -> dict[str, Any]:
        """One run as the gallery shows it."""
        s = run.settings
        return {
            **_marks(run),
            "href": f"history?run={run.id}",
            "state": run.state,
            "words": STATE_WORDS[run.state],
            "posters": [str(run.poster)] if run.done else [],
            "picture": "" if run.done else thumbnail(run.picture),
            "video": str(run.video) if run.done else "",
            "shape": s.width / s.height,
            "title": self.lab.name(run),
            "line": f"bucket {s.motion_bucket_id} · {s.fps} fps · {s.num_frames} frames · seed {s.seed}",
            "key": sort_line(run, sort),
        }

    def pair_tile(self, pair: Comparison) -> dict[str, Any]:
        """One comparison as the gallery shows it."""
        s = pair.a.settings
        done = pair.a.done and pair.b.done
        unfinished = next((run.state for run in (pair.a, pair.b) if not run.done), "done")
        return {
            **_marks(pair),
            "href": f"compare?compare={pair.id}",
            "state": unfinished,
            "words": STATE_WORDS[unfinished],
            "posters": [str(pair.a.poster), str(pair.b.poster)] if done else [],
            "picture": "" if done else thumbnail(pair.a.picture),
            "video": "",
            "shape": s.width / s.height,
            "title": " | ".join(compare_result.names(self.lab, pair)),
            "line": f"bucket {s.motion_bucket_id} · {s.fps} fps · {s.num_frames} frames · seed {s.seed}",
            "key": "",
        }

    def wall_value(self, ids: list[str]) -> dict[str, Any]:
        """Clips to play in step, each with what sets it apart. Raises `SvdlabError`."""
        runs = [self.lab.history.get(id) for id in ids[: WALL_CLIPS + 1]]
        if len(runs) > WALL_CLIPS:
            raise BadInput(f"at most {WALL_CLIPS} clips play together; choose fewer")
        runs = [run for run in runs if run.done and run.video.is_file()]
        if not runs:
            raise BadInput("none of these runs has a clip to play")
        apart = [name for name in KNOBS if len({str(getattr(run.settings, name)) for run in runs}) > 1]
        checkpoints = len({run.recipe.checkpoint for run in runs}) > 1
        pictures = len({run.recipe.picture_sha256 for run in runs}) > 1
        clips = []
        for run in runs:
            words = [self.lab.name(run)] if checkpoints or not apart else []
            words += [f"{KNOBS[name].label} {shown_run.knob_words(run, name)}" for name in apart]
            s = run.settings
            clips.append(
                {
                    "id": run.id,
                    "path": str(run.video),
                    "frames": s.num_frames,
                    "shape": s.width / s.height,
                    "label": ", ".join(words),
                }
            )
        said = "Same picture." if not pictures else "Different pictures."
        return {"clips": clips, "fps": runs[0].settings.effective_playback_fps, "said": said}

    def _runs_of(self, id: str) -> list[Run]:
        try:
            return [self.lab.history.get(id)]
        except NotFound:
            pair = self.lab.history.comparison(id)
            return [pair.a, pair.b]

    # Wiring

    def wire(self, page: gr.Blocks) -> None:
        """Who calls what."""
        quiet: dict[str, Any] = {"trigger_mode": "multiple", **QUIET}
        ids = [self.mine, self.my_pairs]
        self.view.find(self.find, ids, self.view, **quiet)
        self.view.mark(self.mark, None, self.view, **quiet)
        self.view.discard(self.discard, None, self.view, **quiet)
        self.view.revive(self.revive, None, self.view, **quiet)
        self.view.weigh(self.weigh, None, self.view, **quiet)
        self.view.pair(self.pair, self.my_pairs, [self.view, self.my_pairs], **quiet)
        self.view.deliver(self.export, None, self.view, **quiet)
        self.view.measure(self.measure, None, self.view, **quiet)
        self.details.mark(self.mark_run, None, self.details, **quiet)
        self.details.discard(self.discard_run, None, self.details, **quiet)
        page.load(self.open, ids, [self.view, self.player, self.details, self.wall], **QUIET)


def read_query(asked: Mapping[str, Any]) -> RunQuery:
    """What the address or the filters ask for: untrusted text by name. Raises `BadInput`."""

    def text(name: str) -> str:
        return str(asked.get(name) or "").strip()

    rating = text("rating")
    if rating and not rating.isdigit():
        raise BadInput(f"rating must be a whole number from 0 to 5, got {rating[:40]!r}")
    return RunQuery(
        checkpoint=text("checkpoint") or None,
        preset=text("preset") or None,
        picture=text("picture") or None,
        since=_day(text("since"), "From"),
        until=_day(text("until"), "To", after=True),
        states=(text("state"),) if text("state") else (),  # type: ignore[arg-type]  # a query checks its states
        rating=int(rating) if rating else None,
        starred=True if text("starred") else None,
        tags=(text("tag"),) if text("tag") else (),
        text=text("text"),
        bin=bool(text("bin")),
        sort=text("sort") or "created",
        descending=text("order") != "up",
    )


def _day(text: str, name: str, after: bool = False) -> float | None:
    """A day as seconds since 1970 in this machine's time: its beginning, or its end."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text[:10]) + timedelta(days=1 if after else 0)
        return datetime(day.year, day.month, day.day).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadInput(f"{name} must be a day such as 2026-01-31, got {text[:40]!r}") from None


def sort_line(run: Run, sort: str) -> str:
    """The value a gallery is sorted by, as a tile shows it; empty where the tile shows it anyway."""
    if sort in METRICS:
        value = run.outcome.metrics.get(sort)
        return "" if value is None else f"{METRICS[sort].label} {METRICS[sort].text(value)}"
    if sort in KNOBS:
        return f"{KNOBS[sort].label} {shown_run.knob_words(run, sort)}"
    if sort == "seconds":
        spent = sum(v for k, v in run.outcome.seconds.items() if k != "load")
        return f"Rendered in {duration(spent)}" if spent else ""
    if sort == "peak_memory_bytes":
        return f"{size(run.outcome.peak_memory_bytes)} of memory" if run.outcome.peak_memory_bytes else ""
    return ""


def _marks(of: Run | Comparison) -> dict[str, Any]:
    return {
        "id": of.id,
        "starred": of.starred,
        "rating": of.rating,
        "note": of.note,
        "tags": list(of.tags),
        "binned": of.deleted is not None,
        "when": ago(of.created),
        "moment": datetime.fromtimestamp(of.created).strftime("%Y-%m-%d %H:%M"),
    }


def _mark(lab: Lab, asked: Mapping[str, Any], ids: list[str]) -> None:
    """Puts what was asked for on runs and comparisons. Raises `SvdlabError`."""
    what, value = str(asked.get("what")), asked.get("value")
    for id in ids:
        match what:
            case "star":
                lab.history.set_star(id, bool(value))
            case "rate":
                lab.history.rate(id, None if value is None else _whole(value))
            case "note":
                lab.history.note(id, str(value or ""))
            case "tag":
                lab.history.tag(id, str(value or ""))
            case "untag":
                lab.history.untag(id, str(value or ""))
            case _:
                raise BadInput("that mark is not known")


def _whole(value: Any) -> Any:
    """A number from the page as a rating wants it; anything else is refused there."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _chosen(event: gr.EventData) -> list[str]:
    """Ids from the page: untrusted."""
    ids = event._data.get("ids")
    return list(dict.fromkeys(str(id) for id in ids))[:MAX_CHOSEN] if isinstance(ids, list) else []


def build(lab: Lab, page: gr.Blocks) -> HistoryPage:
    """Components, handlers, wiring; inside the page's Blocks."""
    history = HistoryPage(lab)
    history.lay_out()
    history.wire(page)
    return history
