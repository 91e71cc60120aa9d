"""What one client may hold of the server, and that it is told in a sentence when it asks for more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from svdlab.environment import Environment
from svdlab.ui.bounds import Bounds, Limits

SMALL = Limits(2, 1, 4, 2, 6000, 4000)


class House:
    """Something behind the bounds: a page, a stream that stays open, a call that waits, an upload."""

    def __init__(self, folder: Path, proxies: int = 0) -> None:
        self.go = asyncio.Event()
        self.inside = 0
        routes = [
            Route("/", self.page),
            Route("/follow/explore", self.follow),
            Route("/gradio_api/run/x", self.call, methods=["POST"]),
            Route("/gradio_api/upload", self.take, methods=["POST"]),
        ]
        self.app = Bounds(Starlette(routes=routes), folder, Environment(proxies=proxies), SMALL)

    async def page(self, request: Request) -> Response:
        return PlainTextResponse("the page")

    async def follow(self, request: Request) -> Response:
        async def told() -> AsyncIterator[str]:
            self.inside += 1
            await self.go.wait()
            yield "done"

        return StreamingResponse(told())

    async def call(self, request: Request) -> Response:
        await request.body()
        self.inside += 1
        await self.go.wait()
        return PlainTextResponse("answered")

    async def take(self, request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    def client(self, address: str = "10.0.0.1", **more: Any) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://lab", timeout=60, **more)

    async def until(self, inside: int) -> None:
        async with asyncio.timeout(60):
            while self.inside < inside:
                await asyncio.sleep(0)


def test_streams_are_counted_for_one_and_for_all_and_given_back(tmp_path: Path) -> None:
    async def play() -> None:
        house = House(tmp_path)
        one, two, three = (house.client(f"10.0.0.{n}") for n in range(3))
        waiting = [asyncio.create_task(client.get("/follow/explore")) for client in (one, two)]
        await house.until(2)
        again, late = await one.get("/follow/explore"), await three.get("/follow/explore")
        assert (again.status_code, late.status_code) == (429, 503)
        assert again.json()["error"] == "you have 1 streams open, which is all that one may; close some first"
        assert late.headers["retry-after"]
        assert (await three.get("/")).text == "the page"
        house.go.set()
        await asyncio.gather(*waiting)
        assert (await three.get("/follow/explore")).text == "done"
        await asyncio.gather(*(client.aclose() for client in (one, two, three)))

    asyncio.run(play())


def test_calls_are_counted_too(tmp_path: Path) -> None:
    async def play() -> None:
        house = House(tmp_path)
        async with house.client() as client, house.client("10.0.0.2") as other:
            waiting = [asyncio.create_task(client.post("/gradio_api/run/x")) for _ in range(2)]
            await house.until(2)
            assert (await client.post("/gradio_api/run/x")).status_code == 429
            house.go.set()
            assert [(await one).text for one in waiting] == ["answered"] * 2
            assert (await other.post("/gradio_api/run/x")).text == "answered"

    asyncio.run(play())


def test_behind_a_proxy_a_client_is_who_the_proxy_saw(tmp_path: Path) -> None:
    async def play() -> None:
        house = House(tmp_path, proxies=1)
        async with house.client() as client:
            named = [{"X-Forwarded-For": f"10.1.1.1, 198.51.100.{n}"} for n in (1, 2)]
            waiting = [asyncio.create_task(client.get("/follow/explore", headers=one)) for one in named]
            await house.until(2)
            assert (await client.get("/follow/explore", headers=named[0])).status_code == 429
            house.go.set()
            await asyncio.gather(*waiting)

    asyncio.run(play())


def test_uploads_are_bounded_for_one_and_for_all_within_an_hour(tmp_path: Path) -> None:
    async def play() -> None:
        house = House(tmp_path)
        async with (
            house.client() as client,
            house.client("10.0.0.2") as other,
            house.client("10.0.0.3") as third,
        ):
            for _ in range(2):
                assert (await client.post("/gradio_api/upload", content=b"x" * 2000)).text == "2000"
            refused = await client.post("/gradio_api/upload", content=b"x")
            assert refused.status_code == 429
            assert "within an hour" in refused.json()["error"]
            assert (await other.post("/gradio_api/upload", content=b"x" * 2000)).text == "2000"
            assert (await third.post("/gradio_api/upload", content=b"x")).status_code == 503

    asyncio.run(play())
