"""The drain ladder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadypool import PoolState
from steadypool.model.states import MOVES
from steadypool.rules.drain import earlier, next_state, wakes_at

OPEN, DRAINING, CANCELLING, CLOSED = PoolState

moments = st.floats(0, 1e6)
maybe = st.none() | moments
states = st.sampled_from(PoolState)


@pytest.mark.parametrize(
    ("state", "now", "deadline", "grace_ends", "all_ended", "expected"),
    [
        (OPEN, 9.0, 1.0, 1.0, True, OPEN),
        (DRAINING, 9.0, None, None, False, DRAINING),
        (DRAINING, 9.0, None, None, True, CLOSED),
        (DRAINING, 9.0, 9.1, None, False, DRAINING),
        (DRAINING, 9.1, 9.1, None, False, CANCELLING),
        (DRAINING, 9.2, 9.1, None, True, CLOSED),
        (CANCELLING, 9.0, 8.0, None, False, CANCELLING),
        (CANCELLING, 9.0, 8.0, 9.5, False, CANCELLING),
        (CANCELLING, 9.0, 8.0, 9.5, True, CLOSED),
        (CANCELLING, 9.5, 8.0, 9.5, False, CLOSED),
        (CLOSED, 9.0, 1.0, 1.0, False, CLOSED),
    ],
)
def test_where_a_draining_pool_goes(
    state: PoolState,
    now: float,
    deadline: float | None,
    grace_ends: float | None,
    all_ended: bool,
    expected: PoolState,
) -> None:
    assert next_state(state, now, deadline, grace_ends, all_ended) is expected


@given(states, moments, maybe, maybe, st.booleans())
def test_it_only_makes_legal_moves(
    state: PoolState, now: float, deadline: float | None, grace_ends: float | None, all_ended: bool
) -> None:
    to = next_state(state, now, deadline, grace_ends, all_ended)
    assert to is state or to in MOVES[state]


@given(states, moments, maybe, maybe)
def test_when_nothing_happens_the_answer_changes_only_at_the_moment_to_wake(
    state: PoolState, now: float, deadline: float | None, grace_ends: float | None
) -> None:
    wake = wakes_at(state, deadline, grace_ends)
    goes_on = next_state(state, now, deadline, grace_ends, False) is not state
    assert goes_on is (wake is not None and now >= wake)


@given(moments, moments, moments)
def test_a_drain_with_a_limit_ends_within_the_limit_and_the_grace(begin: float, timeout: float, grace: float) -> None:
    deadline = begin + timeout
    state = next_state(DRAINING, deadline, deadline, None, False)
    assert state is CANCELLING
    assert next_state(state, deadline + grace, deadline, deadline + grace, False) is CLOSED


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(None, None, None), (1.0, None, 1.0), (None, 2.0, 2.0), (1.0, 2.0, 1.0), (2.0, 1.0, 1.0), (0.0, None, 0.0)],
)
def test_the_earlier_of_two_moments(one: float | None, other: float | None, expected: float | None) -> None:
    assert earlier(one, other) == expected
