"""presets/*.toml → named settings. Knows TOML and settings; nothing of models or screens.

A preset changes some knobs and leaves the rest at the checkpoint's official values, so one preset
serves checkpoints of any size. A file holds:

    name = "Fast (AYS, 10 steps)"
    summary = "One sentence: what it is."
    look_for = "One or two sentences: what to look for in the clip."
    group = "official" | "speed" | "motion" | "article"
    compare = ["svd-xt-image-decoder", "svd-xt-1-1"]      # optional: meant for the Compare page
    [settings]
    num_inference_steps = 10
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from svdlab.errors import BadPreset, BadSettings, NotFound
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.limits import defaults_for
from svdlab.recipes.settings import GenerationSettings
from svdlab.resources import presets_dir

MAX_PRESET_BYTES = 64 * 1024
Group = Literal["official", "speed", "motion", "article", "own"]
GROUPS: tuple[Group, ...] = get_args(Group)  # in the order a person should see them


class Preset(BaseModel):
    """Named changes to a checkpoint's official settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str = Field(min_length=1, max_length=80)
    summary: str = Field(max_length=400)
    look_for: str = Field("", max_length=600)
    group: Group = "own"
    compare: tuple[str, str] | None = None
    settings: dict[str, Any] = Field(default_factory=dict)

    def settings_for(self, checkpoint: Checkpoint) -> GenerationSettings:
        """All knobs for a checkpoint: its official values with this preset's changes.

        A decoder the checkpoint does not have is left as the checkpoint has it.
        """
        changes = dict(self.settings)
        if changes.get("decoder") not in checkpoint.decoders:
            changes.pop("decoder", None)
        return defaults_for(checkpoint).but(**changes)


def load_preset(path: Path) -> Preset:
    """Reads one preset file. Raises `BadPreset` with one sentence naming the file and the defect."""
    try:
        if path.stat().st_size > MAX_PRESET_BYTES:
            raise BadPreset(f"preset {path.name} is larger than {MAX_PRESET_BYTES // 1024} KB")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        preset = Preset.model_validate({**content, "id": path.stem})
        GenerationSettings.parse(preset.settings)
    except OSError as error:
        raise BadPreset(f"preset {path.name} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadPreset(f"preset {path.name} is not valid TOML: {error}") from error
    except BadSettings as error:
        raise BadPreset(f"preset {path.name}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "file"
        raise BadPreset(f"preset {path.name}: {place}: {first['msg'].lower()}") from error
    return preset


class Presets:
    """The presets of a folder by id, group by group and in file-name order within one."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or presets_dir()

    @cached_property
    def _by_id(self) -> dict[str, Preset]:
        found = [load_preset(path) for path in sorted(self._folder.glob("*.toml"), key=lambda p: p.stem)]
        return {preset.id: preset for preset in sorted(found, key=lambda preset: GROUPS.index(preset.group))}

    def __iter__(self) -> Iterator[Preset]:
        return iter(self._by_id.values())

    def get(self, id: str) -> Preset:
        """The preset of that id. Raises `NotFound` with the ids there are."""
        try:
            return self._by_id[id]
        except (KeyError, TypeError):
            raise NotFound(
                f"there is no preset {str(id)[:60]!r}; there are {', '.join(self._by_id)}"
            ) from None
