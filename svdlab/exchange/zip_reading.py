"""A zip of runs that came from elsewhere, read into a lab.

Knows the lab, videos, pictures and zip files; nothing of models or screens. The zip is untrusted: only what its
manifest lists under the names of `bundles.FILES` is touched, each file is capped, hashed and opened as what it should
be before it is put in place, and no name in the zip is ever used as a path.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from svdlab.clips import headers, pictures
from svdlab.errors import BadInput, DataFolderError, NotFound, SvdlabError
from svdlab.exchange.zip_limits import MAX_MANIFEST_BYTES, MAX_REFUSED, check_directory, check_sizes
from svdlab.exchange.zip_writing import (
    CHUNK,
    FILES,
    MANIFEST,
    NEEDED,
    RESULT,
    CheckedOutcome,
    ComparisonEntry,
    FileEntry,
    Manifest,
    Marks,
    RunEntry,
)
from svdlab.files import publish_folder, remove_folder
from svdlab.history.doctor import recipe_inside
from svdlab.history.ids import new_id
from svdlab.history.run_files import write_result
from svdlab.history.search import clean_note, clean_tag
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Comparison, Outcome, Recipe, Run
from svdlab.weights.safetensors import read_header

MAX_PICTURE_BYTES = 64 * 2**20
MAX_POSTER_SIDE = 1024  # ours are half as long
AHEAD_SECONDS = 2 * 86400.0  # by which another machine's clock may be ahead


@dataclass(frozen=True)
class Refusal:
    """Something in a zip that was not taken, and why, in one sentence."""

    name: str
    sentence: str


@dataclass(frozen=True)
class ImportReport:
    """What became of a zip: ids of runs and comparisons, hashes of pictures."""

    added: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()  # runs of these ids are here already, perhaps in the bin
    comparisons: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()


@dataclass
class _Import:
    lab: Lab
    archive: zipfile.ZipFile
    manifest: Manifest
    added: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    comparisons: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, name: str, sentence: str) -> None:
        """Notes one refusal. Raises `_Enough` with the last one that is noted."""
        if len(self.refused) == MAX_REFUSED:
            self.refused.append(
                Refusal("the rest", f"more than {MAX_REFUSED} were refused, so it was not read")
            )
            raise _Enough
        self.refused.append(Refusal(name, sentence))


def read_zip(lab: Lab, path: Path) -> ImportReport:
    """Takes runs, pictures and comparisons out of a zip that `write_zip` made, perhaps on another machine.

    The zip is untrusted. A run that is not what the manifest says is refused with a sentence and the others go on;
    one whose id is here already is skipped. A run's row is written after its files, so stopping half-way and reading
    the zip again is safe. Raises `BadInput` if the zip as a whole cannot be used, `DataFolderError` if the data folder
    cannot be written.
    """
    lab.history.must_be_writable()
    try:
        check_directory(path)
        with zipfile.ZipFile(path) as archive:
            work = _Import(lab, archive, _manifest(archive, path))
            with suppress(_Enough):
                _take_all(work)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadInput(f"{path.name} is not a zip file that can be read: {_short(error)}") from error
    except OSError as error:
        if not path.is_file():
            raise BadInput(f"there is no file {path}") from error
        raise DataFolderError(
            f"the runs could not be written to {lab.data_dir}: {error.strerror or error}"
        ) from error
    return ImportReport(*(tuple(part) for part in _parts(work)))


def _take_all(work: _Import) -> None:
    for name in _unlisted(work.archive, work.manifest):
        work.refuse(name, "it is not in the manifest, so it was left out")
    for entry in work.manifest.runs:
        _take_run(work, entry)
    for pair in work.manifest.comparisons:
        _take_comparison(work, pair)


def _parts(work: _Import) -> tuple[list[Any], ...]:
    return work.added, work.skipped, work.comparisons, work.pictures, work.refused


def _manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    check_sizes(archive, path, MANIFEST)
    data = _read_member(archive, MANIFEST, MAX_MANIFEST_BYTES)
    try:
        return _checked(Manifest.model_validate_json(data))
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("svdlab_export",):
            raise BadInput(f"{path.name} was exported by a newer svdlab; update svdlab to read it") from None
        where = ".".join(map(str, first["loc"]))[:80] or "the text"
        raise BadInput(f"the manifest of {path.name} is not one: {where}: {first['msg'][:120]}") from None


def _checked(manifest: Manifest) -> Manifest:
    for entries in (manifest.runs, manifest.comparisons):
        if len({entry.id for entry in entries}) != len(entries):
            raise BadInput("the manifest names one id twice, so nothing was read")
    return manifest


def _unlisted(archive: zipfile.ZipFile, manifest: Manifest) -> list[str]:
    listed = {MANIFEST, *(f"pictures/{sha256}.png" for sha256 in manifest.pictures)}
    listed.update(f"runs/{entry.id}/{name}" for entry in manifest.runs for name in entry.files)
    others = [member.filename for member in archive.infolist() if not member.is_dir()]
    return sorted(ascii(name)[1:81] for name in others if name not in listed)


class _Enough(Exception):
    """So much was refused that the rest is not looked at."""


class _Refused(Exception):
    """One run, picture or comparison is not taken; the sentence says why."""


@contextmanager
def _refusing(work: _Import, name: str) -> Iterator[None]:
    """Turns whatever a hostile file brings about into one refusal; the data folder's own troubles end the import."""
    try:
        yield
    except (DataFolderError, OSError):
        raise
    except (_Refused, SvdlabError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        work.refuse(name, _short(error))
    except (NotImplementedError, RuntimeError, ValueError) as error:  # encrypted, recursive, no UTF-8
        work.refuse(name, f"it cannot be read: {_short(error)}")


def _take_run(work: _Import, entry: RunEntry) -> None:
    history = work.lab.history
    if _is_here(work.lab, entry.id):
        work.skipped.append(entry.id)
        return
    temporary = history.runs_folder / f".{entry.id}.{new_id()}"
    with _refusing(work, entry.id):
        _check_entry(work, entry)
        try:
            temporary.mkdir()
            run = _unpack(work, entry, temporary)
            publish_folder(temporary, run.folder)
            if history.adopt(run):
                work.added.append(run.id)
            else:  # another process was faster
                work.skipped.append(run.id)
        finally:
            remove_folder(temporary)
        if run.recipe.picture_sha256 not in work.pictures:
            _take_picture(work, run.recipe.picture_sha256)


def _is_here(lab: Lab, id: str) -> bool:
    try:
        lab.history.get(id)
    except NotFound:
        return False
    return True


def _check_entry(work: _Import, entry: RunEntry) -> None:
    """What can be told of a run before anything is written. Raises `_Refused`."""
    if missing := [name for name in NEEDED if name not in entry.files]:
        raise _Refused(f"it has no {missing[0]}")
    if entry.created > time.time() + AHEAD_SECONDS:
        raise _Refused("it says it was made in the future; set this machine's clock or the other's")
    for name in entry.files:
        if f"runs/{entry.id}/{name}" not in work.archive.NameToInfo:
            raise _Refused(f"{name} is in the manifest and not in the zip")


def _unpack(work: _Import, entry: RunEntry, folder: Path) -> Run:
    """The run, its files checked and in `folder`. Raises `_Refused` or what reading a broken file raises."""
    for name, file in entry.files.items():
        _extract(work.archive, f"runs/{entry.id}/{name}", folder / name, file, FILES[name])
    recipe, outcome = _result(folder / RESULT)
    if recipe_inside(folder / "video.mp4") != recipe:
        raise _Refused("the recipe inside its video is another one")
    if outcome.video_sha256 not in ("", entry.files["video.mp4"].sha256):
        raise _Refused("its video is not the file that was rendered")
    if outcome.latents_of != (entry.latents_of or ""):
        raise _Refused("it says twice, and differently, whose latents it was decoded from")
    _check_poster(folder / "poster.webp")
    _check_frames(folder / "frames.zip", recipe)
    _check_latents(folder / "latents.safetensors", recipe)
    write_result(folder, recipe, outcome)  # in our own words, whatever the spacing was
    return Run(
        id=entry.id,
        state="done",
        recipe=recipe,
        folder=work.lab.history.runs_folder / entry.id,
        picture=work.lab.history.picture_path(recipe.picture_sha256),
        created=entry.created,
        started=entry.started,
        finished=entry.finished,
        step=recipe.settings.num_inference_steps,
        preset=_printable(entry.preset),
        latents_of=entry.latents_of,
        outcome=outcome,
        **_clean(entry),
    )


def _clean(marks: Marks) -> dict[str, Any]:
    """A person's marks as the history takes them. Raises `BadInput`."""
    tags = tuple(sorted({clean_tag(tag) for tag in marks.tags}))
    return {"starred": marks.starred, "rating": marks.rating, "note": clean_note(marks.note), "tags": tags}


def _printable(preset: str | None) -> str | None:
    if preset is not None and not preset.isprintable():
        raise _Refused("its preset has a name that cannot be shown")
    return preset


def _result(path: Path) -> tuple[Recipe, Outcome]:
    lines = path.read_text("utf-8").splitlines()
    if len(lines) != 2:
        raise _Refused("its result.json is not one of ours")
    try:
        CheckedOutcome.model_validate_json(lines[1])
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))[:60]
        raise _Refused(f"its outcome has something that cannot be: {where or 'the text'}") from None
    return Recipe.from_json(lines[0]), Outcome.from_json(lines[1])


def _check_poster(path: Path) -> None:
    data = path.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise _Refused("its poster is no WebP picture")
    size = headers.size_of("WEBP", data)
    if size is None or max(size) > MAX_POSTER_SIDE or headers.is_animated_webp(data):
        raise _Refused(f"its poster is no still picture of at most {MAX_POSTER_SIDE} pixels a side")
    pictures.load_picture(data)


def _check_frames(path: Path, recipe: Recipe) -> None:
    """As many PNGs of the recipe's size as it has frames, and the recipe: nothing that unpacks to more."""
    if not path.is_file():
        return
    settings = recipe.settings
    size = settings.width.to_bytes(4, "big") + settings.height.to_bytes(4, "big")
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        recipe_file = members.pop("recipe.json", None)
        expected = [f"frame_{index:03d}.png" for index in range(settings.num_frames)]
        if sorted(members) != expected or len(archive.infolist()) != len(members) + (recipe_file is not None):
            raise _Refused("its frames.zip does not hold the frames of its recipe")
        most = 4 * settings.width * settings.height + CHUNK  # no PNG of ours is larger than its pixels
        if any(member.file_size > most for member in members.values()):
            raise _Refused("its frames.zip holds a frame larger than any of ours")
        for member in members.values():
            with archive.open(member) as file:
                head = file.read(24)
            if head[:8] != b"\x89PNG\r\n\x1a\n" or head[16:24] != size:
                raise _Refused("its frames.zip holds a frame of another size than its recipe says")


def _check_latents(path: Path, recipe: Recipe) -> None:
    if not path.is_file():
        return
    tensors = read_header(path).tensors
    shape = tensors["latents"].shape if tensors.keys() == {"latents"} else ()
    if len(shape) != 5 or shape[:2] != (1, recipe.settings.num_frames):
        raise _Refused("its latents are not those of its recipe")


def _take_picture(work: _Import, sha256: str) -> None:
    entry = work.manifest.pictures.get(sha256)
    if entry is None or work.lab.history.picture_path(sha256).is_file():
        return
    name = f"pictures/{sha256}.png"
    with _refusing(work, name):
        data = _read_member(work.archive, name, MAX_PICTURE_BYTES)
        if (hashlib.sha256(data).hexdigest(), len(data)) != (entry.sha256, entry.bytes):
            raise _Refused("it is not the file that the manifest names: the hash differs")
        picture = pictures.load_picture(data)
        if picture.sha256 != sha256:
            raise _Refused("it is not the picture of that hash")
        work.lab.add_picture(picture)
        work.pictures.append(sha256)


def _take_comparison(work: _Import, entry: ComparisonEntry) -> None:
    lab = work.lab
    if not (_is_here(lab, entry.a) and _is_here(lab, entry.b)) or entry.a == entry.b:
        work.refuse(entry.id, "one of its two runs is not here")
        return
    with _refusing(work, entry.id):
        pair = Comparison(
            entry.id, lab.history.get(entry.a), lab.history.get(entry.b), entry.created, **_clean(entry)
        )
        own = [one.id for one in work.manifest.runs if one.comparison == entry.id]
        if lab.history.adopt_comparison(pair, [id for id in own if id in (entry.a, entry.b)]):
            work.comparisons.append(entry.id)


def _extract(archive: zipfile.ZipFile, name: str, target: Path, entry: FileEntry, most: int) -> None:
    """Writes one member to a path of ours if it has the size and the hash that the manifest says."""
    file = target.name
    if entry.bytes > most:
        raise _Refused(f"its {file} is larger than any of ours: {entry.bytes / 1e6:.0f} MB")
    if entry.bytes > shutil.disk_usage(target.parent).free:
        raise DataFolderError(
            f"there is no room for {entry.bytes / 1e6:.0f} MB in the data folder; free some first"
        )
    digest, size = hashlib.sha256(), 0
    with _opened(archive, name) as source, target.open("wb") as out:
        while chunk := source.read(min(CHUNK, entry.bytes - size + 1)):
            size += len(chunk)
            if size > entry.bytes:
                break
            digest.update(chunk)
            out.write(chunk)
    if (digest.hexdigest(), size) != (entry.sha256, entry.bytes):
        raise _Refused(f"its {file} is not the file that the manifest names: the hash differs")


def _read_member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    with _opened(archive, name) as source:
        data = source.read(most + 1)
    if len(data) > most:
        raise BadInput(f"{name} is larger than {most / 1e6:.0f} MB, so it was not read")
    return data


@contextmanager
def _opened(archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    try:
        member = archive.open(name)
    except KeyError:
        raise _Refused(f"{name.rpartition('/')[2]} is in the manifest and not in the zip") from None
    with member:
        yield member


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
