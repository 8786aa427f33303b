"""When a worker process that died is replaced."""

from __future__ import annotations

from steadypool.rules.respawn import FIRST_DELAY, LONGEST_DELAY, MOST_DEATHS, MOST_DEATHS_LATER, restart_delay


def test_a_worker_that_was_ready_is_replaced_at_once() -> None:
    assert restart_delay(0) == 0.0


def test_early_deaths_are_answered_ever_later_and_then_no_more() -> None:
    delays = [restart_delay(deaths) for deaths in range(1, MOST_DEATHS)]
    assert delays == [FIRST_DELAY * 2**n for n in range(MOST_DEATHS - 1)]
    assert restart_delay(MOST_DEATHS) is None
    assert restart_delay(MOST_DEATHS + 100) is None


def test_a_pool_that_has_other_workers_tries_for_ever() -> None:
    delays = [restart_delay(deaths, others_live=True) for deaths in (1, 5, 10, 1000)]
    assert delays == [FIRST_DELAY, FIRST_DELAY * 16, LONGEST_DELAY, LONGEST_DELAY]


def test_a_pool_that_has_had_workers_is_not_given_up_as_soon() -> None:
    assert restart_delay(MOST_DEATHS, once_ready=True) == FIRST_DELAY * 16
    assert restart_delay(MOST_DEATHS_LATER, once_ready=True) is None
