"""Histories of any size, inserted straight by SQL: what a person with years of runs has on the disk."""

from __future__ import annotations

import json
import random

from svdlab.history.queue import History
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.records import Outcome, Recipe
from svdlab.recipes.settings import GenerationSettings
from tests.rows import opened

CHECKPOINTS = ("svd", "svd-xt", "svd-xt-1-1", "demo-1-0", "demo-1-1")
PRESETS = ("official", "fast", "calm", None)
STATES = ("done",) * 17 + ("failed", "cancelled", "interrupted")
START = 1_700_000_000.0
EVERY = 600.0  # seconds between two runs
PICTURES = 500
TAGS = ("keep", "article", "sea", "retry")


def fill(history: History, count: int, seed: int = 0) -> None:
    """Adds `count` runs as large as real ones: every tenth with a note, a star or a tag, every fourth rated."""
    draw = random.Random(seed)
    versions = {f"library_{i}": f"{i}.{i}.{i}+build.2026" for i in range(8)}
    recipe = Recipe(
        checkpoint="svd", picture_sha256="0" * 64, settings=GenerationSettings(), versions=versions
    ).model_dump(mode="json")
    outcome = Outcome(
        noise_sha256="ab" * 32,
        noise_frames=tuple(f"{i:012x}" for i in range(26)),
        device="cuda:0 (a GPU)",
        dtype="float16",
        peak_memory_bytes=9 * 10**9,
        video_sha256="cd" * 32,
    )
    runs, tags = [], []
    for number in range(count):
        id = f"{number:011x}{draw.randrange(16**6):06x}"
        done = (state := draw.choice(STATES)) == "done"
        recipe["checkpoint"] = draw.choice(CHECKPOINTS)
        recipe["picture_sha256"] = f"{draw.randrange(min(PICTURES, 1 + count // 8)):08x}" * 8
        recipe["settings"].update(
            motion_bucket_id=draw.randrange(256), seed=draw.randrange(2**32), fps=draw.randrange(5, 31)
        )
        measured = {
            **vars(outcome),
            "seconds": {
                part: draw.uniform(1, 60) for part in ("load", "encode", "denoise", "decode", "write")
            },
            "metrics": {name: round(draw.random(), 4) for name in METRICS},
        }
        note = f"note {number} about the sea" if draw.random() < 0.1 else ""
        created = START + EVERY * number
        runs.append(
            (
                *(id, state, json.dumps(recipe, sort_keys=True), f"{number:064x}", recipe["checkpoint"]),
                *(recipe["picture_sha256"], draw.choice(PRESETS), created, created + 90 if done else None),
                *(json.dumps(measured) if done else None, int(draw.random() < 0.1)),
                *(draw.randrange(6) if draw.random() < 0.25 else None, note, note),
            )
        )
        if draw.random() < 0.1:
            tags.append((id, draw.choice(TAGS)))
    with opened(history) as db:
        db.executemany(
            "INSERT INTO runs (id, state, recipe, recipe_hash, checkpoint, picture, preset, created, finished,"
            " outcome, starred, rating, note, folded_note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            runs,
        )
        db.executemany("INSERT INTO run_tags VALUES (?, ?)", tags)
        pairs = [
            (f"{'c' * 11}{i:06x}", runs[i][0], runs[i + 1][0], runs[i + 1][7]) for i in range(0, count - 1, 4)
        ]
        db.executemany("INSERT INTO comparisons (id, a, b, created) VALUES (?, ?, ?, ?)", pairs)
        both = [(pair, run) for pair, a, b, _ in pairs for run in (a, b)]
        db.executemany("UPDATE runs SET comparison = ? WHERE id = ?", both)
