"""One sentence for every way a download can fail: what went wrong and what to do. No token is ever in one.

Knows the hub's answers and errors; asks it nothing.
"""

from __future__ import annotations

import errno
import re
from typing import Any
from urllib.parse import urlsplit

from svdlab.recipes.checkpoint import Checkpoint

TOKEN_PAGE = "https://huggingface.co/settings/tokens"


class Failed(Exception):
    """Ends the work with a sentence."""


class Refused(Exception):
    """The hub answered a request for a file, but not with the file."""

    def __init__(self, response: Any) -> None:
        super().__init__(response.status_code)
        self.response = response


def name_of(checkpoint: Checkpoint) -> str:
    """What a checkpoint is called in a sentence."""
    return checkpoint.name or checkpoint.id


def redact(text: str, *secrets: str | None) -> str:
    """A text without tokens: those given, and whatever looks like one."""
    for secret in secrets:
        if secret and len(secret) > 4:
            text = text.replace(secret, "(token)")
    text = re.sub(r"(?i)\b(authorization\s*[:=]\s*)?bearer\s+\S+", "(token)", text)
    return re.sub(r"\bhf_(oauth_\S+|[A-Za-z0-9]{16,})", "(token)", text)


def _kinds(error: BaseException) -> set[str]:
    """The names of an error's classes: huggingface_hub speaks through httpx in 1.x and httpx2 in 2.x."""
    return {kind.__name__ for kind in type(error).__mro__}


def passing(error: Exception) -> bool:
    """Whether trying again may help: the line broke or hung, or the hub has trouble of its own."""
    if isinstance(error, Refused):
        return bool(error.response.status_code in (408, 500, 502, 503, 504))
    return "TransportError" in _kinds(error) and not _kinds(error) & {
        "LocalProtocolError",
        "UnsupportedProtocol",
    }


def lacks(checkpoint: Checkpoint, file: str) -> str:
    """Of a repository that is not whole."""
    return (
        f"{checkpoint.source.url} has no {file}, which {name_of(checkpoint)} needs; "
        "only safetensors weights in diffusers layout are read"
    )


def cut_off(checkpoint: Checkpoint, so_far: str) -> str:
    """Of a line that broke; `so_far` says how much has come, if anything."""
    return (
        f"the connection broke during the download of {name_of(checkpoint)}; {so_far or 'nothing'} is here already, "
        "start it again and it goes on from there"
    )


def sentence(checkpoint: Checkpoint, error: Exception, sent_token: bool, so_far: str = "") -> str:
    """What went wrong and what to do; `so_far` says how much has come, if anything."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    name, kinds = name_of(checkpoint), _kinds(error)
    host = urlsplit(constants.ENDPOINT).hostname
    if isinstance(error, Failed):
        return str(error)
    if isinstance(error, OfflineModeIsEnabled):
        return f"{name} is not on disk, and HF_HUB_OFFLINE is set; unset it to download it from {checkpoint.source.url}"
    if isinstance(error, (HfHubHTTPError, Refused)):
        return _refusal(checkpoint, error.response, sent_token)
    if isinstance(error, HFValidationError):
        return f"{checkpoint.source.location!r} cannot be a repository of the hub; it should read owner/name"
    if "TransportError" in kinds:
        if so_far:
            return cut_off(checkpoint, so_far)
        if "TimeoutException" in kinds:
            return (
                f"{host} did not answer within {constants.HF_HUB_DOWNLOAD_TIMEOUT} s, so {name} cannot "
                "be downloaded now; try again, or set HF_HUB_DOWNLOAD_TIMEOUT to more seconds"
            )
        if "CERTIFICATE" in str(error).upper():
            return (
                f"the certificate shown for {host} is not trusted here, so {name} cannot be downloaded; "
                "if a proxy stands in between, set SSL_CERT_FILE to its certificate"
            )
        return (
            f"{host} cannot be reached, so {name} cannot be downloaded; "
            "check the connection, and HTTPS_PROXY if one is needed"
        )
    if isinstance(error, OSError):
        return _disk_trouble(name, error, so_far)
    if isinstance(error, (ValueError, KeyError, TypeError, AttributeError)):
        return (
            f"what answers at {host} is not the hub (a network's login page or a proxy?), "
            f"so {name} cannot be downloaded; open {checkpoint.source.url} in a browser to see"
        )
    return f"{name} could not be downloaded ({type(error).__name__}); try again"


def _disk_trouble(name: str, error: OSError, so_far: str) -> str:
    from huggingface_hub import constants

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk with {constants.HF_HUB_CACHE} became full during the download of {name}; "
            f"make room and start it again, it goes on from {so_far or 'there'}"
        )
    return (
        f"{constants.HF_HUB_CACHE} cannot be written ({error.strerror or type(error).__name__}), so {name} cannot be "
        "downloaded; set HF_HOME to a folder that can"
    )


def _refusal(checkpoint: Checkpoint, response: Any, sent_token: bool) -> str:
    """An answer of the hub with a status of 400 and above, in words."""
    name, url = name_of(checkpoint), checkpoint.source.url
    status, code = response.status_code, response.headers.get("x-error-code", "")
    reason = response.headers.get("x-error-message", "").lower()
    gated = code == "GatedRepo" or checkpoint.source.gated
    if status == 401 and sent_token:
        return (
            f"the hub does not know the token, so {name} cannot be downloaded; make a new one at {TOKEN_PAGE}"
        )
    if status in (401, 403) and gated and not sent_token:
        return (
            f"{name} is given out to those who accepted its terms: log in at {url}, accept them there, "
            "then set HF_TOKEN or run `hf auth login`"
        )
    if status == 403 and "fine-grained" in reason:
        return (
            f"this token may not read gated repositories such as {name}: edit it at {TOKEN_PAGE} and allow "
            "read access to all public gated repositories you can access"
        )
    if status == 403 and "awaiting" in reason:
        return f"the request for {name} is waiting for its makers to agree; see {url}, and try again when they have"
    if status == 403 and "disabled" in reason:
        return f"{name} has been taken off the hub by its makers or by the hub; see {url}"
    if status == 403 and gated:
        return f"the terms of {name} are not accepted by this token's account: accept them at {url}, then try again"
    if status == 403:
        return (
            f"the hub does not let this token read {name}; see at {TOKEN_PAGE} what it may read, and at {url}"
        )
    if code == "RevisionNotFound":
        revision = checkpoint.source.revision or "main"
        return (
            f"{url} has no branch, tag or commit {revision!r}, which {name} names; choose one that is there"
        )
    if code == "EntryNotFound":
        file = response.url.path.partition("/resolve/")[2].partition("/")[2]
        return lacks(checkpoint, file or "such file")
    if status in (401, 404):
        return (
            f"the hub has no repository {checkpoint.source.location}, or does not show it "
            f"{'to this token' if sent_token else 'without a token'}; look at {url}"
        )
    if status == 429:
        wait = response.headers.get("retry-after", "") or "".join(
            re.findall(r"t=(\d+)", response.headers.get("ratelimit", ""))[:1]
        )
        when = f"in {wait} s" if wait.isdigit() else "in some minutes"
        return f"the hub has had too many requests from here; try again {when}" + (
            "" if sent_token else ", or set HF_TOKEN, with which more are allowed"
        )
    if status >= 500:
        return (
            f"the hub has trouble of its own ({status}), so {name} cannot be downloaded now; try again later"
        )
    return f"the hub refused {name} ({status}); look at {url}"
