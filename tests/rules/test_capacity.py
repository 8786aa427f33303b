"""How many workers a pool may have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadypool.rules.capacity import capacity, lent_limit, stuck_replaced, workers_allowed

workers = st.integers(1, 1000)
some = st.integers(0, 5000)


@pytest.mark.parametrize(
    ("max_workers", "stuck", "replaced", "left"),
    [(4, 0, 0, 4), (4, 1, 1, 4), (4, 4, 4, 4), (4, 5, 4, 3), (4, 8, 4, 0), (4, 100, 4, 0), (1, 1, 1, 1), (1, 2, 1, 0)],
)
def test_stuck_workers_are_replaced_up_to_as_many_as_there_are(
    max_workers: int, stuck: int, replaced: int, left: int
) -> None:
    assert stuck_replaced(max_workers, stuck) == replaced
    assert capacity(max_workers, stuck) == left


@given(workers, some)
def test_capacity_stays_within_its_bounds_and_never_grows_with_stuck_workers(max_workers: int, stuck: int) -> None:
    assert 0 <= capacity(max_workers, stuck + 1) <= capacity(max_workers, stuck) <= max_workers


@given(workers, some)
def test_living_threads_never_exceed_twice_the_workers_until_capacity_is_gone(max_workers: int, stuck: int) -> None:
    assert stuck + capacity(max_workers, stuck) <= max(2 * max_workers, stuck)


@pytest.mark.parametrize(("max_workers", "limit"), [(1, 64), (16, 64), (17, 68), (100, 400)])
def test_how_many_spare_workers_there_may_be(max_workers: int, limit: int) -> None:
    assert lent_limit(max_workers) == limit


@pytest.mark.parametrize(
    ("stuck", "lent", "allowed"), [(0, 0, 4), (0, 3, 7), (0, 64, 68), (0, 1000, 68), (6, 0, 2), (8, 1, 1), (8, 0, 0)]
)
def test_a_job_that_waits_lends_its_place(stuck: int, lent: int, allowed: int) -> None:
    assert workers_allowed(4, stuck, lent) == allowed


@given(workers, some, some)
def test_workers_are_bounded_whatever_waits(max_workers: int, stuck: int, lent: int) -> None:
    allowed = workers_allowed(max_workers, stuck, lent)
    assert capacity(max_workers, stuck) <= allowed <= max_workers + lent_limit(max_workers)
    assert allowed <= workers_allowed(max_workers, stuck, lent + 1)
