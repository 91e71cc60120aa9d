"""The event stream: what pages and programs follow, one task each, as server-sent events beside Gradio's routes.

A page tells its own news (its method `news`). Knows Starlette and the lab; nothing of Gradio or of what is told.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from svdlab.errors import SvdlabError
from svdlab.lab.lab import Lab
from svdlab.lab.visit import Visit
from svdlab.lab.watching import Watching
from svdlab.recipes.events import Event
from svdlab.ui.identity import visit_of

RECONNECT_MS = (2000, 6000)  # when a browser comes back after the line broke: not all at once
MOST_FOLLOWED = 16  # runs that one program follows on one line
MOST_OWN = 60  # ids of a visitor's own
END = "event: end\ndata: {}\n\n"


@dataclass(frozen=True)
class Wanted:
    """What a page wants to follow: untrusted."""

    visit: Visit  # who asks
    id: str = ""
    before: bool = False  # it was rendered earlier
    mine: tuple[str, ...] = ()  # the visitor's own ids, where those are all that is shown


News = Callable[[Wanted, Watching], AsyncIterator[str]]  # messages, until there is nothing more to tell


def message(shown: Mapping[Any, Any]) -> str:
    """One message to a page: the values of its elements, by the elements or by their ids."""
    told = {getattr(element, "elem_id", element): value for element, value in shown.items()}
    return f"data: {json.dumps(told, separators=(',', ':'))}\n\n"


def routes(lab: Lab, watching: Watching, news: Mapping[str, News]) -> list[BaseRoute]:
    """`GET /follow/{page}` for the pages, `GET /events?id=…` for programs."""

    async def follow(request: Request) -> Response:
        telling = news.get(request.path_params["page"])
        if telling is None:
            return JSONResponse({"error": "there is nothing to follow on that page"}, 404)
        asked = request.query_params
        mine = [id for id in asked.get("mine", "").split(",") if id][:MOST_OWN]
        wanted = Wanted(visit_of(lab, request), asked.get("id", ""), asked.get("before") == "1", tuple(mine))
        return stream(telling(wanted, watching), lab)

    async def events(request: Request) -> Response:
        ids = list(dict.fromkeys(request.query_params.getlist("id")))
        if not 1 <= len(ids) <= MOST_FOLLOWED:
            return JSONResponse({"error": f"name 1 to {MOST_FOLLOWED} runs: /events?id=…&id=…"}, 422)
        return stream(_events(visit_of(lab, request), watching, ids), lab)

    return [Route("/follow/{page}", follow), Route("/events", events)]


async def _events(visit: Visit, watching: Watching, ids: list[str]) -> AsyncIterator[str]:
    for id in ids:
        await asyncio.to_thread(visit.run, id)  # raises for one that this visitor may not see
    async for event in watching.watch(*ids):
        yield message(summary(event))


def summary(event: Event) -> dict[str, Any]:
    """An event as JSON; its preview stays here."""
    return {
        "id": event.run_id,
        "kind": event.kind,
        "step": event.step,
        "steps": event.steps,
        "position": event.position,
        "seconds_left": event.eta,
        "text": event.text,
        "final": event.final,
    }


def stream(told: AsyncIterator[str], lab: Lab) -> Response:
    """Sends messages as they come; at their end it says so, unless the lab is closed and they may go on later."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_sent(told, lab), media_type="text/event-stream", headers=headers)


async def _sent(told: AsyncIterator[str], lab: Lab) -> AsyncIterator[str]:
    yield f"retry: {random.randint(*RECONNECT_MS)}\n\n"
    try:
        async with aclosing(told) as messages:  # type: ignore[type-var]
            async for text in messages:
                yield text
        if not lab.live.closed:
            yield END
    except SvdlabError as error:
        yield f"event: refused\ndata: {json.dumps({'error': str(error)})}\n\n{END}"
