"""What a person says of a run or a comparison: star, rating, note, tags. Knows rows; nothing of clips."""

from __future__ import annotations

from svdlab.errors import BadInput, NotFound
from svdlab.history import search
from svdlab.history.kept import Kept, add_tags, folded


class Marks(Kept):
    """What is kept, and the marks on it."""

    def _kind(self, id: str) -> str:
        """'run' or 'comparison'. Raises `NotFound`."""
        for kind in ("run", "comparison"):
            if self._rows(f"SELECT 1 FROM {kind}s WHERE id = ?", (id,)):
                return kind
        raise NotFound(f"there is no run or comparison {str(id)[:40]!r}")

    def set_star(self, id: str, starred: bool = True) -> None:
        """Gives a run or comparison its star, or takes it away. Raises `NotFound`."""
        self._mark(id, "starred = ?", int(starred))

    def rate(self, id: str, rating: int | None) -> None:
        """Rates a run or comparison from 0 to 5; None takes the rating away. Raises `BadInput`, `NotFound`."""
        search.check_rating(rating)
        self._mark(id, "rating = ?", rating)

    def note(self, id: str, note: str) -> None:
        """Writes a note on a run or comparison, in place of the one it has. Raises `BadInput`, `NotFound`."""
        note = search.clean_note(note)
        self._mark(id, "note = ?, folded_note = ?", note, folded(note))

    def _mark(self, id: str, change: str, *values: object) -> None:
        kind = self._kind(id)
        with self._transaction() as db:
            db.execute(f"UPDATE {kind}s SET {change} WHERE id = ?", (*values, id))

    def tag(self, id: str, *tags: str) -> None:
        """Adds tags to a run or comparison, in small letters. Raises `BadInput`, `NotFound`."""
        kind, cleaned = self._kind(id), [search.clean_tag(tag) for tag in tags]
        with self._transaction() as db:
            add_tags(db, kind, id, cleaned)
            count = db.execute(f"SELECT COUNT(*) FROM {kind}_tags WHERE {kind} = ?", (id,)).fetchone()[0]
            if count > search.MAX_TAGS:
                raise BadInput(f"a {kind} may have {search.MAX_TAGS} tags; remove some first")

    def untag(self, id: str, *tags: str) -> None:
        """Takes tags from a run or comparison; what it does not have is passed over. Raises `BadInput`, `NotFound`."""
        kind, cleaned = self._kind(id), [search.clean_tag(tag) for tag in tags]
        with self._transaction() as db:
            db.executemany(
                f"DELETE FROM {kind}_tags WHERE {kind} = ? AND tag = ?", [(id, tag) for tag in cleaned]
            )
