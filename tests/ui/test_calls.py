"""Calls of programs wait in a table that one client cannot fill, and that empties when they go."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from svdlab.ui.calls import MOST, MOST_OF_ONE, Calls

API = "http://lab/gradio_api"


class Server:
    """Calls over a `/run` that answers when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.calls = Calls(lambda name: [("limit", 20)] if name == "runs" else None)
        self.app = Starlette(
            routes=[*self.calls.routes(), Route("/gradio_api/run/{name}", self.run, methods=["POST"])]
        )

    async def run(self, request: Request) -> Response:
        body = await request.json()
        if body["data"] == ["bad"]:
            return JSONResponse({"error": "that is bad"}, 500)
        if body["data"] != ["now"]:
            await self.go.wait()
        return JSONResponse({"data": body["data"]})

    def client(self, address: str = "10.0.0.1") -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app, client=(address, 1)), timeout=60)


def join(session: str, *data: Any) -> dict[str, Any]:
    return {"data": list(data), "fn_index": 0, "session_hash": session}


async def told(client: httpx.AsyncClient, session: str) -> list[dict[str, Any]]:
    answer = await client.get(f"{API}/queue/data", params={"session_hash": session})
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


async def settle(server: Server, held: int) -> None:
    async with asyncio.timeout(60):
        while server.calls.held != held:
            await asyncio.sleep(0)


def test_an_answer_is_fetched_once_and_nothing_is_kept_of_it() -> None:
    async def play() -> None:
        server = Server()
        async with server.client() as client:
            event = (await client.post(f"{API}/queue/join", json=join("a", "now"))).json()["event_id"]
            done, closed = await told(client, "a")
            assert (done["event_id"], done["success"], done["output"]) == (event, True, {"data": ["now"]})
            assert closed == {"msg": "close_stream"}
            assert server.calls.held == 0
            [lost] = await told(client, "a")
            assert lost["session_not_found"]

    asyncio.run(play())


def test_an_error_is_told_in_its_sentence() -> None:
    async def play() -> None:
        async with Server().client() as client:
            await client.post(f"{API}/queue/join", json=join("a", "bad"))
            failed = (await told(client, "a"))[0]
            assert (failed["success"], failed["output"]["error"]) == (False, "that is bad")
            event = (await client.post(f"{API}/call/runs", json={"data": ["bad"]})).json()["event_id"]
            answer = await client.get(f"{API}/call/runs/{event}")
            assert answer.text == 'event: error\ndata: {"error": "that is bad"}\n\n'

    asyncio.run(play())


def test_one_client_cannot_fill_the_table_and_others_are_answered_meanwhile() -> None:
    async def play() -> None:
        server = Server()
        async with server.client() as greedy, server.client("10.0.0.2") as other:
            codes = [
                (await greedy.post(f"{API}/queue/join", json=join(f"s{n}", n))).status_code
                for n in range(MOST_OF_ONE + 50)
            ]
            assert codes == [200] * MOST_OF_ONE + [429] * 50
            refused = await greedy.post(f"{API}/queue/join", json=join("more", 1))
            assert refused.json()["detail"].startswith(f"you wait for {MOST_OF_ONE} answers")
            await other.post(f"{API}/queue/join", json=join("mine", "now"))
            assert (await told(other, "mine"))[0]["success"]
            server.go.set()
            answers = await asyncio.gather(*(told(greedy, f"s{n}") for n in range(MOST_OF_ONE)))
            assert all(answer[0]["success"] for answer in answers)
            assert server.calls.held == 0
            assert (await greedy.post(f"{API}/queue/join", json=join("again", 1))).status_code == 200

    asyncio.run(play())


def test_all_together_cannot_fill_it_for_good() -> None:
    async def play() -> None:
        server = Server()
        clients = [server.client(f"10.0.0.{n}") for n in range(MOST // MOST_OF_ONE + 1)]
        codes = []
        for place in range(MOST + 20):
            client = clients[place // MOST_OF_ONE]
            codes.append((await client.post(f"{API}/queue/join", json=join(f"s{place}", 1))).status_code)
        assert codes == [200] * MOST + [503] * 20
        server.go.set()
        await asyncio.gather(*(told(clients[0], f"s{place}") for place in range(MOST)))
        assert (await clients[0].post(f"{API}/queue/join", json=join("new", "now"))).status_code == 200
        await asyncio.gather(*(client.aclose() for client in clients))

    asyncio.run(play())


def test_who_goes_waits_no_more() -> None:
    async def play() -> None:
        server = Server()
        async with server.client() as client:
            await client.post(f"{API}/queue/join", json=join("a", 1))
            following = asyncio.create_task(told(client, "a"))
            await asyncio.sleep(0.05)
            following.cancel()
            await settle(server, 0)
            event = (await client.post(f"{API}/queue/join", json=join("b", 1))).json()["event_id"]
            await client.post(f"{API}/cancel", json={"session_hash": "b", "event_id": event})
            assert (await told(client, "b"))[0]["output"] == {}
            assert server.calls.held == 0

    asyncio.run(play())


def test_what_is_no_call_gets_a_sentence() -> None:
    async def play() -> None:
        async with Server().client() as client:
            for body in (b"", b"[]", b"{", json.dumps(join("x" * 65)).encode()):
                answer = await client.post(f"{API}/queue/join", content=body)
                assert (answer.status_code, answer.json()["error"][:12]) == (400, "a call needs")
            assert (await client.post(f"{API}/call/v2/none", json={})).status_code == 404
            assert (await client.post(f"{API}/call/v2/runs", json={"x": 1})).status_code == 422

    asyncio.run(play())
