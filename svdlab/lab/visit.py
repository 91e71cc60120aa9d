"""A lab as one visitor has it: the same verbs, each after asking the policy. Every door is built on this.

What a page, an endpoint or an agent names by id is untrusted, and looked up here. Knows the lab and who asks; nothing
of pages, cookies or addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from svdlab.errors import BadInput, NotAllowed, NotFound, SvdlabError
from svdlab.history.search import ComparisonPage, Page, RunQuery
from svdlab.lab import sharing
from svdlab.lab.lab import Lab
from svdlab.lab.pictures import PictureSource
from svdlab.lab.policy import Permission
from svdlab.lab.sweep_plans import Plan
from svdlab.lab.votes import Contest, Open
from svdlab.recipes.checkpoint import Decoder
from svdlab.recipes.loras import Lora
from svdlab.recipes.records import Comparison, Recipe, Run
from svdlab.recipes.sweeps import Grid, Sweep
from svdlab.recipes.visitors import Visitor
from svdlab.recipes.votes import Scope, Vote
from svdlab.weights.availability import availability

One = TypeVar("One", Run, Comparison)

NOT_LENT = (
    "this lab is lent its GPU for one click at a time, so it takes no sweeps; run svdlab on your own machine"
)
_NOBODYS = "-"  # the id of no visitor: nobody in particular lists nothing


class Visit:
    """What one visitor can do at a lab. Cheap: made for each request."""

    def __init__(self, lab: Lab, visitor: Visitor) -> None:
        self.lab, self.visitor = lab, visitor
        self._policy, self._history = lab.policy, lab.history

    def allows(self, permission: Permission) -> bool:
        """Whether this visitor may."""
        return self._policy.allows(permission, self.visitor)

    def require(self, permission: Permission) -> None:
        """Raises `NotAllowed` with one sentence if this visitor may not."""
        self._policy.require(permission, self.visitor)

    @property
    def _only(self) -> str | None:
        """Whose runs are found by what they are: everybody's (None), or this visitor's."""
        return None if self.allows("see_all_runs") else self.visitor.id or _NOBODYS

    # Reading

    def run(self, id: str) -> Run:
        """The run of that id, if this visitor may see it. Raises `NotFound`, also where it may not."""
        found = self._history.get(id)
        if not self._policy.may_read(self.visitor, found):
            raise NotFound(f"there is no run {str(id)[:40]!r}")
        return found

    def comparison(self, id: str) -> Comparison:
        """The comparison of that id, if this visitor may see it. Raises `NotFound`, also where it may not."""
        found = self._history.comparison(id)
        if not self._policy.may_read(self.visitor, found):
            raise NotFound(f"there is no comparison {str(id)[:40]!r}")
        return found

    def either(self, id: str) -> Run | Comparison:
        """The run or comparison of that id. Raises `NotFound`."""
        try:
            return self.run(id)
        except NotFound:
            pass
        try:
            return self.comparison(id)
        except NotFound:
            raise NotFound(f"there is no run or comparison {str(id)[:40]!r}") from None

    def sweep(self, id: str) -> Sweep:
        """The sweep of that id, if this visitor may see it. Raises `NotFound`, also where it may not."""
        found = self._history.sweep(id)
        if not self._policy.may_read(self.visitor, found):
            raise NotFound(f"there is no sweep {str(id)[:40]!r}")
        return found

    def owns(self, thing: Run | Comparison | Sweep) -> bool:
        """Whether this visitor may change it."""
        return self._policy.may_change(self.visitor, thing)

    def find(self, query: RunQuery | None = None, after: str | None = None, limit: int = 50) -> Page:
        """A page of the runs this visitor may list. Raises `BadInput`."""
        return self._history.find(self._of_visitor(query), after, limit)

    def find_comparisons(
        self, query: RunQuery | None = None, after: str | None = None, limit: int = 50
    ) -> ComparisonPage:
        """A page of the comparisons this visitor may list. Raises `BadInput`."""
        return self._history.find_comparisons(self._of_visitor(query), after, limit)

    def count(self, query: RunQuery | None = None) -> int:
        """How many runs of that kind this visitor may list."""
        return self._history.count(self._of_visitor(query))

    def _of_visitor(self, query: RunQuery | None) -> RunQuery:
        return replace(query or RunQuery(), visitor=self._only)

    def latest_runs(self, count: int, handed: Iterable[str] = ()) -> list[Run]:
        """The latest runs this visitor may list, newest first; `handed` are ids it says it was handed."""
        if self._only is None:
            return self._history.runs(limit=count)
        return _latest(count, self.find(limit=count).runs, handed, self.run)

    def latest_comparisons(self, count: int, handed: Iterable[str] = ()) -> list[Comparison]:
        """The latest comparisons this visitor may list, newest first; `handed` are ids it says it was handed."""
        if self._only is None:
            return self._history.comparisons(limit=count)
        return _latest(count, self.find_comparisons(limit=count).comparisons, handed, self.comparison)

    def latest_sweeps(self, count: int) -> list[Sweep]:
        """The latest sweeps this visitor may list, newest first."""
        return self._history.sweeps(count, self._only)

    def comparisons_of(self, run: Run) -> list[Comparison]:
        """The comparisons that a run is a side of, as far as this visitor may list them."""
        pairs = [self._history.comparison(id) for id in self._history.comparisons_of(run.id)]
        return [pair for pair in pairs if self.owns(pair)]

    # Asking

    def submit(self, recipe: Recipe, preset: str | None = None) -> Run:
        """As `Lab.submit`, within this visitor's bounds. Raises `BadSettings`, `NotAllowed`, `BadInput`, `NotFound`."""
        self._may_ask(recipe)
        return self.lab.submit(recipe, preset, self.visitor, self._policy.most_waiting)

    def submit_comparison(self, a: Recipe, b: Recipe, preset: str | None = None) -> Comparison:
        """As `Lab.submit_comparison`, within this visitor's bounds."""
        for recipe in (a, b):
            self._may_ask(recipe)
        return self.lab.submit_comparison(a, b, preset, self.visitor, self._policy.most_waiting)

    def check_cells(self, count: int) -> None:
        """Raises `BadInput` on a sweep of more cells than this visitor may ask for."""
        self._policy.check_cells(count, self.visitor)

    def plan_sweep(
        self, base: Recipe, grid: Grid, preset: str | None = None, told: Collection[str] = ()
    ) -> Plan:
        """As `Sweeps.plan`, within this visitor's bounds: what it may not have rendered is refused, cell by cell."""
        self.check_cells(grid.size)
        if self.lab.quota is not None and not self.visitor.operator:
            raise NotAllowed(NOT_LENT)
        return self.lab.sweeps.plan(base, grid, preset, told=told, may=self._may_ask, visitor=self._only)

    def submit_sweep(self, plan: Plan) -> Sweep:
        """As `Sweeps.submit`. Raises `BadInput`, `DataFolderError`."""
        return self.lab.sweeps.submit(plan, self.visitor)

    def _may_ask(self, recipe: Recipe) -> None:
        self._policy.check(recipe.settings, self.visitor)
        if not self.allows("fetch_weights"):  # asking for a run of weights that are not here would fetch them
            here = availability(self.lab.catalogue.get(recipe.checkpoint))
            if here.state == "can be downloaded":
                self.require("fetch_weights")

    def before(self, recipe: Recipe) -> Run | None:
        """The finished run of a recipe that this visitor may list."""
        return self.lab.before.run(recipe, visitor=self._only)

    def ask(self, recipe: Recipe, preset: str | None = None, again: bool = False) -> tuple[Run, bool]:
        """A recipe's run, and whether it was rendered before: one there is, one on its way, or a new one.

        What somebody else had rendered becomes a run of this visitor's own. `again` renders it whatever there is.
        Raises as `submit`.
        """
        if not again:
            before = self.before(recipe)
            if before is not None:
                return before, True
        waiting = self.lab.before.waiting(recipe, self._only)
        if waiting is not None:
            return waiting, False
        if not again and self._only is not None:
            self._may_ask(recipe)
            others = self.lab.before.run(recipe)
            if others is not None:
                return sharing.give(self._history, others, self.visitor, preset), True
        return self.submit(recipe, preset), False

    def ask_pair(
        self, a: Recipe, b: Recipe, preset: str | None = None, again: bool = False
    ) -> tuple[Comparison, bool]:
        """As `ask`, for two recipes side by side."""
        if not again:
            before = self.lab.before.pair(a, b, visitor=self._only)
            if before is not None:
                return before, True
            waiting = self.lab.before.waiting_pair(a, b, self._only)
            if waiting is not None:
                return waiting, False
            if self._only is not None:
                for recipe in (a, b):
                    self._may_ask(recipe)
                others = self.lab.before.pair(a, b)
                if others is not None:
                    return sharing.give_pair(self._history, others, self.visitor, preset), True
        return self.submit_comparison(a, b, preset), False

    def decode_again(
        self, run_id: str, decoder: Decoder | None = None, decode_chunk_size: int | None = None
    ) -> Comparison:
        """As `Lab.decode_again`, of a run this visitor may see. Raises `BadInput`, `NotFound`."""
        run = self.run(run_id)
        self._may_ask(run.recipe)
        return self.lab.decode_again(
            run.id, decoder, decode_chunk_size, self.visitor, self._policy.most_waiting
        )

    def pair(self, a: str, b: str) -> Comparison:
        """As `Lab.pair`, of two runs this visitor may see. Raises `BadInput`, `NotFound`."""
        return self.lab.pair(self.run(a).id, self.run(b).id, self.visitor)

    # Asking from the outset: a picture and knobs by name
    def order(
        self,
        picture: PictureSource,
        checkpoint: str | None = None,
        preset: str | None = None,
        seed: int | str | None = None,
        loras: tuple[Lora, ...] = (),
        **changes: Any,
    ) -> Run:
        """As `Lab.generate`, within this visitor's bounds and without waiting: the run as it was accepted."""
        return self.submit(self.lab.recipe_of(picture, checkpoint, preset, seed, changes, loras), preset)

    def order_comparison(
        self,
        picture: PictureSource,
        a: str | None = None,
        b: str | None = None,
        preset: str | None = None,
        seed: int | str | None = None,
        loras: tuple[Lora, ...] = (),
        **changes: Any,
    ) -> Comparison:
        """As `Lab.compare`, within this visitor's bounds and without waiting."""
        stored = self.lab.add_picture(picture)
        return self.submit_comparison(
            *self.lab.comparison_recipes(stored, a, b, preset, seed, changes, loras=loras), preset
        )

    # Voting

    def contests(self) -> list[Contest]:
        """As `Booth.contests`, of the runs this visitor may list."""
        return self.lab.booth.contests(self._only)

    def ballot(self, scope: Scope, sitting: str, fresh: bool = False) -> Open | None:
        """As `Booth.next`, of runs this visitor may see. Raises `BadInput`, `NotFound`."""
        self._must_see(scope)
        return self.lab.booth.next(scope, sitting, self.visitor, self._only, fresh)

    def vote(self, token: str, answer: str) -> Vote:
        """As `Booth.take`. Raises `BadInput`, `DataFolderError`."""
        return self.lab.booth.take(token, answer, self.visitor)

    def votes(self, scope: Scope, sitting: str | None = None) -> list[Vote]:
        """The votes on a scope: everybody's, or where visitors are strangers this one's. Raises `NotFound`."""
        self._must_see(scope)
        return self._history.votes(scope, sitting, self._only)

    def check_ballots(self, scope: Scope) -> None:
        """Raises `BadInput` or `NotFound` with what keeps this visitor from voting on these."""
        self._must_see(scope)
        self.lab.booth.pairs(scope, self._only)

    def _must_see(self, scope: Scope) -> None:
        for id in scope.runs:
            self.run(id)

    # Controls

    def own_run(self, id: str) -> Run:
        """The run of that id, if this visitor may change it. Raises `NotFound`, `NotAllowed`."""
        found = self.run(id)
        self._policy.require_own(self.visitor, found)
        return found

    def own_comparison(self, id: str) -> Comparison:
        """The comparison of that id, if this visitor may change it. Raises `NotFound`, `NotAllowed`."""
        found = self.comparison(id)
        self._policy.require_own(self.visitor, found)
        return found

    def own(self, ids: Iterable[str]) -> list[str]:
        """Ids of runs and comparisons that this visitor may change. Raises `NotFound`, `NotAllowed`."""
        ids = list(ids)
        for id in ids:
            self._policy.require_own(self.visitor, self.either(id))
        return ids

    def cancel(self, run_id: str) -> None:
        """As `Lab.cancel`. Raises `NotFound`, `NotAllowed`."""
        self.lab.cancel(self.own_run(run_id).id)

    def cancel_comparison(self, id: str) -> None:
        """Cancels what is this visitor's of a comparison's two sides. Raises `NotFound`, `NotAllowed`."""
        pair = self.own_comparison(id)
        for run in (pair.a, pair.b):
            if self.owns(run):
                self.lab.cancel(run.id)

    def resume(self, *run_ids: str) -> list[Run]:
        """As `Lab.resume`. Raises `NotFound`, `NotAllowed`, `BadInput`."""
        for id in run_ids:
            self._may_ask(self.own_run(id).recipe)
        return self.lab.resume(*run_ids, by=self.visitor, most=self._policy.most_waiting)

    def own_sweep(self, id: str) -> Sweep:
        """The sweep of that id, if this visitor may change it. Raises `NotFound`, `NotAllowed`."""
        found = self.sweep(id)
        self._policy.require_own(self.visitor, found)
        return found

    def control_sweep(self, id: str, what: str) -> None:
        """Pauses, resumes, cancels, retries or deletes a sweep. Raises `NotFound`, `NotAllowed`, `BadInput`."""
        sweeps = self.lab.sweeps
        verbs: dict[str, Callable[[str], object]] = {
            "pause": sweeps.pause,
            "resume": sweeps.resume,
            "cancel": sweeps.cancel,
            "retry": sweeps.retry,
            "delete": self._history.delete_sweep,
        }
        if what not in verbs:
            raise BadInput(f"a sweep can be told to {', '.join(verbs)}, got {what[:40]!r}")
        verbs[what](self.own_sweep(id).id)

    def delete(self, ids: Iterable[str]) -> None:
        """As `Lab.delete`. Raises `NotFound`, `NotAllowed`, `BadInput`."""
        self.lab.delete(self.own(ids))

    def take_back(self, ids: Iterable[str]) -> None:
        """Takes runs and comparisons out of the bin. Raises `NotFound`, `NotAllowed`, `BadInput`."""
        self._history.take_back(self.own(ids))


def _latest(
    count: int, listed: Iterable[One], handed: Iterable[str], look_up: Callable[[str], One]
) -> list[One]:
    """What is listed and what of `handed` is there and not in the bin, newest first."""
    found = {thing.id: thing for thing in listed}
    for id in set(handed) - found.keys():
        with suppress(SvdlabError):
            thing = look_up(id)
            if thing.deleted is None:
                found[id] = thing
    return sorted(found.values(), key=lambda thing: thing.id, reverse=True)[:count]
