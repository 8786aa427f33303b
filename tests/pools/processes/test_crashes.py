"""A worker that dies takes one job along, and nobody else notices."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from steadypool import Outcome, Retry, WorkerCrashed, task
from steadypool.model import events
from steadypool.pools.processes.ipc.oom import oom_kills
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch
from tests.pools.processes import deeds
from tests.pools.processes.methods import on_each_parent
from tests.pools.processes.remains import descriptors, wait_gone

MakePool = Callable[..., Any]


def crash(future: Any) -> WorkerCrashed:
    """The error of a job whose worker died."""
    error = future.exception(WAIT)
    assert isinstance(error, WorkerCrashed), error
    assert future.outcome is Outcome.CRASHED
    assert not future.cancelled()
    return error


@on_each_parent
@pytest.mark.parametrize(
    ("deed", "arguments", "exitcode", "signal_name"),
    [
        (deeds.segfault, (), -signal.SIGSEGV, "SIGSEGV"),
        (deeds.abort, (), -signal.SIGABRT, "SIGABRT"),
        (deeds.leave, (0,), 0, None),
        (deeds.leave, (3,), 3, None),
        (deeds.leave, (255,), 255, None),
        (deeds.kill, (), -signal.SIGKILL, "SIGKILL"),
        (deeds.close_everything, (), 1, None),
    ],
    ids=["segfault", "abort", "exit 0", "exit 3", "exit 255", "SIGKILL", "close everything"],
)
def test_only_the_job_dies(
    warm_pool: Any,
    stage: Stage,
    method: str,
    deed: Any,
    arguments: tuple[Any, ...],
    exitcode: int,
    signal_name: str | None,
) -> None:
    sibling, actor = stage.start(warm_pool)
    pids = warm_pool.worker_pids()
    error = crash(warm_pool.submit(deed, *arguments))
    if not (method == "forkserver" and exitcode == 255):  # there it also means "not known"
        assert error.exitcode == exitcode
    assert error.signal_name == signal_name
    assert error.pid in pids
    assert str(error.pid) in str(error)
    assert (signal_name or f"exit code {error.exitcode}") in str(error) or error.exitcode is None
    assert warm_pool.submit(jobs.same, 1).result(WAIT) == 1
    actor.tell("return")
    assert sibling.result(WAIT) == "actor"
    assert error.pid not in warm_pool.worker_pids()
    assert warm_pool.stats().crashed == 1
    [group] = warm_pool.errors()
    assert group.type_name.endswith("WorkerCrashed")


@pytest.mark.parametrize("deed", [deeds.segfault, deeds.abort])
def test_the_stack_at_the_crash_is_told(warm_pool: Any, deed: Any) -> None:
    error = crash(warm_pool.submit(deed))
    assert f"in {deed.__name__}" in error.stack
    assert "child.py" not in error.stack
    assert error.stack.rstrip() in str(error)
    [group] = warm_pool.errors()
    assert group.where.endswith(("in abort", "in string_at"))


def test_a_kill_leaves_no_stack_but_says_what_is_known_of_memory(warm_pool: Any) -> None:
    error = crash(warm_pool.submit(deeds.kill))
    assert error.stack == ""
    assert error.oom is (None if oom_kills() is None else False)
    assert crash(warm_pool.submit(deeds.segfault)).oom is None


@on_each_parent
def test_killed_from_outside_while_running(warm_pool: Any, stage: Stage) -> None:
    future, actor = stage.start(warm_pool)
    pid, _ = actor.ask("worker")
    os.kill(pid, signal.SIGKILL)
    assert crash(future).pid == pid
    assert warm_pool.submit(deeds.pid).result(WAIT) != pid


@on_each_parent
def test_killed_while_idle(warm_pool: Any) -> None:
    watch = Watch(warm_pool)
    killed = warm_pool.worker_pids()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    ended = watch.wait_for(events.WorkerEnded, 2)
    assert [event.reason for event in ended] == ["died", "died"]
    assert warm_pool.submit(deeds.pid).result(WAIT) not in killed
    stats = warm_pool.stats()
    assert stats.restarts == 2
    assert stats.crashed == 0


@on_each_parent
def test_killed_right_after_submit(warm_pool: Any) -> None:
    """Whether it had begun or not: the job has an outcome, and the next one runs."""
    for _ in range(4):
        future = warm_pool.submit(deeds.pid)
        killed = warm_pool.worker_pids()
        for pid in killed:
            with suppress(ProcessLookupError):  # one of the last round, that the pool has not seen die yet
                os.kill(pid, signal.SIGKILL)
        error = future.exception(WAIT)
        if error is not None:
            assert crash(future).pid in killed
        assert future.attempts == 1
    assert warm_pool.submit(jobs.same, 1).result(WAIT) == 1


@on_each_parent
def test_killed_while_it_starts(make_pool: MakePool) -> None:
    """Before it is ready, or after: the job has an outcome all the same."""
    pool = make_pool(1)
    future = pool.submit(deeds.pid)
    while not (pids := pool.worker_pids()):
        assert not pool.stats().restarts
    os.kill(pids[0], signal.SIGKILL)
    if future.exception(WAIT) is not None:
        assert crash(future).pid == pids[0]
    assert future.attempts == 1


@on_each_parent
def test_killed_in_the_middle_of_writing_a_result_of_200_mb(warm_pool: Any, stage: Stage) -> None:
    before = descriptors()
    sibling, actor = stage.start(warm_pool)
    error = crash(warm_pool.submit(deeds.die_writing, 200 << 20))
    assert error.signal_name == "SIGXFSZ"
    assert warm_pool.submit(jobs.same, 1).result(WAIT) == 1
    actor.tell("return")
    assert sibling.result(WAIT) == "actor"
    assert descriptors()["/memfd:steadypool (deleted)"] == before["/memfd:steadypool (deleted)"]


def test_killed_while_a_result_is_pickled(warm_pool: Any, stage: Stage) -> None:
    future = warm_pool.submit(deeds.make_portioned, stage.address)
    stage.enter()
    [pid] = [row.pid for row in warm_pool.stats().worker_rows if row.job_id == future.job_id]
    os.kill(pid, signal.SIGKILL)
    assert crash(future).pid == pid


@on_each_parent
def test_thirty_in_a_row(warm_pool: Any) -> None:
    count = 30
    futures = [warm_pool.submit(*call) for _ in range(count) for call in ((deeds.kill,), (jobs.same, 1))]
    for future in futures[::2]:
        assert crash(future).signal_name == "SIGKILL"
    assert [future.result(WAIT) for future in futures[1::2]] == [1] * count
    assert {future.attempts for future in futures} == {1}
    stats = warm_pool.stats()
    assert stats.crashed == count
    assert stats.restarts == count


@on_each_parent
def test_jobs_behind_it_go_elsewhere_unmarked(make_pool: MakePool, stage: Stage, tmp_path: Path) -> None:
    pool = make_pool(1)
    [(first, actor)] = stage.occupy(pool)
    log = tmp_path / "log"
    behind = [pool.submit(jobs.note, str(log), str(number)) for number in range(5)]
    pid, _ = actor.ask("worker")
    os.kill(pid, signal.SIGKILL)
    crash(first)
    assert [future.result(WAIT) for future in behind] == list("01234")
    assert jobs.lines(log) == list("01234")
    assert {future.attempts for future in behind} == {1}


@on_each_parent
def test_retry_on_a_crash(warm_pool: Any, tmp_path: Path) -> None:
    watch = Watch(warm_pool)
    dies_twice = task(deeds.kill_until, retry=Retry(3, on=WorkerCrashed, backoff=0.0))
    future = warm_pool.submit(dies_twice, str(tmp_path / "log"), 3)
    assert future.result(WAIT) == 3
    assert future.attempts == 3
    stats = warm_pool.stats()
    assert (stats.crashed, stats.retries, stats.restarts) == (0, 2, 2)
    retrying = watch.wait_for(events.JobRetryScheduled, 2)
    assert all(isinstance(event.error, WorkerCrashed) for event in retrying)


def test_retries_on_a_crash_have_an_end(warm_pool: Any, tmp_path: Path) -> None:
    future = warm_pool.submit(
        task(deeds.kill_until, retry=Retry(2, on=WorkerCrashed, backoff=0.0)), str(tmp_path / "log"), 9
    )
    crash(future)
    assert future.attempts == 2
    assert jobs.count_lines(str(tmp_path / "log")) == 2


@pytest.mark.parametrize("on", [Exception, OSError], ids=["Exception", "OSError"])
def test_no_retry_on_a_crash_unless_it_is_named(warm_pool: Any, tmp_path: Path, on: Any) -> None:
    future = warm_pool.submit(task(deeds.kill_until, retry=Retry(3, on=on, backoff=0.0)), str(tmp_path / "log"), 3)
    crash(future)
    assert future.attempts == 1
    assert jobs.count_lines(str(tmp_path / "log")) == 1


def test_events_and_rows_tell_the_story(warm_pool: Any) -> None:
    watch = Watch(warm_pool)
    future = warm_pool.submit(deeds.segfault)
    error = crash(future)
    watch.wait_for(events.WorkerStarted)
    assert watch.story(future.job_id) == ["JobSubmitted", "JobStarted", "JobCrashed"]
    [crashed] = watch.of(events.JobCrashed)
    assert crashed.error is error
    [ended] = watch.of(events.WorkerEnded)
    assert ended.reason == "died"
    rows = warm_pool.stats().worker_rows
    assert sorted(row.pid for row in rows) == sorted(warm_pool.worker_pids())
    assert ended.worker not in {row.name for row in rows}


def test_a_crash_that_is_drained_is_reported(make_pool: MakePool) -> None:
    pool = make_pool(2)
    pool.submit(deeds.segfault)
    report = pool.drain(WAIT)
    assert report.ok
    assert report.stats.crashed == 1
    [group] = report.errors
    assert "SIGSEGV" in group.message


def test_a_dead_worker_is_no_zombie(warm_pool: Any) -> None:
    pids = warm_pool.worker_pids()
    for _ in range(2):
        crash(warm_pool.submit(deeds.kill))
    warm_pool.submit(jobs.nothing).result(WAIT)
    assert wait_gone(*pids) == []
    before = descriptors()
    for _ in range(10):
        crash(warm_pool.submit(deeds.kill))
    for _ in range(2):
        warm_pool.submit(jobs.nothing).result(WAIT)
    assert sum((descriptors() - before).values()) <= sum(before.values()), "descriptors grow with crashes"
