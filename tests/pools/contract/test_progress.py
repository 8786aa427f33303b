"""How far jobs are, and how many attempts a worker has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from steadypool import current_job
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage

pytestmark = pytest.mark.differs_on("asyncio", "the jobs block the loop that is asked for the progress")


def tell_progress(address: str, done: float, total: float | None) -> Any:
    current_job().progress(done, total)
    return jobs.act(address)


def tell_nonsense(done: Any, total: Any = None) -> None:
    current_job().progress(done, total)


@pytest.mark.parametrize(("total", "shown"), [(100, (3, 100)), (None, (3, None)), (float("inf"), (3, None))])
def test_the_progress_of_a_running_job_is_in_the_row_of_its_worker(
    make_pool: Callable[..., Any], stage: Stage, total: float | None, shown: tuple[float, float | None]
) -> None:
    pool = make_pool(1)
    future = pool.submit(tell_progress, stage.address, 3, total)
    actor = stage.enter()
    while (row := pool.stats().worker_rows[0]).progress is None:
        pass  # from a process it comes as a message
    assert row.progress == shown
    actor.tell("return")
    future.result(WAIT)


@pytest.mark.parametrize(("done", "total"), [("a", None), (1, "b"), (None, 2), (float("nan"), 1), ([1], 2)])
def test_what_is_no_number_is_refused(make_pool: Callable[..., Any], done: Any, total: Any) -> None:
    error = make_pool(1).submit(tell_nonsense, done, total).exception(WAIT)
    assert isinstance(error, TypeError) and "progress(done, total) takes numbers" in str(error)


def test_outside_of_a_job_it_is_refused_as_well() -> None:
    current_job().progress(1, 2)
    with pytest.raises(TypeError):
        tell_nonsense("a")


def test_attempts_that_failed_are_done_too(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    for fn in (jobs.fail, jobs.nothing, jobs.fail):
        pool.submit(fn).exception(WAIT)
    while pool.stats().running:
        pass
    [row] = pool.stats().worker_rows
    assert row.jobs_done == 3
