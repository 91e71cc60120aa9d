"""Every environment variable that svdlab goes by, read once into a frozen value.

Each variable is declared once: its name, what a right value is, its default and a line of help; reading it, the
sentence about a wrong one and docs/environment.md are made from that. Knows texts and numbers; nothing of labs, models
or screens. Whoever needs a value is handed it, or the whole `Environment`, and looks at no variable itself.
"""

# ruff: noqa: RUF009  # `_variable` makes a field

from __future__ import annotations

import difflib
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast, get_args

import platformdirs

from svdlab.errors import BadInput

PREFIX = "SVDLAB_"
Offload = Literal["none", "model", "streamed"]
LogForm = Literal["text", "json"]
Acceleration = Literal["off", "exact", "fast"]
DTYPES = ("auto", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Variable:
    """One variable as its reader and its docs row need it. `read` raises ValueError on a text that is no value."""

    name: str
    help: str
    wanted: str  # what a right value is, as the end of "NAME must be …"
    unset: str  # what holds where it is not set
    default: Any
    read: Callable[[str], Any]
    public: Any = None  # what holds on a public lab where it is not set; None: as anywhere

    @property
    def secret(self) -> bool:
        """Whether its value must not be shown anywhere."""
        return self.name.endswith("_TOKEN")

    def of(self, given: Mapping[str, str], public: bool = False) -> Any:
        """Its value in an environment. Raises `BadInput` with one sentence."""
        text = given.get(self.name, "").strip()
        if not text:
            return self.public if public and self.public is not None else self.default
        try:
            return self.read(text)
        except ValueError:
            shown = f"{len(text)} characters" if self.secret else repr(text[:40])
            raise BadInput(f"{self.name} must be {self.wanted}, got {shown}") from None


def _variable(
    name: str,
    help: str,
    read: Callable[[str], Any] = str,
    default: Any = None,
    wanted: str = "a text",
    unset: str = "",
    public: Any = None,
) -> Any:
    """A field of `Environment` with its declaration."""
    declared = Variable(name, help, wanted, unset, default, read, public)
    return field(default=default, repr=not declared.secret, metadata={"variable": declared})


def _number(text: str, allowed: Callable[[float], bool]) -> float:
    number = float(text)
    if not math.isfinite(number) or not allowed(number):
        raise ValueError(text)
    return number


def _days(text: str) -> float | None:
    return None if text.lower() == "never" else _number(text, lambda days: days > 0)


def _budget(text: str) -> int:
    return int(_number(text, lambda gigabytes: 0 < gigabytes < 1e6) * 1e9)


def _kept(text: str) -> int:
    return int(_number(text, lambda megabytes: 0 <= megabytes < 1e9) * 1e6)


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError(text)
    return port


def device_name(text: str) -> str:
    """The name of a device as svdlab takes it. Raises ValueError."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise ValueError(text)
    return text


def dtype_name(text: str) -> str:
    """The name of a number format as svdlab takes it. Raises ValueError."""
    if text not in DTYPES:
        raise ValueError(text)
    return text


def mark_text(text: str) -> str:
    """The letters of a watermark. Raises ValueError."""
    if not text.isascii() or not text.isprintable() or not 1 <= len(text) <= 8:
        raise ValueError(text)
    return text


def _one_of(kind: Any, text: str) -> Any:
    if text not in get_args(kind):
        raise ValueError(text)
    return text


def _offload(text: str) -> Offload | None:
    lower = text.lower()
    if lower == "sequential":  # what streaming has taken the place of
        return "streamed"
    return None if lower == "auto" else cast(Offload, _one_of(Offload, lower))


def _acceleration(text: str) -> Acceleration:
    return cast(Acceleration, _one_of(Acceleration, text.lower()))


def _folder(text: str) -> Path:
    return Path(text).expanduser()


def _folders(text: str) -> tuple[Path, ...]:
    return tuple(Path(part).expanduser() for part in text.split(os.pathsep) if part.strip())


def _count(text: str, least: int = 0) -> int:
    count = int(text)
    if count < least:
        raise ValueError(text)
    return count


def _ids(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if not all(re.fullmatch(r"(\*\.)?[a-z0-9._-]+|\[?[0-9a-f:]+\]?", name) for name in names):
        raise ValueError(text)
    return names


def _secret(text: str) -> str:
    if len(text) < 24:
        raise ValueError("too short")
    return text


def _log_form(text: str) -> LogForm:
    return cast(LogForm, _one_of(LogForm, text))


def _switch(text: str) -> bool:
    return text.lower() not in ("0", "false")


DEVICE_WANTED = "auto, cpu, mps, cuda or cuda:1 and so on"
DTYPE_WANTED = f"{', '.join(DTYPES[:-1])} or {DTYPES[-1]}"
DAYS_WANTED = "a number of days above 0, or never"
MARK_WANTED = "1 to 8 plain letters"
ANY_TEXT = "any text"


@dataclass(frozen=True)
class Environment:
    """What the environment asks for. `Environment()` is an environment that asks for nothing."""

    host: str | None = _variable(
        "SVDLAB_HOST", "Where the page listens.", unset="127.0.0.1; on a Space 0.0.0.0", wanted="an address"
    )
    port: int = _variable(
        "SVDLAB_PORT",
        "On which port.",
        _port,
        7860,
        wanted="a whole number from 1 to 65535",
        unset="7860",
    )
    data_dir: Path | None = _variable(
        "SVDLAB_DATA_DIR",
        "The folder in which runs and pictures are kept.",
        _folder,
        wanted="a folder",
        unset="the system's place for a user's data",
    )
    device: str = _variable(
        "SVDLAB_DEVICE",
        "What renders.",
        device_name,
        "auto",
        wanted=DEVICE_WANTED,
        unset="auto: the best there is",
    )
    dtype: str = _variable(
        "SVDLAB_DTYPE",
        "The numbers it renders with.",
        dtype_name,
        "auto",
        wanted=DTYPE_WANTED,
        unset="auto: float16 on cuda, else float32",
    )
    worker: str | None = _variable(
        "SVDLAB_WORKER",
        "Which kind of worker renders what the page is asked for (`svdlab app --help` lists them).",
        wanted="the name of a worker",
        unset="local: a thread of the same program; cluster with SVDLAB_CLUSTER; zerogpu on a ZeroGPU Space",
    )
    cluster: str | None = _variable(
        "SVDLAB_CLUSTER",
        "The Ray cluster that renders: auto (the one this machine is a node of), local (one started here), host:port "
        "of its head, or ray://host:port.",
        wanted="auto, local, host:port or ray://host:port",
        unset="none: this machine renders",
    )
    cluster_cpus: int = _variable(
        "SVDLAB_CLUSTER_CPUS",
        "How many cores each actor of a cluster without GPUs has.",
        partial(_count, least=1),
        4,
        wanted="a whole number above 0",
        unset="4",
    )
    placed: tuple[str, ...] = _variable(
        "SVDLAB_PLACED",
        "Ids of the checkpoints that a ZeroGPU Space fetches and places at its start, separated by commas; the "
        "embedded ones always are. Any other is loaded in the seconds of the visitor who asks for it.",
        _ids,
        ("svd-xt", "svd-xt-1-1"),
        wanted="ids of checkpoints",
        unset="svd-xt,svd-xt-1-1",
    )
    memory_bytes: int | None = _variable(
        "SVDLAB_MEMORY_GB",
        "Gigabytes of weights to keep; the least recently used leave first.",
        _budget,
        wanted="a number of gigabytes such as 12",
        unset="75 % of a GPU, 55 % of a machine",
    )
    offload: Offload | None = _variable(
        "SVDLAB_OFFLOAD",
        "Where weights wait: on the device, each part moved there for its stage, or the UNet streamed piece by piece.",
        _offload,
        wanted="auto, none, model or streamed",
        unset="auto: chosen from free memory",
    )
    acceleration: Acceleration | None = _variable(
        "SVDLAB_ACCELERATION",
        "Whether what no step of a run changes is computed once (exact), or again at every step as in diffusers (off). "
        "fast is exact, and on a CPU also convolutions laid out otherwise and bfloat16 where the processor has it: "
        "not the same to the last bit.",
        _acceleration,
        wanted="off, exact or fast",
        unset="exact on a GPU, off on a CPU, where runs are bit-equal to diffusers",
    )
    kept_latents_bytes: int = _variable(
        "SVDLAB_KEEP_LATENTS_MB",
        "Up to which size in megabytes a run's latents are kept, for decoding it again; 0 keeps none.",
        _kept,
        16_000_000,
        wanted="a number of megabytes, 0 or more",
        unset="16",
    )
    checkpoint_dirs: tuple[Path, ...] = _variable(
        "SVDLAB_CHECKPOINT_DIRS",
        "Folders that are looked through for weights, such as ComfyUI's models folder; separated as in PATH.",
        _folders,
        (),
        wanted="folders",
        unset="none",
    )
    bin_days: float | None = _variable(
        "SVDLAB_BIN_DAYS",
        "What has been in the bin for so many days is removed for good; never keeps it.",
        _days,
        30.0,
        wanted=DAYS_WANTED,
        unset="30; on a public lab 1",
        public=1.0,
    )
    keep_days: float | None = _variable(
        "SVDLAB_KEEP_DAYS",
        "Finished runs older than so many days, which nobody marked, go to the bin.",
        _days,
        wanted=DAYS_WANTED,
        unset="never; on a public lab 7, and marks keep nothing",
        public=7.0,
    )
    watermark: str | None = _variable(
        "SVDLAB_WATERMARK",
        "Letters that are put into every frame of a clip, where nobody sees them (docs/content.md).",
        mark_text,
        wanted=MARK_WANTED,
        unset="none",
    )
    safety_checker: str | None = _variable(
        "SVDLAB_SAFETY_CHECKER",
        "The checker that looks at pictures and clips: its folder, or its repository on the hub (docs/content.md).",
        wanted="a folder or owner/name",
        unset="none: nothing is looked at",
    )
    examples: bool | None = _variable(
        "SVDLAB_EXAMPLES",
        "1 has the example pictures' clips rendered at the start, once, for a first visit to begin with.",
        _switch,
        wanted="0 or 1",
        unset="0; on a Space 1",
    )
    mcp: bool = _variable(
        "SVDLAB_MCP",
        "1 serves the named endpoints to agents too, as an MCP server at /gradio_api/mcp (docs/api.md).",
        _switch,
        False,
        wanted="0 or 1",
        unset="0",
    )
    debug: bool = _variable(
        "SVDLAB_DEBUG",
        "1 shows where an error came from.",
        _switch,
        False,
        wanted="0 or 1",
        unset="0: errors are one sentence",
    )
    public: bool | None = _variable(
        "SVDLAB_PUBLIC",
        "1 makes visitors strangers to each other: each sees and changes what it asked for itself, under bounds.",
        _switch,
        wanted="0 or 1",
        unset="0; on a Space 1",
    )
    hosts: tuple[str, ...] = _variable(
        "SVDLAB_HOSTS",
        "Names by which the page may be reached beside this machine's own, separated by commas.",
        _names,
        (),
        wanted="names such as lab.example.org, separated by commas",
        unset="localhost, the address it listens at, a Space's own",
    )
    proxies: int = _variable(
        "SVDLAB_PROXIES",
        "How many proxies of yours stand in front and add to X-Forwarded-For: then visitors are told apart by that.",
        _count,
        0,
        wanted="a whole number, 0 or more",
        unset="0; on a Space 1",
    )
    operator: str | None = _variable(
        "SVDLAB_OPERATOR_TOKEN",
        "Whoever sends this as a bearer token to a public lab may do everything.",
        _secret,
        wanted="a secret of at least 24 characters",
        unset="nobody may from outside",
    )
    max_waiting: int = _variable(
        "SVDLAB_MAX_WAITING",
        "How many runs of one visitor of a public lab may wait.",
        _count,
        20,
        wanted="a whole number, 0 or more",
        unset="20",
    )
    max_pixels: int = _variable(
        "SVDLAB_MAX_PIXELS",
        "Width × height that a visitor of a public lab may ask for.",
        _count,
        1024 * 576,
        wanted="a whole number, 0 or more",
        unset="589824: 1024×576",
    )
    max_frames: int = _variable(
        "SVDLAB_MAX_FRAMES",
        "Frames of one clip that a visitor of a public lab may ask for.",
        _count,
        25,
        wanted="a whole number, 0 or more",
        unset="25",
    )
    max_steps: int = _variable(
        "SVDLAB_MAX_STEPS",
        "Steps of one clip that a visitor of a public lab may ask for.",
        _count,
        50,
        wanted="a whole number, 0 or more",
        unset="50",
    )
    max_cells: int = _variable(
        "SVDLAB_MAX_CELLS",
        "Cells of one sweep that a visitor of a public lab may ask for.",
        _count,
        9,
        wanted="a whole number, 0 or more",
        unset="9",
    )
    log: LogForm = _variable(
        "SVDLAB_LOG",
        "How the log is written: as text for people, or json, a line for each entry.",
        _log_form,
        "text",
        wanted="text or json",
        unset="text",
    )
    space_host: str | None = _variable(
        "SPACE_HOST",
        "Set by Hugging Face on a Space: the name it is reached by.",
        unset="this is no Space",
        wanted=ANY_TEXT,
    )
    space: str | None = _variable(
        "SPACE_ID",
        "Set by Hugging Face on a Space: the lab is public unless SVDLAB_PUBLIC says otherwise.",
        unset="this is no Space",
        wanted=ANY_TEXT,
    )
    zero_gpu: bool = _variable(
        "SPACES_ZERO_GPU",
        "Set by Hugging Face on a Space with ZeroGPU hardware: a GPU is lent for each call.",
        _switch,
        False,
        wanted="true or false",
        unset="this is no such Space",
    )
    login: str | None = _variable(
        "OAUTH_CLIENT_ID",
        "Set by Hugging Face on a Space that visitors can log in to: their own login fetches gated weights.",
        unset="nobody logs in",
        wanted=ANY_TEXT,
    )

    @classmethod
    def read(cls, given: Mapping[str, str] | None = None) -> Environment:
        """What `given`, this process's environment unless named, asks for. Raises `BadInput`.

        Names that begin with SVDLAB_ and are not known are warned about, once in a process.
        """
        given = os.environ if given is None else given
        for name, said in misspelt(given):
            if name not in _warned:
                _warned.add(name)
                warnings.warn(said, stacklevel=2)
        public = cls(public=VARIABLES["public"].of(given), space=VARIABLES["space"].of(given)).shared
        return cls(**{key: declared.of(given, public) for key, declared in VARIABLES.items()})

    @property
    def shared(self) -> bool:
        """Whether this is a public lab: strangers visit it."""
        return bool(self.space) if self.public is None else self.public

    @property
    def trusted_proxies(self) -> int:
        """How many of the last entries of X-Forwarded-For are by proxies that are trusted."""
        return self.proxies or (1 if self.space else 0)

    @property
    def listening(self) -> str:
        """The address to listen at: a Space is reached from outside."""
        return self.host or ("0.0.0.0" if self.space else "127.0.0.1")

    @property
    def worker_kind(self) -> str:
        """The kind of worker that renders: the one that is named, else the one for this hardware."""
        usual = "cluster" if self.cluster else "zerogpu" if self.zero_gpu else "local"
        return self.worker or usual

    @property
    def has_examples(self) -> bool:
        """Whether the example pictures' clips are rendered at the start."""
        return bool(self.space) if self.examples is None else self.examples

    @property
    def data_folder(self) -> Path:
        """`data_dir`, or the system's place for a user's data."""
        return self.data_dir or Path(platformdirs.user_data_dir("svdlab", appauthor=False))


VARIABLES: dict[str, Variable] = {one.name: one.metadata["variable"] for one in fields(Environment)}

# Known names that the lab itself does not go by: they are read where they act.
ELSEWHERE: dict[str, str] = {
    "SVDLAB_PYTHON": "scripts/run, scripts/test: The Python that .venv is made with.",
    "SVDLAB_TORCH": "scripts/run, scripts/test: Which build of PyTorch is installed first.",
    "SVDLAB_TEST_WORKERS": "scripts/test: How many processes test; 0 is one, for a debugger.",
    "SVDLAB_SCREENSHOTS": "scripts/test: The folder in which browser tests leave what they saw.",
    "SVDLAB_CHROMIUM": "scripts/test: The browser to use.",
    "SVDLAB_TRAINING": "scripts/train_demo: The folder in which training keeps its state.",
    "SVDLAB_KILL_SEED": "scripts/test: The seed of the loop of random kills.",
    "SVDLAB_FAILPOINT": "tests: Where this process ends as a power cut would end it (`svdlab/failpoints.py`).",
}

_warned: set[str] = set()


def misspelt(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each name in an environment that looks like one of ours and is none, with a sentence about it."""
    known = {declared.name for declared in VARIABLES.values()} | ELSEWHERE.keys()
    for name in sorted(given):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, sorted(known), 1)
            meant = f"; did you mean {near[0]}?" if near else "; docs/environment.md lists those there are"
            yield name, f"{name} is no variable of svdlab's, so it changes nothing{meant}"
