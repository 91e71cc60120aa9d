"""A study as one self-contained HTML file, and as a table. Knows answers and runs; nothing of workers or screens.

The file fetches nothing: plots are SVG inside it, and it holds all recipes and the command that makes it again.
"""

from __future__ import annotations

import html
import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from svdlab.exchange.tables import write_rows
from svdlab.files import write_whole
from svdlab.lab.studies import Answer, Made
from svdlab.metrics.definitions import METRICS, edition
from svdlab.metrics.paired import ALPHA

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 980px; margin: 32px auto; padding: 0 20px; color: #1b1b1a; }
h1 { font-size: 24px; } h2 { font-size: 18px; margin-top: 32px; } .soft { color: #5d5d58; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 10px; border-bottom: 1px solid #deded8; vertical-align: top; }
svg { width: 220px; height: 22px; } svg line { stroke: #7b7b75; } svg .span { stroke: #137a71; stroke-width: 3; }
svg circle { fill: #137a71; } .unsure svg .span { stroke: #c4c4bc; } .unsure svg circle { fill: #7b7b75; }
pre { background: #ecece7; padding: 12px; overflow: auto; font-size: 12px; } summary { cursor: pointer; }
@media (prefers-color-scheme: dark) { body { background: #111211; color: #ecece8; } pre { background: #242524; }
th, td { border-color: #2c2e2c; } .soft { color: #a9aaa4; } }
"""
WIDTH = 200  # px of a plot


def write_html(
    path: Path,
    question: str,
    plan: Sequence[str],
    found: Sequence[Answer],
    made: Sequence[Made],
    command: Sequence[str],
) -> None:
    """Writes the report; `plan` are the sentences under the question. Raises `BadInput` where it cannot be written."""
    text = page(question, plan, found, made, command)
    write_whole(path, lambda target: target.write_text(text, encoding="utf-8"))


def page(
    question: str, plan: Sequence[str], found: Sequence[Answer], made: Sequence[Made], command: Sequence[str]
) -> str:
    """The report as HTML."""
    said = html.escape
    parts = [f"<h1>{said(question)}</h1>", *(f"<p class=soft>{said(line)}</p>" for line in plan)]
    if not found:
        parts.append("<p>No pair was rendered on both sides, so there is nothing to say.</p>")
    for setting in dict.fromkeys(one.setting for one in found):
        rows = [_row(one) for one in found if one.setting == setting]
        head = "<tr><th>Answer<th>B minus A<th>95 % interval<th>effect<th>chance</tr>"
        parts.append(f"<h2>{said(setting)}</h2><table>{head}{''.join(rows)}</table>")
    parts.append(
        f"<p class=soft>The interval is a bootstrap's, over pictures where there are five; effect is the mean "
        f"difference over its standard deviation; chance is an exact test's, corrected for all {len(found)} answers, "
        f"and certain enough at {ALPHA:.0%}. More is not better: what each number says stands in docs/metrics.md.</p>"
    )
    parts.append(f"<h2>All pairs</h2><details><summary>{len(made)} pairs</summary>{_pairs(made)}</details>")
    recipes = "\n".join(dict.fromkeys(run.recipe.to_json() for one in made for run in (one.a, one.b)))
    parts.append(
        f"<h2>Recipes</h2><details><summary>as JSON, a line each</summary><pre>{said(recipes)}</pre></details>"
    )
    parts.append(
        f"<h2>Command</h2><pre>{said(shlex.join(command))}</pre><p class=soft>Definitions {edition()}.</p>"
    )
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{said(question)}</title>"
    return f"<!doctype html><html lang=en>{head}<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"


def _row(one: Answer) -> str:
    metric, found = METRICS[one.metric], one.found
    span = "–" if math.isnan(found.low) else f"{metric.number(found.low)} to {metric.number(found.high)}"
    unsure = " class=unsure" if one.corrected > ALPHA else ""
    difference = metric.number(found.difference, signed=True)
    return (
        f"<tr{unsure}><td>{html.escape(one.sentence)}<td>{_plot(one)}<br>{difference} {html.escape(metric.unit)}"
        f"<td>{span}<td>{found.effect:.2f}<td>{one.corrected:.3g}</tr>"
    )


def _plot(one: Answer) -> str:
    """A dot with its interval on a line whose middle is zero."""
    found = one.found
    reach = max(abs(x) for x in (found.difference, found.low, found.high) if not math.isnan(x)) or 1.0

    def x(value: float) -> float:
        return WIDTH / 2 * (1 + 0.95 * value / reach)

    span = ""
    if not math.isnan(found.low):
        span = f"<line class=span x1={x(found.low):.1f} x2={x(found.high):.1f} y1=11 y2=11 />"
    zero = f"<line x1={WIDTH / 2} x2={WIDTH / 2} y1=1 y2=21 /><line x1=0 x2={WIDTH} y1=11 y2=11 />"
    dot = f"<circle cx={x(found.difference):.1f} cy=11 r=4 />"
    return f"<svg viewBox='0 0 {WIDTH} 22' role=img aria-label='{html.escape(one.sentence)}'>{zero}{span}{dot}</svg>"


def _pairs(made: Sequence[Made]) -> str:
    names = [
        name for name in METRICS if any(name in run.outcome.metrics for one in made for run in (one.a, one.b))
    ]
    head = "".join(f"<th>{html.escape(METRICS[name].label)}" for name in names)
    rows = [f"<tr><th>setting<th>picture<th>seed<th>side<th>run{head}</tr>"]
    for one in made:
        for side, run in (("A", one.a), ("B", one.b)):
            values = "".join(f"<td>{METRICS[name].number(run.outcome.metrics.get(name))}" for name in names)
            where = f"<td>{html.escape(one.pair.setting)}<td>{one.pair.picture[:8]}<td>{one.pair.seed}"
            rows.append(f"<tr>{where}<td>{side}<td>{run.id}{values}</tr>")
    return f"<div style='overflow:auto'><table>{''.join(rows)}</table></div>"


def write_measures(path: Path, made: Sequence[Made]) -> None:
    """A row for each pair and measure, as CSV or Parquet by the name. Raises `BadInput` where it cannot be written."""
    rows = [
        (one.pair.setting, one.pair.picture, one.pair.seed, one.a.id, one.b.id, name, a, b, round(b - a, 6))
        for one in made
        for name in METRICS
        if (a := one.a.outcome.metrics.get(name)) is not None
        and (b := one.b.outcome.metrics.get(name)) is not None
    ]
    write_rows(path, ("setting", "picture", "seed", "run_a", "run_b", "metric", "a", "b", "difference"), rows)


def as_json(
    question: str, plan: Sequence[str], found: Sequence[Answer], made: Sequence[Made]
) -> dict[str, object]:
    """The answers for programs."""
    return {
        "question": question,
        "plan": list(plan),
        "edition": edition(),
        "pairs": len(made),
        "answers": [
            {
                "setting": one.setting,
                "metric": one.metric,
                "sentence": one.sentence,
                "decided": one.corrected <= ALPHA,
                "chance": one.corrected,
                **json.loads(json.dumps(one.found.__dict__).replace("NaN", "null")),
            }
            for one in found
        ],
    }
