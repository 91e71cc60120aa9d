"""How long the History page's queries take with 1,000 and with 100,000 runs, and how they grow.

`python -m tests.history_speed` prints p50 and p95 of a page of 50 (query, rows read and checked) in milliseconds; the
target is a p95 below 50 ms. Nothing is asserted: a machine that is busy with other things must not fail a test.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from svdlab.history.conditions import parse_where
from svdlab.history.queue import History
from svdlab.history.search import RunQuery
from tests.synthetic import EVERY, START, fill

SIZES = (1_000, 100_000)
REPEATS = 40
PAGE = 50
TARGET_MS = 50.0


def measure_history(
    say: Callable[[str], None], sizes: tuple[int, ...] = SIZES, repeats: int = REPEATS
) -> None:
    """Fills a history of each size in a temporary folder, times every kind of query and says what it took."""
    taken: dict[str, list[list[float]]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            history = History(Path(folder))
            started = time.perf_counter()
            fill(history, size)
            seconds, megabytes = time.perf_counter() - started, history.file.stat().st_size / 1e6
            say(f"{size} runs: filled in {seconds:.1f} s, the database has {megabytes:.0f} MB")
            for name, ask in _questions(history, size).items():
                taken.setdefault(name, []).append([_timed(ask) for _ in range(repeats)])
            history.close()
    say(f"{'p50 / p95 in ms':<44}" + "".join(f"{size:>18}" for size in sizes) + f"{'growth':>10}")
    for name, times in taken.items():
        shown = "".join(f"{_part(one, 0.5):>10.2f} /{_part(one, 0.95):>6.2f}" for one in times)
        say(f"{name:<44}{shown}{_part(times[-1], 0.5) / _part(times[0], 0.5):>9.1f}×")
    pages = [one for name, times in taken.items() if not name.startswith("(") for one in times[-1]]
    say(
        f"all pages with {sizes[-1]} runs: p95 {_part(pages, 0.95):.1f} ms; the target is below {TARGET_MS:.0f} ms"
    )


def _questions(history: History, size: int) -> dict[str, Callable[[], object]]:
    def page(query: RunQuery, depth: float = 0.0) -> Callable[[], object]:
        after = None
        if depth:  # the cursor of a page in the middle, made once
            skip = max(1, min(1000, int(size * depth)))
            after = history.find(query, limit=skip).next
        return lambda: history.find(query, after, PAGE)

    middle = START + EVERY * size / 2
    return {
        "newest first": page(RunQuery()),
        "newest first, a later page": page(RunQuery(), 0.5),
        "oldest first": page(RunQuery(descending=False)),
        "one checkpoint": page(RunQuery(checkpoint="svd-xt")),
        "one preset": page(RunQuery(preset="calm")),
        "one picture": page(RunQuery(picture="00000007" * 8)),
        "a picture that is not there": page(RunQuery(picture="ffffffff" * 8)),
        "a month": page(RunQuery(since=middle - 15 * 86400, until=middle + 15 * 86400)),
        "failed": page(RunQuery(states=("failed",))),
        "rated 5": page(RunQuery(rating=5)),
        "starred": page(RunQuery(starred=True)),
        "a tag": page(RunQuery(tags=("sea",))),
        "text": page(RunQuery(text="About SEA")),
        "text that is nowhere": page(RunQuery(text="no such words")),
        "by a metric": page(RunQuery(sort="fidelity")),
        "by a metric, a later page": page(RunQuery(sort="fidelity"), 0.5),
        "by a metric, smallest first": page(RunQuery(sort="flicker", descending=False)),
        "by a knob with many equal values": page(RunQuery(sort="num_frames")),
        "by seed": page(RunQuery(sort="seed")),
        "by time taken, done, one checkpoint": page(
            RunQuery(sort="seconds", states=("done",), checkpoint="svd")
        ),
        "everything at once": page(
            RunQuery("svd", "fast", None, START, middle * 2, ("done",), 3, True, ("sea",), "sea", sort="zoom")
        ),
        "conditions on knobs and metrics": page(
            RunQuery(where=parse_where("flicker>0.2 fps!=7 zoom<0.9"), sort="fidelity")
        ),
        "comparisons": lambda: history.find_comparisons(limit=PAGE),
        "comparisons with a checkpoint": lambda: history.find_comparisons(
            RunQuery(checkpoint="svd"), limit=PAGE
        ),
        "(how many there are)": lambda: history.count(RunQuery(checkpoint="svd")),
        "(what there is to filter by)": history.facets,
        "(starring one)": lambda: history.set_star(history.runs(1)[0].id),
    }


def _timed(ask: Callable[[], object]) -> float:
    started = time.perf_counter()
    ask()
    return (time.perf_counter() - started) * 1000


def _part(times: list[float], part: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


if __name__ == "__main__":
    measure_history(print)
