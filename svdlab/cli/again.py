"""`svdlab reproduce`, `svdlab runs recipe`, `svdlab runs workflow`: what a file says, rendered or taken elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svdlab.cli.options import AsJson, DataDir, Device, Dtype, RunId, open_data
from svdlab.errors import BadInput
from svdlab.files import write_whole

AnyFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="An MP4, WebM, PNG, WebP, AVIF, JPEG or JSON; ComfyUI's too.", show_default=False
    ),
]


def reproduce(
    ctx: typer.Context,
    clip: Annotated[
        Path,
        typer.Argument(metavar="VIDEO", help="An MP4 that svdlab wrote.", show_default=False),
    ],
    picture: Annotated[
        str | None,
        typer.Option("--picture", metavar="FILE", help="The picture, if this lab does not have it."),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    device: Device = "",
    dtype: Dtype = "",
) -> None:
    """Render a clip again and compare.

    Reads the recipe in the clip and renders it as a new run. Exit code 0: the same bytes or the same frames;
    1: different frames, with PSNR and what else differs; 2: the clip or the picture cannot be used.
    """
    from svdlab.cli import words
    from svdlab.cli.progress import can_render, must_be_here, render
    from svdlab.exchange import reproduce

    with open_data(ctx, data_dir) as lab:
        asked = reproduce.prepare(lab, clip, picture)
        must_be_here(lab.catalogue.get(asked.recipe.checkpoint))
        compute = can_render(lab, device, dtype)
        preset = asked.original.preset if asked.original else None
        [run] = render(lab, [lab.submit(asked.to_render, preset)], compute)
        result = reproduce.judge(asked, run)
    if as_json:
        named = {"verdict": result.verdict, "identical": result.identical, "compared": result.compared}
        figures = {"psnr": result.psnr, "max_difference": result.max_difference}
        about = {"differences": list(result.differences), "original": result.original}
        words.say_json({**named, **figures, **about, "run": words.run_json(run)})
    else:
        typer.echo(result.sentence)
        for sentence in result.differences:
            typer.echo(sentence)
        typer.echo(f"{run.video}: {words.run_line(run)}, run {run.id}")
    if not result.identical:
        raise typer.Exit(1)


def recipe(ctx: typer.Context, file: AnyFile, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show the settings in a file.

    Of a clip, poster, frame or recipe of svdlab's own, or of a ComfyUI workflow. What cannot be restored is said.
    svdlab generate --like FILE renders it.
    """
    from dataclasses import asdict

    from svdlab.cli import words
    from svdlab.exchange.restore import restore

    with open_data(ctx, data_dir) as lab:
        found = restore(lab, file)
    if as_json:
        words.say_json({**asdict(found), "settings": found.settings.model_dump(mode="json")})
        return
    for note in found.notes:
        words.say(f"Note: {note}")
    picture = found.picture_sha256 or "not in the file"
    typer.echo(f"{found.origin}: checkpoint {found.checkpoint or 'unknown'}, picture {picture}")
    for name, value in found.settings.model_dump(mode="json").items():
        typer.echo(f"  {name} = {'' if value is None else value}")
    for lora in found.loras:
        typer.echo(f"  lora {lora.sha256} = {lora.strength:g}")


def workflow(
    ctx: typer.Context,
    run_id: RunId,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it there. Default: to the terminal."),
    ] = None,
    ui: Annotated[
        bool, typer.Option("--ui", help="For ComfyUI's page. Without it: for its server's API.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Write a run as a ComfyUI workflow.

    It does the same job there; what differs is said.
    """
    from svdlab.cli import words
    from svdlab.cli.look import find
    from svdlab.exchange.restore import workflow_of

    if output is not None and output.suffix.lower() != ".json":
        raise BadInput(f"the name of that file must end in .json, got {output.name}")
    with open_data(ctx, data_dir) as lab:
        written = workflow_of(lab, find(lab, run_id))
    for note in written.notes:
        words.say(f"Note: {note}")
    if output is None:
        typer.echo(written.text(ui))
        return
    write_whole(output, lambda path: path.write_text(written.text(ui) + "\n", encoding="utf-8"))
    typer.echo(str(output))
