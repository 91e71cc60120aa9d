"""A page is made once for each name it is asked for by, and is what it would be without that."""

from __future__ import annotations

import asyncio

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from svdlab.ui.kept_pages import MOST, KeptPages


class Made:
    """Pages that say how often one was made."""

    def __init__(self) -> None:
        self.count = 0
        routes = [Route("/", self.page), Route("/bad", self.bad), Route("/other", self.page)]
        self.app = KeptPages(Starlette(routes=routes), ["/", "/bad"])

    async def page(self, request: Request) -> Response:
        self.count += 1
        return HTMLResponse(f"{request.headers['host']} {request.url.query} {self.count}")

    async def bad(self, request: Request) -> Response:
        self.count += 1
        return HTMLResponse("not now", 503)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://lab")


def test_a_page_is_made_once_for_each_name() -> None:
    async def play() -> None:
        made = Made()
        async with made.client() as client:
            first = (await client.get("/")).text
            assert first == "lab  1"
            for more in ({"headers": {"Accept-Encoding": "identity"}}, {"params": {"run": "1"}}, {}):
                answer = await client.get("/", **more)  # type: ignore[arg-type]
                assert answer.text == first
            assert (await client.get("/")).headers["content-encoding"] == "gzip"
            assert (await client.get("/", headers={"Host": "other"})).text == "other  2"
            assert (await client.get("/")).text == first

    asyncio.run(play())


def test_what_is_no_page_of_everybody_s_is_made_each_time() -> None:
    async def play() -> None:
        made = Made()
        async with made.client() as client:
            for path in ("/other", "/?deep_link=abc", "/bad"):
                before = made.count
                answers = [await client.get(path) for _ in range(2)]
                assert made.count == before + 2
                assert answers[0].status_code == (503 if path == "/bad" else 200)

    asyncio.run(play())


def test_only_so_many_are_kept() -> None:
    async def play() -> None:
        made = Made()
        async with made.client() as client:
            for number in range(MOST + 1):
                await client.get("/", headers={"Host": f"name{number}"})
            await client.get("/", headers={"Host": "name1"})
            assert made.count == MOST + 1
            await client.get("/", headers={"Host": "name0"})
            assert made.count == MOST + 2

    asyncio.run(play())
