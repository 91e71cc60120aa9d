"""One database file of each released schema, `schema-<n>.db`, and how they were made.

`python -m tests.databases` writes the file of the newest schema if it is not there; the others are never written
again: they are what people have on their disks.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from svdlab.history.database import apply
from svdlab.recipes.records import Recipe

FOLDER = Path(__file__).resolve().parent
PICTURE = "5f" * 32
RECIPE = {
    "checkpoint": "demo-1-0",
    "picture_sha256": PICTURE,
    "settings": {
        "decode_chunk_size": None,
        "decoder": "temporal",
        "fit": "crop",
        "focus_x": 0.5,
        "focus_y": 0.5,
        "fps": 7,
        "height": 64,
        "max_guidance_scale": 3.0,
        "min_guidance_scale": 1.0,
        "motion_bucket_id": 127,
        "noise_aug_strength": 0.02,
        "num_frames": 4,
        "num_inference_steps": 3,
        "playback_fps": None,
        "schedule": "karras",
        "seed": 9223372036854775807,
        "width": 96,
    },
    "svdlab_recipe": 1,
    "versions": {"svdlab": "0.1.0", "torch": "2.8.0"},
}
OUTCOME = {
    "decode_chunk_size": 4,
    "device": "cpu",
    "dtype": "float32",
    "fallbacks": [],
    "latents_of": "",
    "metrics": {"camera_motion": 1.25, "fidelity": 0.875, "loop_closure": 0.5},
    "noise_frames": ["a0", "a1", "a2", "a3", "a4"],
    "noise_sha256": "ab" * 32,
    "offload": "none",
    "peak_memory_bytes": 1000,
    "seconds": {"decode": 1.5, "denoise": 2.0, "encode": 0.5, "load": 9.0, "write": 1.0},
}
RECIPE_HASH = Recipe.from_json(json.dumps(RECIPE)).hash
# id, state, preset, comparison, created: a finished pair, and one run of every other state
RUNS = (
    ("0199a0000000aaaaa", "done", "fast", "0199a0000000ccccc", 1_763_000_000.25),
    ("0199a0000000bbbbb", "done", "fast", "0199a0000000ccccc", 1_763_000_000.5),
    ("0199a0000001aaaaa", "failed", None, None, 1_763_000_001.0),
    ("0199a0000002aaaaa", "cancelled", None, None, 1_763_000_002.0),
    ("0199a0000003aaaaa", "interrupted", None, None, 1_763_000_003.0),
    ("0199a0000004aaaaa", "queued", None, None, 1_763_000_004.0),
)
PAIR = ("0199a0000000ccccc", "0199a0000000aaaaa", "0199a0000000bbbbb", 1_763_000_000.75)


def file_of(schema: int) -> Path:
    """The database as that schema's version left it."""
    return FOLDER / f"schema-{schema}.db"


def write(schema: int, path: Path) -> None:
    """A database made by the first `schema` migrations, with the rows above, as one file in WAL mode."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA page_size=1024")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("BEGIN")
        apply(db, 1, schema)
        for id, state, preset, comparison, created in RUNS:
            done = state == "done"
            db.execute(
                "INSERT INTO runs (id, state, recipe, recipe_hash, checkpoint, picture, preset, comparison, created,"
                " started, finished, error, outcome) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    id,
                    state,
                    json.dumps(RECIPE, sort_keys=True),
                    RECIPE_HASH,
                    RECIPE["checkpoint"],
                    PICTURE,
                    preset,
                    comparison,
                    created,
                    created + 1 if done else None,
                    created + 6 if done else None,
                    "No." if state == "failed" else None,
                    json.dumps(OUTCOME, sort_keys=True) if done else None,
                ),
            )
        db.execute("INSERT INTO comparisons (id, a, b, created) VALUES (?, ?, ?, ?)", PAIR)
        if schema >= 3:
            db.execute(
                "UPDATE runs SET starred = 1, rating = 4, note = 'Öl', folded_note = 'öl' WHERE id = ?",
                PAIR[1:2],
            )
            db.execute("INSERT INTO run_tags VALUES (?, 'keep')", PAIR[1:2])
            db.execute("UPDATE runs SET deleted = 1763000009 WHERE id = ?", RUNS[2][:1])
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
