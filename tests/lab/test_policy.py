"""What a visitor may do: everything at a machine of one's own, nothing that others see on a shared Space."""

from __future__ import annotations

import pytest

from svdlab.environment import Environment
from svdlab.errors import BadInput
from svdlab.lab.policy import REFUSALS, Permission, Policy


def test_at_a_machine_of_ones_own_everything_is_allowed() -> None:
    own = Policy.of(Environment())
    for permission in REFUSALS:
        own.require(permission)
    assert not own.log_in


@pytest.mark.parametrize("permission", list(REFUSALS))
def test_on_a_space_visitors_change_and_list_nothing_of_others(permission: Permission) -> None:
    shared = Policy.of(Environment(space="someone/svdlab"))
    assert not getattr(shared, permission)
    with pytest.raises(BadInput) as raised:
        shared.require(permission)
    assert str(raised.value) == REFUSALS[permission]


def test_visitors_log_in_where_the_space_lets_them() -> None:
    assert not Policy.of(Environment(space="someone/svdlab")).log_in
    assert Policy.of(Environment(space="someone/svdlab", login="abc")).log_in
    assert not Policy.of(Environment(login="abc")).log_in
