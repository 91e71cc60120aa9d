"""`GET /healthz`: whether runs are rendered, for whoever watches over this process. Says nothing of anybody's runs."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from svdlab.lab.lab import Lab
from svdlab.lab.pulse import health


def route(lab: Lab) -> BaseRoute:
    """200 while the queue moves, else 503 with the reasons."""

    async def healthz(request: Request) -> Response:
        found = await asyncio.to_thread(health, lab)
        counts = {"waiting": found.waiting, "rendering": found.rendering}
        content = {"ok": found.well, **counts, "problems": list(found.problems)}
        return JSONResponse(content, 200 if found.well else 503, {"Cache-Control": "no-store"})

    return Route("/healthz", healthz)
