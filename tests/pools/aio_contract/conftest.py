"""The scenarios of `tests.pools.contract`, on an `AsyncPool`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.pools.aio_contract.on_a_loop import OnALoop
from tests.pools.contract.kinds import Kind

DIFFERENT = {
    "test_caller_runs": "the job runs in a task of its own: see tests/pools/aio/test_submit.py",
    "test_a_done_callback_may_submit_to_its_full_pool": "callbacks run on the loop, where nothing may block",
    "test_waiting_for_it_in_a_done_callback_is_refused": "a callback on the loop cannot wait at all",
    "test_waiting_for_it_in_the_callback_of_a_job_that_was_timed_out_is_refused": "a callback on the loop cannot wait",
    "test_a_blocking_done_callback_does_not_hold_it_up": "what blocks the loop holds everything up",
    "test_a_blocking_done_callback_does_not_hold_up_time_limits": "what blocks the loop holds everything up",
    "test_a_callback_that_blocks_in_its_worker_does_not_hold_it_up": "what blocks the loop holds everything up",
    "test_a_hanging_sink_does_not_hold_it_up": "what blocks the loop holds everything up",
    "test_what_would_mean_something_to_the_caller_is_stood_in_for": "see tests/pools/aio/test_submit.py",
    "test_a_coroutine_that_a_job_returns_is_its_failure": "every function was made a coroutine function",
    "test_what_says_that_it_is_a_coroutine_function_is_refused": "it is taken: see tests/pools/aio/test_submit.py",
    "test_in_a_signal_handler": "the loop calls its handlers itself: see tests/pools/aio/test_endings.py",
    "test_an_initializer_that_raises_fails_the_pool_clearly_and_once": "there is no initializer",
    "test_a_broken_pool_is_not_alive": "there is no initializer",
    "test_a_producer_that_is_blocked_hears_of_a_failing_initializer": "there is no initializer",
    "test_a_failure_somebody_looked_at_is_not_logged[await]": "awaited on another loop than the pool's",
    "test_a_map_that_is_dropped_unread_runs_on": "its loop closes an asynchronous generator, however it was dropped",
    "test_bad_functions_are_told_at_once": "every function was made a coroutine function",
    "test_an_endless_input_is_taken_lazily": "it gives an asynchronous generator: see tests/pools/aio/test_many.py",
    "test_results_that_were_taken_are_not_kept": "the caller's thread holds them: see tests/pools/aio/test_many.py",
    "test_a_sleep_without_end_ends_when_told": "it ends with CancelledError: see tests/pools/aio/test_context.py",
    "test_a_sleep_that_makes_no_sense": "it is awaited: see tests/pools/aio/test_context.py",
    "test_sleep_ends_early_when_told": "it ends with CancelledError: see tests/pools/aio/test_context.py",
    "test_the_caller_is_told_at_the_limit_whatever_the_job_does": "it looks for the name of a file in the stack",
    "test_a_warning_when_the_block_is_entered": "see tests/pools/aio/test_forecast.py",
    "test_a_warning_when_the_estimate_outgrows_the_limit": "the same",
    "test_a_warning_when_the_queue_is_full": "the same",
    "test_the_story_of_the_pool": "a worker is a task for one job, and not announced",
}
"""Scenarios that cannot be the same on asyncio, and why."""
if sys.version_info >= (3, 12):
    DIFFERENT["test_a_failure_nobody_looked_at_is_logged_once"] = (
        "an eager task's failure is freed by the collector, and logged then: see tests/pools/aio/test_context.py"
    )


@pytest.fixture
def kind() -> Kind:
    """The kind of pool that is tested."""
    return Kind("asyncio", OnALoop, kills=False)


@pytest.fixture(autouse=True)
def loops_end() -> Iterator[None]:
    """No loop outlives its test."""
    yield
    OnALoop.end_loops()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is different."""
    for item in items:
        name, of_all = item.name, item.name.partition("[")[0]
        if "aio_contract" in item.path.parts and (reason := DIFFERENT.get(name) or DIFFERENT.get(of_all)):
            item.add_marker(pytest.mark.skip(reason=reason))
