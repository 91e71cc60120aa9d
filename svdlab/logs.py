"""The log of a lab that is served: for people as text, for programs a line of JSON an entry; secrets stay out of both.

Neither tokens, cookies and session names nor the content of pictures are written, whoever logs them. Knows logging;
nothing of the lab.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

from svdlab.environment import Environment

MAX_TEXT = 4000  # characters of one message or trace
_SECRETS = (
    (re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,[\w+/=-]*"), "[picture]"),
    (re.compile(r"[A-Za-z0-9+/_-]{120,}={0,2}"), "[data]"),
    (re.compile(r"\bhf_[A-Za-z0-9]{6,}"), "[token]"),
    (re.compile(r"(?i)\bbearer\s+[^\s'\",;]+"), "Bearer [token]"),
    (
        re.compile(
            r"(?i)(svdlab_visitor|session_hash|access_token|authorization|token|password|secret)"
            r"(['\"]?\s*[=:]\s*['\"]?)[^\s'\",;&}]+"
        ),
        r"\1\2[secret]",
    ),
)


def clean(text: str) -> str:
    """A text without secrets and pictures, at most `MAX_TEXT` characters of it."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


class Text(logging.Formatter):
    """An entry for a person: time, level, message, and where an unforeseen fault came from."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """As logging's, without secrets."""
        return clean(super().format(record))


class Lines(logging.Formatter):
    """An entry as a line of JSON: time, level, logger, message and, of a fault, its kind, sentence and trace."""

    def format(self, record: logging.LogRecord) -> str:
        """One object without a line break."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": clean(record.getMessage()),
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            entry["error"] = {
                "kind": type(error).__name__,
                "message": clean(str(error)),
                "trace": clean(self.formatException(record.exc_info)),
            }
        return json.dumps(entry, ensure_ascii=False)


def start(environment: Environment, stream: TextIO | None = None) -> logging.Handler:
    """Has svdlab's log written, to standard error unless named, and in JSON the server's as well.

    Returns the handler, so that it can be taken away again.
    """
    as_json = environment.log == "json"
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines() if as_json else Text())
    ours = logging.getLogger("svdlab")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO if as_json else logging.WARNING)
    ours.propagate = False
    if as_json:
        from uvicorn.config import LOGGING_CONFIG  # read when the server is started

        for formatter in LOGGING_CONFIG["formatters"].values():
            formatter.clear()
            formatter["()"] = "svdlab.logs.Lines"
    return handler
