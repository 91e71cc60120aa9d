"""What a served lab writes into its log: text or a line of JSON an entry, and no secrets in either."""

from __future__ import annotations

import copy
import io
import json
import logging
from collections.abc import Iterator

import pytest
from uvicorn.config import LOGGING_CONFIG

from svdlab import logs
from svdlab.environment import Environment, LogForm

SECRETS = {
    "a token": "fetching with hf_abcdefghijklmnop",
    "a header": "Authorization: Bearer something-long",
    "a cookie": "cookie svdlab_visitor=abcdefghijklmnop; a=b",
    "a session": "GET /gradio_api/queue/data?session_hash=abcdefghijklmnop",
    "a picture": f"value data:image/webp;base64,{'UklGR' * 40}",
    "bytes": f"value {'UklGR' * 40}",
    "JSON": '{"token": "abcdefghijklmnop"}',
}


@pytest.fixture
def ours() -> Iterator[logging.Logger]:
    log = logging.getLogger("svdlab")
    before = (log.handlers[:], log.level, log.propagate)
    formatters = copy.deepcopy(LOGGING_CONFIG["formatters"])
    yield log
    log.handlers[:], log.level, log.propagate = before
    LOGGING_CONFIG["formatters"] = formatters


def written(log: logging.Logger, form: LogForm, message: str, error: Exception | None = None) -> str:
    stream = io.StringIO()
    handler = logs.start(Environment(log=form), stream)
    log.getChild("lab.desk").warning("%s", message, exc_info=error)
    log.removeHandler(handler)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_and_pictures_stay_out(ours: logging.Logger, kind: str, form: LogForm) -> None:
    said = written(ours, form, SECRETS[kind], ValueError(SECRETS[kind]))
    for secret in ("abcdefghijklmnop", "something-long", "UklGRUklGR"):
        assert secret not in said


def test_an_entry_is_a_line_of_json(ours: logging.Logger) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as raised:
        said = written(ours, "json", "it broke\nhere", raised)
    [line] = said.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["message"]) == (
        "warning",
        "svdlab.lab.desk",
        "it broke\nhere",
    )
    assert entry["time"].endswith("+00:00")
    assert entry["error"]["kind"] == "ValueError"
    assert "test_logs.py" in entry["error"]["trace"]


def test_ordinary_words_stay_as_they_are() -> None:
    plain = "the queue could not be served: the disk is full; free some room and try again"
    assert logs.clean(plain) == plain
    assert logs.clean("run 0199a0000000aaaaaabcdef0123456789ab") == "run 0199a0000000aaaaaabcdef0123456789ab"
    assert len(logs.clean("x " * 9000)) == logs.MAX_TEXT + 1
