"""Agents: the named endpoints as tools, called by the protocol's own client."""

from __future__ import annotations

import ast
import asyncio
import base64
import io
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.request import urlopen

import pytest
from gradio_client import Client
from PIL import Image

from svdlab.environment import Environment
from svdlab.ui import launch
from svdlab.workers import open_lab

pytest.importorskip("mcp", reason="the package mcp is not installed (requirements-mcp.txt)")

SMALL = {"width": 64, "height": 64, "num_frames": 2, "num_inference_steps": 1}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    environment = replace(Environment(), mcp=True, device="cpu")
    with open_lab(tmp_path_factory.mktemp("mcp"), environment=environment) as lab:
        yield launch(lab, port=None, block=False)


def in_session(address: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def run() -> Any:
        server = f"{address.rstrip('/')}/gradio_api/mcp/"
        async with streamablehttp_client(server) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            return await work(session)

    return asyncio.run(run())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_tools_are_the_named_endpoints_with_their_words(served: str) -> None:
    async def work(session: Any) -> Any:
        return (await session.list_tools()).tools

    tools = {tool.name: tool for tool in in_session(served, work)}
    client = Client(served, verbose=False)
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    client.close()
    assert tools.keys() == {name.strip("/") for name in named}
    assert "A picture in, a video and its recipe out" in tools["generate"].description
    assert {"picture", "motion_bucket_id", "seed"} <= tools["generate"].inputSchema["properties"].keys()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_agent_makes_a_clip_and_gets_its_recipe(served: str) -> None:
    async def work(session: Any) -> Any:
        asked = {"picture": data_address(), "checkpoint": "demo-1-0", "seed": 7, **SMALL}
        return await session.call_tool("generate", asked)

    made = in_session(served, work)
    assert not made.isError, made.content
    address, recipe = made.content[0].text, ast.literal_eval(made.content[1].text)
    with urlopen(address) as clip:
        assert clip.read(8)[4:] == b"ftyp"
    assert recipe["checkpoint"] == "demo-1-0"
    assert recipe["settings"]["seed"] == 7


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"width": 65}, "width"),
        ({"checkpoint": "nobody"}, "there is no checkpoint 'nobody'"),
        ({"picture": "http://127.0.0.1:9/a.png"}, "the arguments are not those of this call"),
    ],
)
def test_a_wrong_call_is_answered_with_its_sentence(served: str, wrong: dict[str, Any], said: str) -> None:
    async def work(session: Any) -> Any:
        return await session.call_tool("generate", {"picture": data_address(), **SMALL, **wrong})

    refused = in_session(served, work)
    assert refused.isError
    assert said in refused.content[0].text
    assert "Traceback" not in refused.content[0].text


def data_address() -> str:
    """A picture as an agent may send it: its bytes in the address."""
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((96, 64)).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
