"""When a limit lets a job start, with numbers alone."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadypool import Limit
from steadypool.rules.limits import (
    Allowance,
    after_refund,
    after_start,
    allowance_of,
    merged,
    opens_at,
    why_held,
)

gaps = st.lists(st.floats(0.0, 50.0), min_size=1, max_size=200)


def starts_of(allowed: Allowance, moments: list[float]) -> list[float]:
    """Which of the moments a job starts at, if one waits at each."""
    tat: float | None = None
    started = []
    for now in moments:
        if opens_at(allowed, 0, tat) <= now:
            started.append(now)
            tat = after_start(allowed, tat, now)
    return started


def moments_of(steps: list[float]) -> list[float]:
    now, found = 1_000.0, []
    for step in steps:
        now += step
        found.append(now)
    return found


@given(st.integers(1, 20), st.integers(1, 60), gaps)
def test_spaced_evenly_there_are_never_more_than_one_too_many(starts: int, per: int, steps: list[float]) -> None:
    found = starts_of(Allowance(starts=starts, per=float(per), burst=1), moments_of(steps))
    for first in found:
        assert sum(first <= moment < first + per for moment in found) <= starts + 1


@given(st.integers(1, 20), st.integers(1, 60), gaps)
def test_by_default_there_are_never_more_than_twice_as_many(starts: int, per: int, steps: list[float]) -> None:
    found = starts_of(Allowance(starts=starts, per=float(per)), moments_of(steps))
    for first in found:
        assert sum(first <= moment < first + per for moment in found) <= 2 * starts


@given(st.integers(1, 20), st.integers(1, 60), st.integers(1, 40))
def test_after_a_rest_as_many_start_at_once_as_the_burst(starts: int, per: int, burst: int) -> None:
    found = starts_of(Allowance(starts=starts, per=float(per), burst=burst), [1_000.0] * 50)
    assert len(found) in (burst, burst - 1, burst + 1)  # sums of floats; exact where they are
    assert len(starts_of(Allowance(starts=4, per=2.0, burst=burst), [1_000.0] * 50)) == burst


@given(st.integers(1, 20), st.integers(1, 60), st.integers(1, 5), gaps)
def test_who_waits_until_it_opens_may_start(starts: int, per: int, burst: int, steps: list[float]) -> None:
    allowed = Allowance(starts=starts, per=float(per), burst=burst)
    tat: float | None = None
    now = 1_000.0
    for step in steps:
        now = max(now + step / 50, opens_at(allowed, 0, tat))
        assert opens_at(allowed, 0, tat) <= now
        tat = after_start(allowed, tat, now)


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6))
def test_a_start_that_is_given_back_did_not_count(tat: float, now: float) -> None:
    allowed = Allowance(starts=3, per=60.0)
    after = after_refund(allowed, after_start(allowed, tat, now))
    assert after == pytest.approx(max(tat, now))


def test_running() -> None:
    allowed = Allowance(running=2)
    assert [opens_at(allowed, running, None) for running in (0, 1, 2, 3)] == [-inf, -inf, inf, inf]
    assert opens_at(Allowance(running=0), 0, None) == inf
    assert after_start(allowed, None, 5.0) is None and after_refund(allowed, None) is None


def test_both() -> None:
    allowed = Allowance(running=2, starts=1, per=10.0)
    assert opens_at(allowed, 2, 20.0) == inf and opens_at(allowed, 1, 20.0) == 20.0


def test_no_starts_at_all_are_none() -> None:
    assert opens_at(Allowance(starts=0, per=1.0), 0, None) == inf
    assert after_start(Allowance(starts=0, per=1.0), 5.0, 7.0) == 5.0


def test_what_was_set_by_hand_goes_over_the_code_number_by_number() -> None:
    code = allowance_of(Limit("stripe", running=5, starts=100, per=60))
    by_hand, for_key = Allowance(running=2), Allowance(starts=1)
    assert merged(code) == code == Allowance(5, 100, 60.0, None)
    assert merged(code, by_hand) == Allowance(2, 100, 60.0, None)
    assert merged(code, by_hand, for_key) == merged(code, None, by_hand, for_key) == Allowance(2, 1, 60.0, None)
    assert merged(None, for_key) == Allowance(starts=1) and merged() == Allowance()


def test_why() -> None:
    assert why_held("stripe", "", Allowance(running=5), 5, inf) == "limit stripe: 5 of 5 running"
    assert why_held("sync", "42", Allowance(running=1), 1, inf) == "limit sync, key '42': 1 of 1 running"
    held = why_held("stripe", "", Allowance(5, 100, 60.0), 1, 0.58)
    assert held == "limit stripe: 100 starts in 60 s, the next in 0.6 s"
