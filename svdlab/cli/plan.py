"""`svdlab plan`: what a clip would take of a graphics card's memory and how it would fit, without a card."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdlab.cli import words
from svdlab.cli.flags import knob_flags
from svdlab.cli.options import (
    AsJson,
    CheckpointId,
    DataDir,
    Device,
    Dtype,
    PresetId,
    environment_of,
    open_data,
)
from svdlab.cli.wanted import wanted
from svdlab.errors import BadInput
from svdlab.recipes.plan import WAITING, Plan
from svdlab.weights.availability import availability
from svdlab.words import duration

if TYPE_CHECKING:
    from svdlab.engine.plan import Networks
    from svdlab.recipes.checkpoint import Checkpoint

CARDS = (3, 4, 6, 8, 12, 16, 24)  # gigabytes


def _bytes(text: str) -> int:
    """Bytes of a card such as 6, 6G or 6GB. Raises `BadInput`."""
    found = re.fullmatch(r"(\d{1,5}(?:\.\d{1,3})?) ?(?:g|gb)?", text.strip().lower())
    if not found or not float(found[1]):
        raise BadInput(f"memory must be a number of gigabytes such as 6G, got {text[:40]!r}")
    return int(float(found[1]) * 1e9)


@knob_flags
def plan(
    ctx: typer.Context,
    checkpoint: CheckpointId = None,
    card: Annotated[
        str | None,
        typer.Option(
            "--memory",
            metavar="GB",
            help="For a graphics card of that size, such as 6G. Default: what is free here.",
        ),
    ] = None,
    preset: PresetId = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    device: Device = "",
    dtype: Dtype = "",
    *,
    changes: dict[str, str],
) -> None:
    """Say what a clip takes of memory and how it fits, before anything is rendered.

    It is counted, not computed: no graphics card is needed, and of Stability's checkpoints not even the weights. The
    table shows the same clip on cards of other sizes, in float16 unless --dtype says otherwise.
    """
    asked = _bytes(card) if card is not None else None
    with open_data(ctx, data_dir) as lab:
        chosen = wanted(lab, checkpoint, preset, None, changes)
        known = lab.estimate(chosen.checkpoint.id, chosen.settings)
    from svdlab.engine import memory
    from svdlab.engine.fast import choose_acceleration
    from svdlab.engine.plan import choose, on_a_card

    here = memory.choose_device(device or "auto")
    own = memory.choose_dtype(here, dtype or "auto")
    cards = memory.choose_dtype(here, "float16" if dtype in ("", "auto") else dtype)
    settings = chosen.settings
    if asked is None:
        environment = environment_of(ctx)
        offloads = ("none",) if here.type == "cpu" else memory.OFFLOADS
        first = choose(
            _networks(chosen.checkpoint, own),
            settings,
            memory.free_bytes(here),
            exact=choose_acceleration(here, environment.acceleration) != "off",
            offloads=(environment.offload,) if environment.offload else offloads,
        ).plan
    else:
        first = on_a_card(_networks(chosen.checkpoint, cards), settings, asked).plan
    networks = _networks(chosen.checkpoint, cards)
    sizes = sorted({*(size * 10**9 for size in CARDS), *([asked] if asked else [])})
    ladder = {size: on_a_card(networks, settings, size).plan for size in sizes}
    clip = f"{chosen.checkpoint.id}, {settings.width}×{settings.height}, {settings.num_frames} frames"
    if as_json:
        table = [{"card_bytes": size, **_json(one)} for size, one in ladder.items()]
        words.say_json({"clip": clip, "seconds": known, "plan": _json(first), "cards": table})
        return
    seconds = f" About {duration(known)}." if known is not None else ""
    typer.echo(f"{clip}, {str(own if asked is None else cards).removeprefix('torch.')}.{seconds}")
    typer.echo(f"{first.sentence}\n")
    words.table(
        ("card", "takes", "weights", "the UNet", "decoded at once"),
        [(f"{size / 1e9:g} GB", *_row(one)) for size, one in ladder.items()],
    )


def _row(plan: Plan) -> tuple[str, str, str, str]:
    if not plan.fits:
        return (f"{plan.bytes / 1e9:.1f} GB", "does not fit", "", "")
    weights = WAITING[plan.offload].removeprefix("weights ") or "on the card"
    decoded = str(plan.decoded) if plan.decoded < plan.frames else "all"
    return (f"{plan.bytes / 1e9:.1f} GB", weights, plan.sampling or "all at once", decoded)


def _json(plan: Plan) -> dict[str, Any]:
    return {**plan.__dict__, "bytes": plan.bytes, "fits": plan.fits, "sentence": plan.sentence}


def _networks(checkpoint: Checkpoint, dtype: Any) -> Networks:
    """Of the weights that are here, else of Stability's models as they were released."""
    from svdlab.engine.loading import open_weights
    from svdlab.engine.plan import Networks

    if checkpoint.source.kind == "hub" and not availability(checkpoint).ready:
        return Networks.official(dtype)
    return Networks.of_weights(open_weights(checkpoint), dtype)
