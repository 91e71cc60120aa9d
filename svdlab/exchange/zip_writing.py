"""A zip of runs to be read on another machine: videos, recipes, pictures, and a manifest of their hashes.

Knows the lab and zip files; nothing of models or screens. What such a zip may hold is declared here as strict models;
`svdlab.exchange.zip_reading` reads one back.
"""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from svdlab import __version__
from svdlab.errors import BadInput
from svdlab.files import write_whole
from svdlab.history.ids import PATTERN
from svdlab.history.search import MAX_NOTE, MAX_TAGS
from svdlab.lab.lab import Lab
from svdlab.recipes.records import MAX_RECIPE_BYTES, Comparison, Run

MANIFEST = "manifest.json"
RESULT = "result.json"
MAX_OUTCOME_BYTES = 64 * 1024
CHUNK = 2**20

FILES = {  # what a run's folder may hold → the most bytes of it
    "video.mp4": 64 * 2**20,
    "poster.webp": 8 * 2**20,
    RESULT: MAX_RECIPE_BYTES + MAX_OUTCOME_BYTES,
    "frames.zip": 2 * 2**30,
    "latents.safetensors": 2**30,
}
NEEDED = ("video.mp4", "poster.webp", RESULT)

Id = Annotated[str, Field(pattern=f"^{PATTERN}$")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Seconds = Annotated[float, Field(ge=0, lt=1e11)]  # since 1970
FileName = Literal["video.mp4", "poster.webp", "result.json", "frames.zip", "latents.safetensors"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FileEntry(_Strict):
    """One file of the zip."""

    sha256: Hash
    bytes: int = Field(ge=0, lt=2**40)


class Marks(_Strict):
    """What a person said about a run or a comparison."""

    starred: bool = False
    rating: int | None = Field(None, ge=0, le=5)
    note: str = Field("", max_length=MAX_NOTE)
    tags: tuple[str, ...] = Field((), max_length=MAX_TAGS)


class RunEntry(Marks):
    """One finished run; its recipe and outcome stand in its result.json."""

    id: Id
    created: Seconds
    started: Seconds | None = None
    finished: Seconds | None = None
    preset: str | None = Field(None, max_length=80)
    comparison: Id | None = None
    latents_of: Id | None = None
    files: dict[FileName, FileEntry]


class ComparisonEntry(Marks):
    """Two of the runs."""

    id: Id
    a: Id
    b: Id
    created: Seconds


class Manifest(_Strict):
    """manifest.json: what is in the zip."""

    svdlab_export: Literal[1] = 1
    svdlab: str = Field(max_length=40)  # the version that wrote it
    written: Seconds
    runs: tuple[RunEntry, ...] = Field(max_length=200_000)
    comparisons: tuple[ComparisonEntry, ...] = Field((), max_length=200_000)
    pictures: dict[Hash, FileEntry] = Field(default_factory=dict, max_length=200_000)


class CheckedOutcome(_Strict):
    """`Outcome` as it is accepted from elsewhere: the same fields, each within bounds."""

    noise_sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    noise_frames: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")], ...] = Field((), max_length=256)
    seconds: dict[Name, Annotated[float, Field(ge=0, lt=1e9)]] = Field(default_factory=dict, max_length=32)
    device: str = Field("", max_length=200)
    dtype: str = Field("", max_length=40)
    peak_memory_bytes: int = Field(0, ge=0, lt=2**60)
    decode_chunk_size: int = Field(0, ge=0, le=1024)
    sampling: str = Field("", max_length=200)
    plan: str = Field("", max_length=300)
    offload: str = Field("", max_length=40)
    fallbacks: tuple[Annotated[str, Field(max_length=500)], ...] = Field((), max_length=32)
    latents_of: str = Field("", pattern=f"^({PATTERN})?$")
    metrics: dict[Name, Annotated[float, Field(gt=-1e12, lt=1e12)]] = Field(
        default_factory=dict, max_length=64
    )
    spreads: dict[Name, Annotated[float, Field(ge=0, lt=1e12)]] = Field(default_factory=dict, max_length=64)
    flaws: dict[Name, tuple[Annotated[int, Field(ge=0, lt=1024)], ...]] = Field(
        default_factory=dict, max_length=64
    )
    measured_as: str = Field("", pattern=r"^([0-9a-f]{12})?$")
    video_sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")


@dataclass(frozen=True)
class Written:
    """What `write_zip` put into the file, and which runs it left out because they have no whole video."""

    path: Path
    runs: int
    comparisons: int
    pictures: int
    left_out: tuple[str, ...]


def write_zip(
    lab: Lab, runs: Iterable[Run], path: Path, *, frames: bool = False, latents: bool = False
) -> Written:
    """Writes finished runs with videos, posters, recipes and pictures, and the comparisons of any two of them.

    `frames` adds the lossless frames, `latents` the kept latents: both are large. Nothing is compressed, because
    videos and pictures are already. The file appears whole or not at all. Raises `BadInput` if none of the runs is
    finished, or the file cannot be written.
    """
    wanted = [*NEEDED[:2], *(["frames.zip"] if frames else []), *(["latents.safetensors"] if latents else [])]

    def write(target: Path) -> tuple[Manifest, tuple[str, ...]]:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            manifest, left_out = _fill(archive, lab, runs, wanted)
        if not manifest.runs:
            raise BadInput("none of these runs is finished, so there is nothing to export")
        return manifest, left_out

    manifest, left_out = write_whole(path, write)
    counts = len(manifest.runs), len(manifest.comparisons), len(manifest.pictures)
    return Written(path, *counts, left_out)


def _fill(
    archive: zipfile.ZipFile, lab: Lab, runs: Iterable[Run], wanted: list[str]
) -> tuple[Manifest, tuple[str, ...]]:
    entries: dict[str, RunEntry] = {}
    left_out: list[str] = []
    pictures: dict[str, FileEntry] = {}
    pairs: set[str] = set()
    for run in runs:
        if run.id in entries:
            continue
        if not (run.done and run.video.is_file() and run.poster.is_file()):
            left_out.append(run.id)
            continue
        entries[run.id] = _put_run(archive, run, wanted)
        pairs.update(lab.history.comparisons_of(run.id))
        if run.recipe.picture_sha256 not in pictures and run.picture.is_file():
            name = f"pictures/{run.recipe.picture_sha256}.png"
            pictures[run.recipe.picture_sha256] = _put(archive, name, run.picture)
    both = [
        pair
        for pair in map(lab.history.comparison, sorted(pairs))
        if {pair.a.id, pair.b.id} <= entries.keys()
    ]
    manifest = Manifest(
        svdlab=__version__,
        written=time.time(),
        runs=tuple(entries.values()),
        comparisons=tuple(
            ComparisonEntry(id=pair.id, a=pair.a.id, b=pair.b.id, created=pair.created, **_marks(pair))
            for pair in both
        ),
        pictures=pictures,
    )
    info = zipfile.ZipInfo(MANIFEST)
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, manifest.model_dump_json(indent=1))
    return manifest, tuple(left_out)


def _put_run(archive: zipfile.ZipFile, run: Run, wanted: list[str]) -> RunEntry:
    files: dict[FileName, FileEntry] = {}
    for name in wanted:
        if (run.folder / name).is_file():
            files[name] = _put(archive, f"runs/{run.id}/{name}", run.folder / name)  # type: ignore[index]
    result = f"{run.recipe.to_json()}\n{run.outcome.to_json()}\n".encode()
    files[RESULT] = FileEntry(sha256=hashlib.sha256(result).hexdigest(), bytes=len(result))  # type: ignore[index]
    archive.writestr(zipfile.ZipInfo(f"runs/{run.id}/{RESULT}"), result)
    return RunEntry(
        id=run.id,
        created=run.created,
        started=run.started,
        finished=run.finished,
        preset=run.preset,
        comparison=run.comparison,
        latents_of=run.latents_of,
        files=files,
        **_marks(run),
    )


def _put(archive: zipfile.ZipFile, name: str, path: Path) -> FileEntry:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as target:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
    return FileEntry(sha256=digest.hexdigest(), bytes=size)


def _marks(of: Run | Comparison) -> dict[str, Any]:
    return {"starred": of.starred, "rating": of.rating, "note": of.note, "tags": of.tags}
