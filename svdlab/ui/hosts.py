"""By which names the lab may be called, and which pages may send it something. Knows headers; nothing of the lab.

A page elsewhere can have its own name point at this machine (DNS rebinding) and would then be of the lab's origin; so a
name that is not the lab's is not answered. An address in digits cannot be pointed anywhere, so any is.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from svdlab.environment import Environment

LOCAL = ("localhost", "*.localhost")
SPACES = "*.hf.space"
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Hosts:
    """The lab's names, in small letters; `*.` before one stands for whatever is below it."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, environment: Environment, listening: str = "") -> Hosts:
        """This machine's names, a Space's, what it listens at, and what `SVDLAB_HOSTS` adds."""
        machine = socket.gethostname().lower()
        space = (SPACES,) if environment.space else ()
        given = (listening, environment.host, environment.space_host)
        return cls((*LOCAL, machine, f"{machine}.local", *filter(None, given), *space, *environment.hosts))

    def answers(self, host: str) -> bool:
        """Whether a Host header names the lab."""
        name = _name(host)
        if name is None:
            return False
        return _is_address(name) or any(_matches(name, own.lower().strip("[]")) for own in self.names)

    def same_origin(self, origin: str, host: str) -> bool:
        """Whether an Origin header is of a page of the lab that a Host header names.

        Behind a proxy the lab may see another name than the page's: then the page's must be one of the lab's own that
        is no machine's, so that another server of this machine is still another origin.
        """
        try:
            parts = urlsplit(origin)
            netloc, name = _netloc(parts.netloc, parts.scheme), _name(parts.netloc)
        except ValueError:
            return False
        if parts.scheme not in DEFAULT_PORTS or name is None:
            return False
        if netloc == _netloc(host, parts.scheme):
            return True
        public = [own for own in self.names if own not in LOCAL and "." in own and not own.endswith(".local")]
        return not _is_address(name) and any(own == name for own in public)


def _name(netloc: str) -> str | None:
    """The name in `name:port`; None where there is none."""
    try:
        return urlsplit(f"//{netloc}").hostname
    except ValueError:
        return None


def _netloc(netloc: str, scheme: str) -> str:
    """`name:port` with the port said and the name in small letters."""
    parts = urlsplit(f"//{netloc}")
    return f"{parts.hostname}:{parts.port or DEFAULT_PORTS.get(scheme)}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _matches(name: str, own: str) -> bool:
    return name.endswith(own[1:]) if own.startswith("*.") else name == own
