"""Blind votes: which two clips somebody sees next, on which side, and what the votes say. Knows the history and chance.

Nothing that leaves here before a vote says which clip stands where: a ballot that is open goes by a token, and the two
clips are handed to whoever shows them as one.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from svdlab.errors import BadInput, SvdlabError
from svdlab.history.votes import pairs_in
from svdlab.lab.verdicts import Verdict
from svdlab.metrics.votes import Answer, Duel, ranking, tally
from svdlab.recipes.records import Run
from svdlab.recipes.settings import KNOBS
from svdlab.recipes.visitors import OPERATOR, Visitor
from svdlab.recipes.votes import VOTE_ANSWERS, Ballot, Scope, Vote

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab

MOST_OPEN = 2_000  # ballots shown and not answered, in this process; the oldest is closed for a new one
MOST_CHOSEN = 24  # runs in a vote on chosen ones
BLOCK = 4  # ballots of a sitting in which either entrant stands on the left equally often


@dataclass(frozen=True)
class Contest:
    """What can be voted on: checkpoints by id, and how many pairs of clips of them there are."""

    checkpoints: tuple[str, ...]
    pairs: int


@dataclass(frozen=True)
class Open:
    """A ballot that is looked at: its token, and the runs as they stand."""

    token: str
    left: Run
    right: Run


class Booth:
    """Where votes are asked for and taken."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._chance = lab, secrets.SystemRandom()
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Ballot, str, str | None]] = {}  # token → ballot, sitting, whose
        self._blocks: dict[tuple[str, frozenset[str]], list[bool]] = {}

    # What there is

    def contests(self, visitor: str | None = None) -> list[Contest]:
        """Every two checkpoints that have clips differing in nothing else, most pairs first, and all of them if more.

        Only of that visitor's runs, if one is named.
        """
        twins = self._lab.history.twins(visitor)
        counts = Counter(both for runs in twins for both in combinations(sorted(runs), 2))
        found = [Contest(both, count) for both, count in counts.most_common()]
        everybody = tuple(sorted({one for both in counts for one in both}))
        return [*found, Contest(everybody, sum(counts.values()))] if len(everybody) > 2 else found

    def pairs(self, scope: Scope, visitor: str | None = None) -> list[tuple[str, str]]:
        """The ids of all two runs that are voted on. Raises `BadInput`, `NotFound`."""
        if not scope.runs:
            return pairs_in(self._lab.history.twins(visitor), scope.checkpoints)
        runs = list(dict.fromkeys(scope.runs))
        if not 2 <= len(runs) <= MOST_CHOSEN:
            raise BadInput(f"a vote takes two to {MOST_CHOSEN} clips, got {len(runs)}")
        shapes = {shape_of(self._lab.history.get(id)) for id in runs}
        if len(shapes) > 1:
            raise BadInput(
                "clips of different size or length cannot be voted on: one would know them by that"
            )
        return list(combinations(runs, 2))

    # A vote

    def next(
        self,
        scope: Scope,
        sitting: str,
        by: Visitor = OPERATOR,
        visitor: str | None = None,
        fresh: bool = False,
    ) -> Open | None:
        """The next two clips of a sitting, or None when it has seen all: of those it has not, the least voted on.

        `fresh` closes what the sitting has open. Raises `BadInput`, `NotFound`.
        """
        history = self._lab.history
        pairs = self.pairs(scope, visitor)
        seen = Counter(vote.ballot.runs for vote in history.votes(scope, visitor=by.stored))
        mine = {vote.ballot.runs for vote in history.votes(sitting=sitting)}
        with self._lock:
            if fresh:
                self._open = {token: held for token, held in self._open.items() if held[1] != sitting}
            mine |= {ballot.runs for ballot, whose, _ in self._open.values() if whose == sitting}
        left = [both for both in pairs if frozenset(both) not in mine]
        self._chance.shuffle(left)
        left.sort(key=lambda both: seen[frozenset(both)])
        for both in left:
            runs = [history.get(id) for id in both]
            if all(run.done and run.deleted is None and run.frames_zip.is_file() for run in runs):
                return self._shown(runs, scope, sitting, by)
        return None

    def _shown(self, runs: Sequence[Run], scope: Scope, sitting: str, by: Visitor) -> Open:
        """Opens a ballot of two runs; which is left is drawn, evenly within a block of a few."""
        entrants = frozenset(entrant(run, scope) for run in runs)
        with self._lock:
            block = self._blocks.setdefault((sitting, entrants), [])
            if not block:
                block += [True, False] * (BLOCK // 2)
                self._chance.shuffle(block)
            turned = block.pop()
            first, second = sorted(runs, key=lambda run: entrant(run, scope), reverse=turned)
            token = secrets.token_hex(12)
            while len(self._open) >= MOST_OPEN:
                del self._open[next(iter(self._open))]
            while len(self._blocks) > MOST_OPEN:
                del self._blocks[next(iter(self._blocks))]
            ballot = Ballot(first.id, second.id, first.recipe.checkpoint, second.recipe.checkpoint)
            self._open[token] = (ballot, sitting, by.stored)
        return Open(token, first, second)

    def take(self, token: str, answer: str, by: Visitor = OPERATOR) -> Vote:
        """Writes what was said of an open ballot, once. Raises `BadInput`, `DataFolderError`."""
        said = next((one for one in VOTE_ANSWERS if one == answer), None)
        if said is None:
            raise BadInput(f"a vote is {', '.join(VOTE_ANSWERS)}, got {answer[:40]!r}")
        with self._lock:
            held = self._open.get(token)
            if held is None or held[2] != by.stored:
                raise BadInput("these two clips are not open to be voted on any more; the next two are")
            del self._open[token]
        vote = Vote(held[0], said, held[1], time.time(), by.stored)
        try:
            self._lab.history.add_vote(vote)
        except SvdlabError:
            with self._lock:
                self._open[token] = held  # to be said again
            raise
        return vote

    # What they say

    def verdict(self, scope: Scope, votes: Iterable[Vote]) -> Verdict:
        """What votes between the scope's entrants say: who wins, how surely."""
        votes = list(votes)
        entrants = list(dict.fromkeys(scope.runs or sorted(scope.checkpoints)))
        names = self._names(entrants, scope)
        of = _entrants_of(scope)
        if len(entrants) == 2:
            a = entrants[0]
            return Verdict(
                names, len(votes), tally((_as(of, vote, a), of(vote)[0] == a) for vote in votes), None
            )
        counts: dict[tuple[str, str], Counter[str]] = {}
        for vote in votes:
            both = sorted(of(vote))
            counts.setdefault((both[0], both[1]), Counter())[_as(of, vote, both[0])] += 1
        duels = [
            Duel(*both, said["a"], said["b"], said["tie"] + said["both bad"]) for both, said in counts.items()
        ]
        return Verdict(names, len(votes), None, ranking(duels))

    def _names(self, entrants: Sequence[str], scope: Scope) -> dict[str, str]:
        """Entrants as people call them: checkpoints' names, or what sets a run apart from the other chosen ones."""
        lab = self._lab
        if not scope.runs:
            return {id: lab.checkpoint_name(id) for id in entrants}
        runs = [lab.history.get(id) for id in entrants]
        return {run.id: apart(run, runs, lab.name) or run.id[:8] for run in runs}


def shape_of(run: Run) -> tuple[int, int, int, float]:
    """What a clip could be told by without looking at what is in it."""
    s = run.settings
    return s.width, s.height, s.num_frames, s.effective_playback_fps


def entrant(run: Run, scope: Scope) -> str:
    """What a vote on this run counts for."""
    return run.id if scope.runs else run.recipe.checkpoint


def apart(run: Run, among: Sequence[Run], name: Callable[[Run], str]) -> str:
    """What a run has that not all of these have: 'Demo 1.1, bucket 127, seed 3'."""
    said = []
    if len({one.recipe.checkpoint for one in among}) > 1:
        said.append(name(run))
    for knob in KNOBS.values():
        if len({getattr(one.settings, knob.name) for one in among}) > 1:
            said.append(f"{knob.label.lower()} {knob.said(getattr(run.settings, knob.name))}")
    if len({one.recipe.picture_sha256 for one in among}) > 1:
        said.append(f"picture {run.recipe.picture_sha256[:6]}")
    if len({one.recipe.loras for one in among}) > 1:
        said.append(f"{len(run.recipe.loras)} LoRAs")
    return ", ".join(said)


def _entrants_of(scope: Scope) -> Callable[[Vote], tuple[str, str]]:
    if scope.runs:
        return lambda vote: (vote.ballot.left, vote.ballot.right)
    return lambda vote: (vote.ballot.left_checkpoint, vote.ballot.right_checkpoint)


def _as(of: Callable[[Vote], tuple[str, str]], vote: Vote, a: str) -> Answer:
    """An answer as one for `a`, for the other, or neither."""
    if vote.answer in ("tie", "both bad"):
        return "tie" if vote.answer == "tie" else "both bad"
    left, right = of(vote)
    return "a" if (left if vote.answer == "left" else right) == a else "b"
