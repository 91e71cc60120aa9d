"""Who sends a request: a cookie, a token or a session names a visitor, an address its lane; only hashes leave here.

On a machine of one's own everybody is its operator. What a request says is untrusted, and none of it is kept or logged.
Knows requests and the environment; nothing of what is allowed.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from typing import Any

from svdlab.environment import Environment
from svdlab.lab.lab import Lab
from svdlab.lab.visit import Visit
from svdlab.recipes.visitors import NOBODY, OPERATOR, Visitor

COOKIE = "svdlab_visitor"
_LANES = secrets.token_bytes(16)  # another for each start: no address can be told from what is kept


def visit_of(lab: Lab, request: Any) -> Visit:
    """The lab as whoever sent a request has it; `request` is starlette's, Gradio's, or None where there is none."""
    return Visit(lab, visitor_of(lab.environment, request))


def visitor_of(environment: Environment, request: Any) -> Visitor:
    """Who sent a request: the operator, a visitor by its own secret, or nobody in particular."""
    if not environment.shared:
        return OPERATOR
    session = getattr(request, "session_hash", None)
    request = getattr(request, "request", None) or request  # Gradio's wraps starlette's
    if request is None:
        return NOBODY
    token = _bearer(request.headers)
    if token and environment.operator and hmac.compare_digest(token.encode(), environment.operator.encode()):
        return OPERATOR
    lane = _hash("lane", _network(address_of(environment, request)), _LANES)
    for kind, secret in (("token", token), ("cookie", request.cookies.get(COOKIE)), ("session", session)):
        if isinstance(secret, str) and len(secret) >= 8:
            return Visitor(_hash(kind, secret), lane)
    return Visitor(lane=lane)


def address_of(environment: Environment, request: Any) -> str:
    """The address a request comes from: what the last trusted proxy saw, else the connection's."""
    trusted = environment.trusted_proxies
    seen = [part.strip() for part in str(request.headers.get("x-forwarded-for") or "").split(",")]
    if trusted and len(seen) >= trusted and seen[-trusted]:
        return seen[-trusted]
    client = getattr(request, "client", None)
    return str(getattr(client, "host", "") or "")


def new_secret() -> str:
    """What a visitor's cookie holds."""
    return secrets.token_urlsafe(24)


def _bearer(headers: Any) -> str:
    """The token a program sends; Gradio's client sends it under a name of its own as well."""
    for name in ("x-hf-authorization", "authorization"):
        kind, _, token = str(headers.get(name) or "").partition(" ")
        if kind.lower() == "bearer" and token.strip():
            return token.strip()
    return ""


def _network(address: str) -> str:
    """Who is likely to be one: an address, or the 64 bits of an IPv6 one that a household has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{found}/64", strict=False)) if found.version == 6 else str(found)


def _hash(kind: str, secret: str, key: bytes = b"svdlab") -> str:
    return hmac.new(key, f"{kind}\0{secret}".encode(), hashlib.sha256).hexdigest()[:32]
