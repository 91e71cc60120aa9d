"""The command line put together: every command by name, `svdlab app` and `svdlab bench`.

Everything slow to import is imported inside the commands.
"""

from __future__ import annotations

import signal
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from svdlab import __version__
from svdlab.cli import again, look, loras, make, sweep, weights
from svdlab.cli.examples import examples, have_examples
from svdlab.cli.flags import HELP_WIDTH, SectionedCommand, dashed, knob_flags
from svdlab.cli.interrupt import second_leaves_at_once
from svdlab.cli.loss import loss
from svdlab.cli.measure import measure
from svdlab.cli.options import (
    AsJson,
    DataDir,
    Device,
    Dtype,
    OnCluster,
    data_dir_of,
    environment_of,
    use_cluster,
)
from svdlab.cli.plan import plan
from svdlab.cli.study import study
from svdlab.cli.votes import votes
from svdlab.errors import BadInput

SETTINGS = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": HELP_WIDTH,
    "token_normalize_func": dashed,
}


class _Ordered(TyperGroup):
    """Lists its commands in the order a person needs them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Called by click for --help."""
        return [
            "app",
            "generate",
            "compare",
            "sweep",
            "sweeps",
            "plan",
            "reproduce",
            "loss",
            "measure",
            "study",
            "votes",
            "runs",
            "checkpoints",
            "loras",
            "presets",
            "doctor",
            "examples",
            "bench",
        ]


class _AppCommand(SectionedCommand):
    """`svdlab app`, whose --help also says which kinds of workers there are."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Called by click's help formatter."""
        from svdlab.workers.kinds import kinds

        super().format_options(ctx, formatter)
        with formatter.section("Workers"):
            formatter.write_dl(list(kinds().items()), col_max=34)


cli = typer.Typer(
    name="svdlab", cls=_Ordered, rich_markup_mode=None, add_completion=False, context_settings=SETTINGS
)


@cache
def command() -> Any:
    """The whole command line, built once."""
    cli.command(cls=_AppCommand)(app)
    for function in (
        make.generate,
        make.compare,
        sweep.sweep,
        sweep.sweeps,
        plan,
        again.reproduce,
        measure,
        study,
        votes,
        look.presets,
        look.doctor,
        examples,
        loss,
        bench,
    ):
        cli.command(cls=SectionedCommand)(function)
    for function in (again.recipe, again.workflow):
        look.plain_runs()(function)
    cli.add_typer(look.runs_cli, name="runs")
    cli.add_typer(weights.checkpoints_cli, name="checkpoints")
    cli.add_typer(loras.loras_cli, name="loras")
    return typer.main.get_command(cli)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"svdlab {__version__}")
        raise typer.Exit


@cli.callback(invoke_without_command=True)
def _svdlab(
    ctx: typer.Context,
    data_dir: DataDir = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A laboratory for image-to-video with Stable Video Diffusion."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def app(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen. Default: 127.0.0.1.")
    ] = "",
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=1, max=65535, help="On which port. Default: 7860."),
    ] = None,
    worker: Annotated[
        str,
        typer.Option(
            "--worker", metavar="KIND", help="Who renders, one of the workers below. Default: local."
        ),
    ] = "",
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    data_dir: DataDir = None,
    device: Device = "",
    dtype: Dtype = "",
    cluster: OnCluster = "",
) -> None:
    """Serve the lab in the browser until Ctrl-C.

    SVDLAB_HOST, SVDLAB_PORT, SVDLAB_DATA_DIR, SVDLAB_WORKER, SVDLAB_DEVICE and SVDLAB_DTYPE stand for the options. On a
    Hugging Face Space the page is served to everybody, and visitors do not see each other's runs.
    """
    from svdlab import logs
    from svdlab.ui import launch
    from svdlab.workers import open_lab

    use_cluster(ctx, cluster)
    environment = environment_of(ctx)
    host, port = host or environment.listening, port or environment.port
    logs.start(environment)
    opened = open_lab(
        data_dir_of(ctx, data_dir), device, dtype, worker=worker or None, warm=True, environment=environment
    )
    with second_leaves_at_once(signal.SIGTERM), opened as lab:  # containers stop with it; close as on Ctrl-C
        if environment.has_examples:
            have_examples(lab)
        try:
            launch(lab, host, port, device=device, open_browser=open_browser)
        except OSError as error:
            raise BadInput(f"the page cannot be served at {host}:{port}: {error}") from error


def _has_cuda(device: str) -> bool:
    from svdlab.engine.memory import choose_device

    return choose_device(device or "auto").type == "cuda"


@knob_flags
def bench(
    ctx: typer.Context,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", "-c", metavar="ID", help="Which weights.")
    ] = "demo-1-1",
    repeats: Annotated[
        int, typer.Option("--repeats", metavar="N", min=1, help="Timed runs of each kind.")
    ] = 5,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two repeats, two steps: to see that it works.")
    ] = False,
    gpu: Annotated[
        bool,
        typer.Option("--gpu", help="Full size with random weights, in at most 8 minutes of a graphics card."),
    ] = False,
    small: Annotated[
        bool, typer.Option("--small", help="With --gpu: small networks, to see that it works; on a CPU too.")
    ] = False,
    raw: Annotated[
        Path | None,
        typer.Option(
            "--raw",
            metavar="FILE",
            help="With --gpu: add raw figures to that file as they come. Default: svdlab-bench-gpu.jsonl.",
        ),
    ] = None,
    compiling: Annotated[
        bool, typer.Option("--compile/--no-compile", help="With --gpu: measure torch.compile too.")
    ] = True,
    startup: Annotated[
        bool, typer.Option("--startup/--no-startup", help="Time how fast things start.")
    ] = True,
    as_json: AsJson = False,
    device: Device = "",
    dtype: Dtype = "",
    *,
    changes: dict[str, str],
) -> None:
    """Measure speed, as ratios in one run.

    The targets stand beside the figures; nothing is asserted. Knobs that are not given are official.
    """
    from svdlab.cli import words
    from svdlab.cli.progress import must_be_here
    from svdlab.clips.video import webp_bytes

    if gpu:
        from svdlab.engine import bench_gpu

        if not small and not _has_cuda(device):
            raise BadInput("bench --gpu is at full size, which needs a CUDA device; --small is not")
        where, found = bench_gpu.measure(device, small, raw, compiling, words.say)
        if as_json:
            words.say_json({"where": where, "rows": [one.__dict__ for one in found]})
            return
        typer.echo(where)
        words.table(("what", "measured"), [(one.what, one.figures) for one in found])
        return
    from svdlab.weights.catalogue import Catalogue

    chosen = Catalogue().get(checkpoint)
    must_be_here(chosen)
    from svdlab.engine import bench as benchmark

    asked = environment_of(ctx)
    memory = (asked.memory_bytes, asked.offload)
    asked_for = benchmark.Plan(chosen, device, dtype, repeats, quick, startup, webp_bytes, changes, *memory)
    figures = benchmark.measure(asked_for, words.say)
    if as_json:
        words.say_json({"where": figures.where, "figures": [figure.__dict__ for figure in figures.rows]})
        return
    typer.echo(figures.where)
    rows = [(row.what, row.measured, row.target, row.remark) for row in figures.rows]
    words.table(("what", "measured", "target", "remark"), rows)
