"""What a visitor may do: everything at a machine of one's own, its own runs and no more on a public lab."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from svdlab.environment import Environment
from svdlab.errors import NotAllowed
from svdlab.history.ids import ID, new_id, unguessable
from svdlab.lab.policy import REFUSALS, Permission, Policy
from svdlab.recipes.records import Recipe, Run
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.visitors import NOBODY, OPERATOR, Visitor

ONE, OTHER = Visitor("one", "lane"), Visitor("other", "lane")
SPACE = Environment(space="someone/svdlab")


def run_of(visitor: Visitor, id: str | None = None) -> Run:
    recipe = Recipe(checkpoint="demo-1-0", picture_sha256="a" * 64, settings=GenerationSettings())
    return Run(id or new_id(), "done", recipe, Path(), Path(), 0.0, visitor=visitor.stored)


def test_at_a_machine_of_ones_own_everything_is_allowed() -> None:
    own = Policy.of(Environment())
    for permission in REFUSALS:
        own.require(permission, NOBODY)
    assert own.may_change(NOBODY, run_of(ONE))
    assert not own.log_in


def test_a_space_is_public_unless_it_says_otherwise() -> None:
    assert Policy.of(SPACE).public
    assert Policy.of(Environment(public=True)).public
    assert not Policy.of(replace(SPACE, public=False)).public


@pytest.mark.parametrize("permission", list(REFUSALS))
def test_on_a_public_lab_the_operator_may_and_visitors_may_not(permission: Permission) -> None:
    shared = Policy.of(SPACE)
    shared.require(permission, OPERATOR)
    for visitor in (NOBODY, ONE):
        assert not shared.allows(permission, visitor)
        with pytest.raises(NotAllowed) as raised:
            shared.require(permission, visitor)
        assert str(raised.value) == REFUSALS[permission]


def test_ones_own_is_ones_own_and_the_rest_is_read_by_whoever_was_given_its_address() -> None:
    shared, run = Policy.of(SPACE), run_of(ONE)
    assert shared.may_change(ONE, run)
    assert shared.may_change(OPERATOR, run)
    assert shared.may_read(OTHER, run)
    for visitor in (OTHER, NOBODY):
        assert not shared.may_change(visitor, run)
        assert not shared.may_change(visitor, run_of(OPERATOR))
        assert not shared.may_change(visitor, run_of(NOBODY))
        assert not shared.may_read(visitor, replace(run, deleted=1.0))


def test_what_has_an_id_that_could_be_found_by_trying_is_not_read_by_strangers() -> None:
    shared, old = Policy.of(SPACE), run_of(ONE, "0199a0000000aaaaa")
    assert ID.fullmatch(old.id)
    assert shared.may_read(ONE, old)
    assert not shared.may_read(OTHER, old)


def test_an_id_has_96_bits_of_chance_and_sorts_by_time() -> None:
    ids = [new_id() for _ in range(500)]
    assert len(set(ids)) == 500
    assert all(ID.fullmatch(id) and unguessable(id) and len(id) == 11 + 24 for id in ids)
    assert ids[0] > "0199a0000000aaaaa"
    assert [id[:11] for id in ids] == sorted(id[:11] for id in ids)
    assert not unguessable("0199a0000000aaaaa")


def test_visitors_log_in_where_the_space_lets_them() -> None:
    assert not Policy.of(SPACE).log_in
    assert Policy.of(replace(SPACE, login="abc")).log_in
    assert not Policy.of(Environment(login="abc")).log_in
