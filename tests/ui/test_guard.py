"""What every request passes first: whose name it calls, whose page sent it, how large it is, what browsers are told."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

from svdlab.environment import Environment
from svdlab.ui.guard import MAX_BODY, Guard
from svdlab.ui.identity import COOKIE, visitor_of

HERE = "127.0.0.1:7860"
ROUTE = "/gradio_api/queue/join"


async def page(_: Request) -> HTMLResponse:
    return HTMLResponse("<p>the lab</p>", headers={"Access-Control-Allow-Origin": "*"})


async def take(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


SERVED = Starlette(
    routes=[
        Route("/", page),
        Route("/gradio_api/file={path:path}", page),
        Route("/gradio_api/proxy={path:path}", page),
        Route(ROUTE, take, methods=["POST"]),
    ]
)


def ask(
    method: str = "GET",
    path: str = "/",
    environment: Environment | None = None,
    body: Any = None,
    **headers: str,
) -> httpx.Response:
    """What a guarded app answers; `_` in a header's name stands for `-`."""
    app = Guard(SERVED, environment or Environment(), "127.0.0.1")
    given = {name.replace("_", "-"): value for name, value in headers.items()}

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{HERE}") as client:
            return await client.request(method, path, content=body, headers=given)

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:7860", True),
        ("localhost:7860", True),
        ("lab.localhost", True),
        ("[::1]:7860", True),
        ("192.168.1.9:7860", True),  # no other page can have an address in digits for its name
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("someone-svdlab.hf.space", False),
        ("", False),
        ("[", False),
        ("@localhost", True),
        ("evil.example@127.0.0.1", True),  # still this machine's address, whatever is before it
    ],
)
def test_only_the_labs_own_names_are_answered(host: str, answered: bool) -> None:
    said = ask(host=host)
    assert (said.status_code == 200) == answered
    if not answered:
        assert said.status_code == 421
        assert (
            said.text
            == "This lab does not answer to that name; whoever runs it can allow it with SVDLAB_HOSTS."
        )


def test_a_space_and_named_hosts_are_answered() -> None:
    space = Environment(space="someone/svdlab", space_host="someone-svdlab.hf.space")
    assert ask(environment=space, host="someone-svdlab.hf.space").status_code == 200
    named = Environment(hosts=("lab.example.org", "*.example.net"))
    for host, status in (
        ("lab.example.org", 200),
        ("a.example.net:443", 200),
        ("example.org", 421),
        ("example.net", 421),
    ):
        assert ask(environment=named, host=host).status_code == status, host


@pytest.mark.parametrize(
    ("headers", "answered"),
    [
        ({}, True),  # a program
        ({"origin": f"http://{HERE}"}, True),
        ({"origin": f"https://{HERE}"}, True),  # a proxy took the encryption off
        ({"origin": "http://127.0.0.1:3000"}, False),  # another server of this machine
        ({"origin": "http://localhost:7860"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "file://"}, False),
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "same-site"}, False),
    ],
)
def test_another_sites_page_changes_nothing_here(headers: dict[str, str], answered: bool) -> None:
    for path in (ROUTE, "/gradio_api/upload"):
        said = ask("POST", path, body=b"{}", **headers)
        assert (said.status_code != 403) == answered
    if not answered:
        assert said.text == "Another site's page may not do that here; open the lab itself."


def test_behind_a_proxy_the_pages_name_counts_if_it_is_the_labs() -> None:
    named = Environment(hosts=("lab.example.org",))
    said = ask("POST", ROUTE, named, b"", origin="https://lab.example.org", host="10.0.0.3:7860")
    assert said.status_code == 200
    said = ask("POST", ROUTE, named, b"", origin="https://evil.example", host="10.0.0.3:7860")
    assert said.status_code == 403


def test_another_sites_page_reads_nothing_here() -> None:
    assert "access-control-allow-origin" in ask(origin=f"http://{HERE}").headers
    assert "access-control-allow-origin" not in ask(origin="https://evil.example").headers


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not() -> None:
    large = bytes(MAX_BODY + 1)

    async def pieces() -> Any:
        for _ in range(5):
            yield bytes(MAX_BODY // 4)

    assert ask("POST", ROUTE, body=bytes(MAX_BODY)).text == str(MAX_BODY)
    assert ask("POST", ROUTE, body=large).status_code == 413
    assert ask("POST", ROUTE, body=pieces()).status_code == 413
    assert ask("POST", ROUTE, body=b"", content_length="nothing").status_code == 413


def test_what_gradio_serves_and_the_lab_has_no_use_for_is_closed() -> None:
    assert ask(path="/gradio_api/proxy=https://evil.example").status_code == 404
    assert ask(path="/gradio_api/file=/nothing").status_code == 200


def test_browsers_are_told_what_a_page_may_load_and_who_may_frame_it() -> None:
    own, space = ask(), ask(environment=Environment(space="someone/svdlab"))
    for said in (own, space, ask(host="evil.example")):
        assert said.headers["x-content-type-options"] == "nosniff"
        assert said.headers["referrer-policy"] == "same-origin"
        assert "camera=(self)" in said.headers["permissions-policy"]  # the page takes pictures, if asked to
    assert "frame-ancestors 'self'" in own.headers["content-security-policy"]
    assert "huggingface.co" not in own.headers["content-security-policy"].split("frame-ancestors")[1]
    assert "frame-ancestors 'self' https://huggingface.co" in space.headers["content-security-policy"]
    a_file = ask(path="/gradio_api/file=/clip.html").headers["content-security-policy"]
    assert "sandbox" in a_file
    assert "script-src" not in a_file


def test_a_visitor_of_a_public_lab_gets_a_cookie_once() -> None:
    public = Environment(public=True)
    given = ask(environment=public).headers["set-cookie"]
    assert given.startswith(f"{COOKIE}=")
    assert "HttpOnly; SameSite=Lax" in given
    assert "Secure" not in given  # by http from this machine
    assert "Secure" in ask(environment=public, x_forwarded_proto="https").headers["set-cookie"]
    on_a_space = ask(environment=Environment(space="someone/svdlab")).headers["set-cookie"]
    assert "SameSite=None; Secure; Partitioned" in on_a_space  # it stands in a frame of huggingface.co
    assert "set-cookie" not in ask(environment=public, cookie=given.split(";")[0]).headers
    assert "set-cookie" not in ask().headers
    assert "set-cookie" not in ask(environment=public, path="/gradio_api/file=/clip.html").headers


def request(address: str = "203.0.113.5", **headers: str) -> Request:
    """A request from an address."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw, "client": (address, 5000), "path": "/", "method": "GET"})


PUBLIC = Environment(public=True, operator="the operator's own secret")


def test_at_ones_own_machine_everybody_is_the_operator() -> None:
    assert visitor_of(Environment(), request()).operator
    assert visitor_of(Environment(), None).operator


def test_a_visitor_is_known_by_its_secret_and_the_secret_is_not_kept() -> None:
    one = visitor_of(PUBLIC, request(cookie=f"{COOKIE}=secret-of-one"))
    assert visitor_of(PUBLIC, request("203.0.113.77", cookie=f"{COOKIE}=secret-of-one")).id == one.id
    assert visitor_of(PUBLIC, request(cookie=f"{COOKIE}=secret-of-two")).id != one.id
    assert "secret" not in one.id
    by_token = visitor_of(PUBLIC, request(authorization="Bearer hf_something"))
    assert by_token.id not in ("", one.id)
    assert not by_token.operator


def test_whoever_has_no_secret_is_nobody_and_owns_nothing() -> None:
    for sent in (None, request(), request(cookie=f"{COOKIE}=short"), request(authorization="Bearer ")):
        nobody = visitor_of(PUBLIC, sent)
        assert nobody.id == ""
        assert not nobody.owns("")
        assert not nobody.owns(None)


def test_the_operator_shows_the_operators_token() -> None:
    assert visitor_of(PUBLIC, request(authorization=f"Bearer {PUBLIC.operator}")).operator
    assert not visitor_of(PUBLIC, request(authorization="Bearer the operator's own secrets")).operator
    assert not visitor_of(Environment(public=True), request(authorization="Bearer ")).operator


def test_turns_are_taken_by_address_however_many_secrets_there_are() -> None:
    lanes = {visitor_of(PUBLIC, request(cookie=f"{COOKIE}=secret-{n}")).lane for n in range(9)}
    assert len(lanes) == 1
    assert visitor_of(PUBLIC, request("203.0.113.6")).lane not in lanes
    assert "203.0.113.5" not in lanes
    household = {visitor_of(PUBLIC, request(f"2001:db8:1:2::{n}")).lane for n in range(1, 9)}
    assert len(household) == 1


def test_a_forwarded_address_counts_as_far_as_proxies_are_trusted() -> None:
    forged = request("10.0.0.1", x_forwarded_for="1.2.3.4, 203.0.113.5")
    direct = visitor_of(PUBLIC, request("10.0.0.1")).lane
    assert visitor_of(PUBLIC, forged).lane == direct
    behind = Environment(public=True, proxies=1)
    assert visitor_of(behind, forged).lane == visitor_of(PUBLIC, request("203.0.113.5")).lane
    assert visitor_of(behind, request("10.0.0.1")).lane == direct
