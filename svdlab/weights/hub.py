"""Weights from the Hugging Face hub: what is needed, how much is missing, and a download one can watch and stop.

Knows the hub's addresses, its cache on disk and the catalogue; nothing of tensors, runs or screens. Files end where
every other tool looks for them; tokens are sent, never kept, and appear in no message.

The bytes are fetched here rather than by `hf_hub_download`: that now writes to a file with a random name and deletes it
when it is cut off (huggingface_hub pull 4306: "resuming a failed download is no longer possible"), so 4 GB would start
over. hf_xet, which it prefers, has no resume either and stops only with all other downloads of the process, so plain
HTTP is spoken, which the hub serves for every file below 50 GB. The layout written is the one documented at
https://huggingface.co/docs/hub/local-cache.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from svdlab.errors import Cancelled, CheckpointUnavailable
from svdlab.recipes.checkpoint import Checkpoint, Source, folder_bytes, weight_name

CONFIGS = (
    "feature_extractor/preprocessor_config.json",
    "image_encoder/config.json",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "vae/config.json",
)
TOKEN_PAGE = "https://huggingface.co/settings/tokens"
POLL = 0.2  # seconds between two looks at the work: how soon a stop is heard, how often progress is told
RETRY_WAITS = (0.3, 1.0, 2.0)  # seconds before trying again; after any new bytes, patience starts anew
CHUNK = 1 << 20  # bytes, reading back what an earlier download left


@dataclass(frozen=True)
class PlannedFile:
    """One file of a plan. `digest` is its name in the cache: SHA-256, or git's SHA-1 for small text files."""

    name: str  # path in the repository
    bytes: int
    cached: bool  # whole, in the hub's cache
    digest: str
    bytes_here: int  # of a cached file all, of one cut off what is there


@dataclass(frozen=True)
class Plan:
    """What a download would fetch, pinned to one commit."""

    repo: str
    commit: str  # 40 hexadecimal digits
    files: tuple[PlannedFile, ...]  # in the order they are fetched
    absent: tuple[str, ...] = ()  # variant files the repository lacks; the plain ones are taken

    @property
    def bytes_total(self) -> int:
        """Of all files, here or not."""
        return sum(file.bytes for file in self.files)

    @property
    def bytes_missing(self) -> int:
        """Still to come; what an earlier, cut off download left counts as here."""
        return sum(file.bytes - file.bytes_here for file in self.files)


@dataclass(frozen=True)
class Progress:
    """How far a download is. `bytes_done` counts what was here before; it never goes back."""

    file: str  # the one being fetched
    bytes_done: int
    bytes_total: int
    bytes_per_second: float  # over the last ten seconds
    seconds_left: float | None  # None while nothing comes


def token() -> str | None:
    """The token of this machine: HF_TOKEN, or what `hf auth login` stored; None if there is none."""
    from huggingface_hub import constants, get_token

    return None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()


def needed_files(source: Source) -> list[str]:
    """Patterns (as of `fnmatch`) of the files a checkpoint is loaded from, in a repository in diffusers layout."""
    return ["model_index.json", "*/*.json", *(wanted for wanted, _ in _weights(source))]


def snapshot(source: Source) -> Path | None:
    """The folder of a complete download in the hub's cache, or None; the network is not asked.

    Complete also where the repository is known to have no files of the variant and the plain ones are here.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    def look(name: str) -> Any:  # a path, None if unknown, another object if known not to exist
        try:
            return try_to_load_from_cache(source.location, name, revision=source.revision)
        except HFValidationError:  # not a repository's name
            return None

    def here(wanted: str, plain: str) -> bool:
        found = look(wanted)
        return isinstance(found, str) or (found is not None and isinstance(look(plain), str))

    index = look("model_index.json")
    pairs = [*((name, name) for name in CONFIGS), *_weights(source)]
    if not isinstance(index, str) or not all(here(*pair) for pair in pairs):
        return None
    return Path(index).parent


def plan(checkpoint: Checkpoint, token: str | None = None) -> Plan:
    """Asks the hub what a download would fetch. `token` (default: this machine's) is used for this call alone.

    Raises `CheckpointUnavailable` with what to do.
    """
    try:
        return _look_up(checkpoint, _token_to_send(token))
    except Exception as error:
        sentence = _sentence(checkpoint, error, bool(token or _machine_has_token()))
    raise CheckpointUnavailable(_redact(sentence, token))  # outside: no request hangs on as its context


def download(
    checkpoint: Checkpoint,
    token: str | None = None,
    stop: Callable[[], bool] = lambda: False,
    plan: Plan | None = None,
) -> Iterator[Progress]:
    """Fetches what is missing into the hub's own cache and tells how far it is, about five times a second.

    `token` (default: this machine's) is used for this call alone; `stop` is asked as often as progress is told. With a
    `plan`, exactly that commit is fetched; without one, and with a complete snapshot here, the network is not asked.
    Raises `CheckpointUnavailable` with what to do, `Cancelled`; either way what has come stays, and the next download
    goes on from there.
    """
    name = _name(checkpoint)
    if stop():
        raise Cancelled(f"the download of {name} was stopped")
    if plan is None and (folder := snapshot(checkpoint.source)) is not None:
        here = folder_bytes(folder)
        yield Progress("", here, here, 0.0, 0.0)
        return
    work = _Work(checkpoint, token, plan)
    work.start()
    meter = _Meter()
    try:
        while not work.ended.wait(POLL):
            if stop():
                raise Cancelled(f"the download of {name} was stopped; the next one goes on from there")
            if work.plan is not None:
                yield meter.read(work.file, work.done, work.plan.bytes_total)
    finally:
        work.stop()
    if work.failure is not None:
        raise CheckpointUnavailable(work.failure)
    assert work.plan is not None
    yield meter.read(work.file, work.plan.bytes_total, work.plan.bytes_total)


def _weights(source: Source) -> list[tuple[str, str]]:
    """The weights files: as the variant is named, and as they are named without one."""
    stems = [("unet", "diffusion_pytorch_model"), ("image_encoder", "model")]
    if source.image_decoder_file is None:
        stems.append(("vae", "diffusion_pytorch_model"))
    pairs = [
        (f"{part}/{weight_name(s, source.variant)}", f"{part}/{weight_name(s, None)}") for part, s in stems
    ]
    if source.image_decoder_file is not None:
        pairs.append((source.image_decoder_file, source.image_decoder_file))
    return pairs


class _Failed(Exception):
    """Ends the work with a sentence."""


class _Stopped(Exception):
    """Ends the work without one."""


class _Refused(Exception):
    """The hub answered a request for a file, but not with the file."""

    def __init__(self, response: Any) -> None:
        super().__init__(response.status_code)
        self.response = response


def _token_to_send(given: str | None) -> str | None:
    sent = ((given if given else token()) or "").strip()
    if sent and not re.fullmatch(r"[!-~]+", sent):
        raise _Failed(f"the token holds characters that no token has; copy it again from {TOKEN_PAGE}")
    return sent or None


def _machine_has_token() -> bool:
    return token() is not None


def _look_up(checkpoint: Checkpoint, sent: str | None) -> Plan:
    from huggingface_hub import HfApi, constants

    source, name = checkpoint.source, _name(checkpoint)
    if source.kind != "hub":
        raise _Failed(f"{name} is not on the hub, its weights are at {source.location}")
    if ".." in (source.revision or ""):  # it names a file in the cache
        raise _Failed(
            f"{name} cannot have {source.revision!r} as its revision; give a branch, a tag or a commit"
        )
    info = HfApi(token=sent or False).model_info(
        source.location,
        revision=source.revision,
        files_metadata=True,
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
    )
    listed = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    absent = tuple(wanted for wanted, plain in _weights(source) if wanted not in listed and plain in listed)
    weights = [plain if wanted in absent else wanted for wanted, plain in _weights(source)]
    for file in ("model_index.json", *CONFIGS, *weights):
        if file not in listed:
            raise _Failed(_missing(checkpoint, file))
    names = [n for n in listed if n in weights or any(fnmatchcase(n, p) for p in needed_files(source))]
    commit = info.sha or ""
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise ValueError("no commit")
    files = [_planned(_Cache(source.location, commit), listed[n]) for n in names]
    # The index last: with it a snapshot counts as there, so everything else has to be.
    files.sort(key=lambda file: (file.name == "model_index.json", file.bytes, file.name))
    return Plan(source.location, commit, tuple(files), absent)


def _planned(cache: _Cache, sibling: Any) -> PlannedFile:
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    size = sibling.lfs.size if sibling.lfs else sibling.size
    parts = PurePosixPath(sibling.rfilename).parts
    if ".." in parts or "\\" in sibling.rfilename or ":" in sibling.rfilename or sibling.rfilename[0] == "/":
        raise ValueError("a file outside the repository")
    if not isinstance(size, int) or not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", digest or ""):
        raise ValueError("a file without size or hash")
    cached = size in (_size(cache.pointer(sibling.rfilename)), _size(cache.blob(digest)))
    partial = _size(cache.partial(digest)) or 0
    here = size if cached else partial if partial <= size else 0
    return PlannedFile(sibling.rfilename, size, cached, digest, here)


class _Cache:
    """The hub's cache of one repository at one commit: blobs by hash, a snapshot of links to them, refs to commits."""

    def __init__(self, repo: str, commit: str) -> None:
        from huggingface_hub import constants

        self.root = Path(constants.HF_HUB_CACHE)
        self.home = self.root / f"models--{repo.replace('/', '--')}"
        self.commit = commit

    def pointer(self, name: str) -> Path:
        return self.home / "snapshots" / self.commit / name

    def blob(self, digest: str) -> Path:
        return self.home / "blobs" / digest

    def partial(self, digest: str) -> Path:
        return self.home / "blobs" / f"{digest}.incomplete"

    def lock(self, digest: str) -> Path:
        return self.root / ".locks" / self.home.name / f"{digest}.lock"

    def link(self, file: PlannedFile) -> None:
        """Puts a blob into the snapshot."""
        pointer, blob = self.pointer(file.name), self.blob(file.digest)
        if _size(pointer) == file.bytes:
            return
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)
        try:
            pointer.symlink_to(os.path.relpath(blob, pointer.parent))
        except OSError:  # Windows without developer mode: the file itself, as the hub does there
            blob.replace(pointer)

    def settle(self, revision: str | None, absent: tuple[str, ...]) -> None:
        """Notes which commit a branch or tag stands for, and which files there are known not to be."""
        for name in absent:
            note = self.home / ".no_exist" / self.commit / name
            note.parent.mkdir(parents=True, exist_ok=True)
            note.touch()
        ref = self.home / "refs" / (revision or "main")
        if revision == self.commit or (ref.is_file() and ref.read_text(encoding="utf-8") == self.commit):
            return
        ref.parent.mkdir(parents=True, exist_ok=True)
        new = ref.with_name(f"{ref.name}.{os.getpid()}.tmp")
        new.write_text(self.commit, encoding="utf-8")
        new.replace(ref)


class _Work(threading.Thread):
    """One download in a thread of its own, so that a read that hangs keeps nobody from stopping."""

    def __init__(self, checkpoint: Checkpoint, token: str | None, plan: Plan | None) -> None:
        super().__init__(name="svdlab-hub", daemon=True)
        self.checkpoint, self.plan = checkpoint, plan
        self.file, self.done = "", 0  # bytes of all files
        self.failure: str | None = None
        self.ended = threading.Event()
        self._token, self._headers = token, dict[str, str]()
        self._stopped = threading.Event()
        self._socket: Any = None

    def stop(self) -> None:
        """Ends it, at the latest within the hub's timeout; a read under way ends now."""
        self._stopped.set()
        if (hanging := self._socket) is not None:
            with suppress(OSError, TypeError):
                socket.socket.shutdown(hanging, socket.SHUT_RDWR)
        self.join(timeout=0.5)

    def run(self) -> None:
        try:
            self._run()
        except _Stopped:
            pass
        except Exception as error:
            sentence = _sentence(self.checkpoint, error, "authorization" in self._headers, self._so_far())
            self.failure = _redact(sentence, self._token)
        finally:
            self._token, self._headers = None, {}
            self.ended.set()

    def _run(self) -> None:
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined, unused-ignore]

        sent = _token_to_send(self._token)
        # Compressed answers cannot be resumed: ranges count the bytes as sent.
        self._headers = {**build_hf_headers(token=sent or False), "accept-encoding": "identity"}
        plan = self.plan or _look_up(self.checkpoint, sent)
        cache = _Cache(plan.repo, plan.commit)
        self.done = plan.bytes_total - plan.bytes_missing
        self.plan = plan
        self._check_room(cache.root, plan.bytes_missing)
        for file in plan.files:
            self._check()
            self.file = file.name
            self._get(cache, file)
        cache.settle(self.checkpoint.source.revision, plan.absent)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise _Stopped

    def _check_room(self, folder: Path, needed: int) -> None:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        if needed > free:
            raise _Failed(
                f"{_name(self.checkpoint)} needs {_amount(needed)} more, but only {_amount(free)} are free in {folder};"
                " make room there, or set HF_HOME to a folder on a larger disk"
            )

    def _so_far(self) -> str:
        if self.plan is None or self.done == 0:
            return ""
        return f"{_amount(self.done)} of {_amount(self.plan.bytes_total)}"

    def _get(self, cache: _Cache, file: PlannedFile) -> None:
        """One file into the cache, unless it is there, perhaps by another process that was faster."""
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined, unused-ignore]

        before = self.done - file.bytes_here
        if _size(cache.pointer(file.name)) != file.bytes:
            lock = cache.lock(file.digest)  # the one that the hub's own client takes
            lock.parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as held:
                while True:
                    with suppress(TimeoutError):
                        held.enter_context(WeakFileLock(lock, timeout=POLL))
                        break
                    self._check()
                if _size(cache.blob(file.digest)) != file.bytes:
                    self._fetch(cache, file, before)
                cache.link(file)
        self.done = max(self.done, before + file.bytes)

    def _fetch(self, cache: _Cache, file: PlannedFile, before: int) -> None:
        """A file's missing bytes after those that are here; `before` is how many the others have."""
        partial = cache.partial(file.digest)
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        here = _size(partial) or 0
        digest = hashlib.sha256() if len(file.digest) == 64 else hashlib.sha1(b"blob %d\0" % file.bytes)
        # Written in place, not appended: where locks do not work (Lustre, some NFS) two writers do no harm.
        with partial.open("r+b") as out:
            if here > file.bytes:
                out.truncate(here := 0)
            while out.tell() < here and (read := out.read(min(CHUNK, here - out.tell()))):
                digest.update(read)
                self._check()
            self._fill(out, digest, file, here, before)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != file.digest:
            partial.unlink()
            raise _Failed(
                f"{file.name} of {_name(self.checkpoint)} arrived damaged and was thrown away; start the download again"
            )
        partial.replace(cache.blob(file.digest))

    def _fill(self, out: BinaryIO, digest: Any, file: PlannedFile, have: int, before: int) -> None:
        """Reads from the hub until the file is whole, as often as the line breaks while anything comes."""
        self.done, waits = max(self.done, before + have), iter(RETRY_WAITS)
        while have < file.bytes:
            trouble: Exception = _Failed(_cut(self.checkpoint, self._so_far()))
            try:
                with closing(self._bytes_from(file, have)) as chunks:
                    for chunk in chunks:
                        out.write(chunk)
                        digest.update(chunk)
                        have += len(chunk)
                        self.done, waits = max(self.done, before + have), iter(RETRY_WAITS)
            except Exception as error:
                self._check()  # an error that stop() made is none
                if not _passing(error):
                    raise
                trouble = error
            if have < file.bytes:
                wait = next(waits, None)
                if wait is None:
                    raise trouble
                self._stopped.wait(wait)
                self._check()

    def _bytes_from(self, file: PlannedFile, have: int) -> Generator[bytes, None, None]:
        """What the hub sends of a file from byte `have` on, up to its size."""
        from huggingface_hub import constants, get_session, hf_hub_url

        assert self.plan is not None
        url = hf_hub_url(self.plan.repo, file.name, revision=self.plan.commit)
        headers = {**self._headers, **({"range": f"bytes={have}-"} if have else {})}
        # The client drops the token when it is sent on to another host, as it is for large files.
        with get_session().stream(
            "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, follow_redirects=True
        ) as response:
            stream = response.extensions.get("network_stream")
            self._socket = stream.get_extra_info("socket") if stream is not None else None
            try:
                self._check()
                if response.status_code not in (200, 206):
                    raise _Refused(response)
                at = _first_byte(response, file.bytes)
                for chunk in response.iter_bytes():
                    self._check()
                    skip = max(have - at, 0)  # a server may ignore the range and begin at 0
                    if new := chunk[skip : file.bytes - at]:
                        yield new
                    at += len(chunk)
            finally:
                self._socket = None


def _first_byte(response: Any, size: int) -> int:
    """Where in a file of `size` bytes an answer begins. Raises `ValueError` if it is no answer about that file."""
    sent = response.headers
    if response.status_code == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", sent.get("content-range", ""))
        if found is None or found[2] not in (str(size), "*"):
            raise ValueError("a part of something else")
        return int(found[1])
    if "content-encoding" not in sent and sent.get("content-length", str(size)) != str(size):
        raise ValueError("something else")
    return 0


class _Meter:
    """Bytes so far → progress with a speed over the last ten seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()  # seconds, bytes

    def read(self, file: str, done: int, total: int) -> Progress:
        now = time.monotonic()
        self._seen.append((now, done))
        while now - self._seen[0][0] > 10:
            self._seen.popleft()
        since, before = self._seen[0]
        speed = (done - before) / (now - since) if now > since else 0.0
        left = 0.0 if done >= total else (total - done) / speed if speed > 0 else None
        return Progress(file, done, total, speed, left)


def _name(checkpoint: Checkpoint) -> str:
    return checkpoint.name or checkpoint.id


def _size(path: Path) -> int | None:
    """In bytes, or None if there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _amount(size: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit / 10:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def _redact(text: str, *secrets: str | None) -> str:
    """A text without tokens: those given, and whatever looks like one."""
    for secret in secrets:
        if secret and len(secret) > 4:
            text = text.replace(secret, "(token)")
    text = re.sub(r"(?i)\b(authorization\s*[:=]\s*)?bearer\s+\S+", "(token)", text)
    return re.sub(r"\bhf_(oauth_\S+|[A-Za-z0-9]{16,})", "(token)", text)


# One sentence for every way it can fail.


def _kinds(error: BaseException) -> set[str]:
    """The names of an error's classes: huggingface_hub speaks through httpx in 1.x and httpx2 in 2.x."""
    return {kind.__name__ for kind in type(error).__mro__}


def _passing(error: Exception) -> bool:
    """Whether trying again may help: the line broke or hung, or the hub has trouble of its own."""
    if isinstance(error, _Refused):
        return bool(error.response.status_code in (408, 500, 502, 503, 504))
    return "TransportError" in _kinds(error) and not _kinds(error) & {
        "LocalProtocolError",
        "UnsupportedProtocol",
    }


def _missing(checkpoint: Checkpoint, file: str) -> str:
    return (
        f"{checkpoint.source.url} has no {file}, which {_name(checkpoint)} needs; "
        "only safetensors weights in diffusers layout are read"
    )


def _cut(checkpoint: Checkpoint, so_far: str) -> str:
    return (
        f"the connection broke during the download of {_name(checkpoint)}; {so_far or 'nothing'} is here already, "
        "start it again and it goes on from there"
    )


def _sentence(checkpoint: Checkpoint, error: Exception, sent_token: bool, so_far: str = "") -> str:
    """What went wrong and what to do; `so_far` says how much has come, if anything."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    name, kinds = _name(checkpoint), _kinds(error)
    host = urlsplit(constants.ENDPOINT).hostname
    if isinstance(error, _Failed):
        return str(error)
    if isinstance(error, OfflineModeIsEnabled):
        return f"{name} is not on disk, and HF_HUB_OFFLINE is set; unset it to download it from {checkpoint.source.url}"
    if isinstance(error, (HfHubHTTPError, _Refused)):
        return _refusal(checkpoint, error.response, sent_token)
    if isinstance(error, HFValidationError):
        return f"{checkpoint.source.location!r} cannot be a repository of the hub; it should read owner/name"
    if "TransportError" in kinds:
        if so_far:
            return _cut(checkpoint, so_far)
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
    name, url = _name(checkpoint), checkpoint.source.url
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
        return _missing(checkpoint, file or "such file")
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
