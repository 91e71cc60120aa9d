"""The database file: opening it, its schema, one writer at a time. Knows SQLite; nothing of what the rows mean.

A database of an older svdlab is copied aside and migrated; one of a newer svdlab is opened for reading only. Knobs and
metrics need no migration: `svdlab.history.finding` gives them their columns when a database is opened.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from svdlab.errors import DataFolderError, reason
from svdlab.history import finding

FILE_NAME = "svdlab.db"
BUSY_SECONDS = 30.0  # how long a write waits for another process's to end
CACHE_KIB = 65_536  # 100,000 runs' worth of `finding`: a search reads memory, not the disk

Connect = Callable[..., sqlite3.Connection]  # whoever wants to see the statements hands in their own

# Append only. Each entry is run once, in order; PRAGMA user_version counts how many have been.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL CHECK (state IN ('queued','running','done','failed','cancelled','interrupted')),
        recipe TEXT NOT NULL,
        recipe_hash TEXT NOT NULL,
        checkpoint TEXT NOT NULL,
        picture TEXT NOT NULL,
        preset TEXT,
        comparison TEXT,
        created REAL NOT NULL,
        started REAL,
        finished REAL,
        step INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        outcome TEXT,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        owner TEXT,
        lease_until REAL
    );
    CREATE INDEX runs_by_state ON runs (state, created);
    CREATE INDEX runs_by_recipe ON runs (recipe_hash, state);
    CREATE INDEX runs_by_created ON runs (created);
    CREATE TABLE comparisons (
        id TEXT PRIMARY KEY,
        a TEXT NOT NULL REFERENCES runs (id),
        b TEXT NOT NULL REFERENCES runs (id),
        created REAL NOT NULL
    );
    CREATE INDEX comparisons_by_created ON comparisons (created);
    """,
    # A run whose latents are decoded again instead of being sampled.
    "ALTER TABLE runs ADD COLUMN latents_of TEXT",
    # What a person says about a run or a comparison; when it went into the bin (0: its files are being removed); and
    # `finding`, a narrow copy of all that runs are found and sorted by. A row of `runs` is kilobytes of JSON, one of
    # `finding` 250 bytes in order of time, so any filter with any order is one pass over 25 MB where there are 100,000
    # runs: no index per knob and metric, and no unlucky choice between them. Triggers keep it, so that it is right
    # whoever writes; it can be made anew from the view `found` at any time.
    """
    ALTER TABLE runs ADD COLUMN starred INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN rating INTEGER CHECK (rating BETWEEN 0 AND 5);
    ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN folded_note TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN deleted REAL;
    ALTER TABLE comparisons ADD COLUMN starred INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE comparisons ADD COLUMN rating INTEGER CHECK (rating BETWEEN 0 AND 5);
    ALTER TABLE comparisons ADD COLUMN note TEXT NOT NULL DEFAULT '';
    ALTER TABLE comparisons ADD COLUMN folded_note TEXT NOT NULL DEFAULT '';
    ALTER TABLE comparisons ADD COLUMN deleted REAL;
    CREATE INDEX runs_by_comparison ON runs (comparison) WHERE comparison IS NOT NULL;
    CREATE INDEX runs_by_source ON runs (latents_of) WHERE latents_of IS NOT NULL;
    CREATE INDEX runs_by_picture ON runs (picture, created, id);
    CREATE INDEX runs_in_bin ON runs (deleted, id) WHERE deleted IS NOT NULL;
    CREATE INDEX comparisons_by_a ON comparisons (a);
    CREATE INDEX comparisons_by_b ON comparisons (b);
    CREATE TABLE run_tags (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        tag TEXT NOT NULL,
        PRIMARY KEY (run, tag)
    ) WITHOUT ROWID;
    CREATE INDEX run_tags_by_tag ON run_tags (tag);
    CREATE TABLE comparison_tags (
        comparison TEXT NOT NULL REFERENCES comparisons (id) ON DELETE CASCADE,
        tag TEXT NOT NULL,
        PRIMARY KEY (comparison, tag)
    ) WITHOUT ROWID;
    CREATE INDEX comparison_tags_by_tag ON comparison_tags (tag);
    CREATE TABLE finding (
        created REAL NOT NULL,
        run TEXT NOT NULL,
        deleted REAL,
        state TEXT NOT NULL,
        starred INTEGER NOT NULL,
        rating INTEGER,
        checkpoint TEXT NOT NULL,
        preset TEXT,
        comparison TEXT,
        words TEXT,
        finished REAL,
        seconds REAL,
        peak_memory_bytes INTEGER,
        motion_bucket_id, fps, num_frames, seed, noise_aug_strength, num_inference_steps, min_guidance_scale,
        max_guidance_scale, schedule, width, height, fit, focus_x, focus_y, decoder, decode_chunk_size, playback_fps,
        camera_motion, object_motion, camera_jerk, pan_x, pan_y, zoom, rotation, flicker, sharpness_kept, fidelity,
        loop_closure,
        PRIMARY KEY (created, run)
    ) WITHOUT ROWID;
    CREATE INDEX finding_by_checkpoint ON finding (checkpoint, deleted);
    CREATE INDEX finding_by_preset ON finding (preset, deleted);
    CREATE VIEW found AS SELECT
        created, id AS run, deleted, state, starred, rating, checkpoint, preset, comparison,
        NULLIF(folded_note || COALESCE((SELECT ' ' || group_concat(tag, ' ') FROM run_tags WHERE run = id), ''), ''),
        finished,
        (SELECT SUM(value) FROM json_each(o, '$.seconds') WHERE key <> 'load'),
        json_extract(o, '$.peak_memory_bytes'),
        json_extract(s, '$.motion_bucket_id'), json_extract(s, '$.fps'), json_extract(s, '$.num_frames'),
        json_extract(s, '$.seed'), json_extract(s, '$.noise_aug_strength'), json_extract(s, '$.num_inference_steps'),
        json_extract(s, '$.min_guidance_scale'), json_extract(s, '$.max_guidance_scale'),
        json_extract(s, '$.schedule'), json_extract(s, '$.width'), json_extract(s, '$.height'),
        json_extract(s, '$.fit'), json_extract(s, '$.focus_x'), json_extract(s, '$.focus_y'),
        json_extract(s, '$.decoder'), json_extract(s, '$.decode_chunk_size'), json_extract(s, '$.playback_fps'),
        json_extract(m, '$.camera_motion'), json_extract(m, '$.object_motion'), json_extract(m, '$.camera_jerk'),
        json_extract(m, '$.pan_x'), json_extract(m, '$.pan_y'), json_extract(m, '$.zoom'),
        json_extract(m, '$.rotation'), json_extract(m, '$.flicker'), json_extract(m, '$.sharpness_kept'),
        json_extract(m, '$.fidelity'), json_extract(m, '$.loop_closure')
        FROM (
            SELECT *,
                CASE WHEN json_valid(recipe) THEN json_extract(recipe, '$.settings') END AS s,
                CASE WHEN json_valid(outcome) THEN json_extract(outcome, '$.metrics') END AS m,
                CASE WHEN json_valid(outcome) THEN outcome END AS o
            FROM runs
        );
    CREATE TRIGGER found_new AFTER INSERT ON runs BEGIN
        INSERT INTO finding SELECT * FROM found WHERE run = NEW.id;
    END;
    CREATE TRIGGER found_changed AFTER UPDATE OF
        state, recipe, outcome, checkpoint, preset, comparison, created, finished, starred, rating, folded_note, deleted
        ON runs BEGIN
        DELETE FROM finding WHERE created = OLD.created AND run = OLD.id;
        INSERT INTO finding SELECT * FROM found WHERE run = NEW.id;
    END;
    CREATE TRIGGER found_lost AFTER DELETE ON runs BEGIN
        DELETE FROM finding WHERE created = OLD.created AND run = OLD.id;
    END;
    CREATE TRIGGER found_tagged AFTER INSERT ON run_tags BEGIN
        DELETE FROM finding WHERE created = (SELECT created FROM runs WHERE id = NEW.run) AND run = NEW.run;
        INSERT INTO finding SELECT * FROM found WHERE run = NEW.run;
    END;
    CREATE TRIGGER found_untagged AFTER DELETE ON run_tags BEGIN
        DELETE FROM finding WHERE created = (SELECT created FROM runs WHERE id = OLD.run) AND run = OLD.run;
        INSERT INTO finding SELECT * FROM found WHERE run = OLD.run;
    END;
    INSERT INTO finding SELECT * FROM found;
    """,
    # Who asked for a run or a comparison (null: whoever runs the lab), where they come from, and whose turn it is: see
    # `svdlab.history.turns`.
    """
    ALTER TABLE runs ADD COLUMN visitor TEXT;
    ALTER TABLE runs ADD COLUMN lane TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE comparisons ADD COLUMN visitor TEXT;
    CREATE INDEX runs_by_visitor ON runs (visitor, created, id) WHERE visitor IS NOT NULL;
    CREATE INDEX comparisons_by_visitor ON comparisons (visitor, created, id) WHERE visitor IS NOT NULL;
    CREATE INDEX runs_in_turn ON runs (turn) WHERE state = 'queued';
    CREATE INDEX runs_in_lanes ON runs (lane, turn) WHERE state IN ('queued', 'running');
    CREATE INDEX runs_waiting_by_lane ON runs (lane) WHERE state = 'queued';
    CREATE INDEX runs_waiting_by_visitor ON runs (visitor) WHERE state = 'queued';
    CREATE TABLE turn (now INTEGER NOT NULL);
    INSERT INTO turn VALUES (0);
    """,
    # Sweeps and their cells. A cell holds what it changes of its sweep's base until its turn comes, and names its run
    # from then on; `place` is the order of rendering, `last` the run that is tried again. `runs.sweep` names the sweep
    # that had a run made: a run that was there before belongs to none.
    """
    CREATE TABLE sweeps (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL CHECK (state IN ('active','paused','cancelled','ended')),
        base TEXT NOT NULL,
        preset TEXT,
        grid TEXT NOT NULL,
        cells INTEGER NOT NULL,
        seconds REAL,
        created REAL NOT NULL,
        visitor TEXT,
        lane TEXT NOT NULL DEFAULT '',
        deleted REAL
    );
    CREATE INDEX sweeps_by_created ON sweeps (created, id);
    CREATE INDEX sweeps_going ON sweeps (created, id) WHERE state = 'active';
    CREATE TABLE cells (
        sweep TEXT NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        place INTEGER NOT NULL,
        work REAL NOT NULL,
        changes TEXT NOT NULL,
        refused TEXT,
        run TEXT,
        last TEXT,
        tries INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (sweep, number)
    ) WITHOUT ROWID;
    CREATE INDEX cells_waiting ON cells (sweep, place) WHERE run IS NULL AND refused IS NULL;
    CREATE INDEX cells_by_run ON cells (run) WHERE run IS NOT NULL;
    ALTER TABLE runs ADD COLUMN sweep TEXT;
    """,
    # What people said of two clips without knowing which was which. Runs and checkpoints are named, not referred to: a
    # vote stays when its clips go.
    """
    CREATE TABLE votes (
        id INTEGER PRIMARY KEY,
        left_run TEXT NOT NULL,
        right_run TEXT NOT NULL,
        left_checkpoint TEXT NOT NULL,
        right_checkpoint TEXT NOT NULL,
        answer TEXT NOT NULL CHECK (answer IN ('left','right','tie','both bad')),
        sitting TEXT NOT NULL,
        created REAL NOT NULL,
        visitor TEXT
    );
    CREATE INDEX votes_by_sitting ON votes (sitting);
    """,
)


def statements(script: str) -> Iterator[str]:
    """The statements of a migration, one at a time; a trigger's own semicolons do not end it."""
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            if statement.strip(" \n;"):
                yield statement
            statement = ""


def apply(db: sqlite3.Connection, first: int, last: int) -> None:
    """Runs the migrations numbered `first` to `last` in the transaction that is open."""
    for number in range(first, last + 1):
        for statement in statements(MIGRATIONS[number - 1]):
            db.execute(statement)
        db.execute(f"PRAGMA user_version={number}")


class Database:
    """`folder/svdlab.db`, open. Thread-safe; several processes may hold it open.

    `read_only` is true where a newer svdlab wrote it: reading works as far as it is understood, writing raises
    `DataFolderError` with `read_only_sentence`.
    """

    def __init__(
        self, folder: Path, busy_seconds: float = BUSY_SECONDS, connect: Connect = sqlite3.connect
    ) -> None:
        self.folder = folder
        self.busy_seconds = busy_seconds
        self.read_only = False
        self._missing: list[str] = []
        self._lock = threading.RLock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = connect(
                folder / FILE_NAME, isolation_level=None, check_same_thread=False, timeout=busy_seconds
            )
        except (OSError, sqlite3.Error) as error:
            raise DataFolderError(f"the data folder {folder} cannot be used: {self._why(error)}") from error
        try:
            self._open()
        except (OSError, sqlite3.Error) as error:
            self._db.close()
            raise DataFolderError(f"the data folder {folder} cannot be used: {self._why(error)}") from error
        except BaseException:
            self._db.close()
            raise

    @property
    def file(self) -> Path:
        """The database."""
        return self.folder / FILE_NAME

    @property
    def read_only_sentence(self) -> str:
        """Why nothing can be written, for a person."""
        return (
            f"the data folder {self.folder} was written by a newer svdlab, so it is only read; "
            f"update svdlab or choose another folder"
        )

    @property
    def unfindable(self) -> frozenset[str]:
        """Knobs and metrics that have no column to be found by: what was written by another svdlab is only read."""
        if self._missing:  # another process may have added them meanwhile
            with self._lock:
                self._missing = finding.missing(self._db)
        return frozenset(self._missing)

    def close(self) -> None:
        """Closes the database; the object is unusable afterwards."""
        with self._lock:
            self._db.close()

    def must_be_writable(self) -> None:
        """Raises `DataFolderError` with one sentence if nothing can be written here."""
        if self.read_only:
            raise DataFolderError(self.read_only_sentence)

    def prove_writable(self) -> None:
        """Writes to the file what it says already. Raises `DataFolderError`."""
        with self._transaction() as db:
            db.execute(f"PRAGMA user_version = {self._version()}")

    def _open(self) -> None:
        self._db.row_factory = sqlite3.Row
        self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        if self._version() <= len(MIGRATIONS):
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
            self._migrate()
        if self._version() > len(MIGRATIONS):
            self._db.execute("PRAGMA query_only=ON")
            self.read_only = True
        else:
            self._extend()
        self._missing = finding.missing(self._db)

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _migrate(self) -> None:
        if self._version() == len(MIGRATIONS):
            return
        with self._transaction():  # from here no other process writes; one may have been faster
            version = self._version()
            if 0 < version < len(MIGRATIONS):
                self._back_up(version + 1)
            apply(self._db, version + 1, len(MIGRATIONS))

    def _extend(self) -> None:
        """Gives knobs and metrics that came later their columns, unless nothing can be written."""
        if finding.missing(self._db):
            with suppress(DataFolderError), self._transaction() as db:
                finding.extend(db)  # looks again: another process may have been faster

    def _back_up(self, number: int) -> Path:
        """Copies the database as it is before migration `number` to `svdlab.db.before-<number>`."""
        target = self.folder / f"{FILE_NAME}.before-{number}"
        part = target.with_name(f"{target.name}.part")
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.file)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy)
        part.replace(target)
        return target

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction; other processes wait, readers do not.

        Raises `DataFolderError` where the disk is full, the file locked for `busy_seconds` or only to be read.
        """
        self.must_be_writable()
        try:
            with self._lock:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:  # a full disk has already rolled back
                        self._db.execute("ROLLBACK")
                    raise
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR:  # our own mistake, not the disk's
                raise
            raise DataFolderError(
                f"the data folder {self.folder} cannot be written: {self._why(error)}"
            ) from error

    def _why(self, error: OSError | sqlite3.Error) -> str:
        """What stands in the way, as the end of a sentence."""
        if isinstance(error, OSError):
            return reason(error)
        match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
            case sqlite3.SQLITE_FULL:
                return "the disk is full; free some room and try again"
            case sqlite3.SQLITE_BUSY:
                return f"another program has kept it locked for {self.busy_seconds:g} seconds; close it or try again"
        return str(error)

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        with self._lock:
            try:
                return self._db.execute(sql, parameters).fetchall()
            except sqlite3.OperationalError as error:
                if self.read_only:
                    raise DataFolderError(
                        f"the data folder {self.folder} was written by a newer svdlab in a form this one cannot read; "
                        f"update svdlab"
                    ) from error
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR:  # our own mistake
                    raise
                raise DataFolderError(
                    f"the data folder {self.folder} cannot be read: {self._why(error)}"
                ) from error
