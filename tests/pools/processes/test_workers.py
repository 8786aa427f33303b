"""Workers come and go: started when needed, recycled, resized, listed."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from steadypool import ProcessPool, WorkerCrashed
from steadypool.model import events
from tests.forks import run_forked
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch
from tests.pools.processes import deeds, program
from tests.pools.processes.methods import on_every_method
from tests.pools.processes.remains import wait_gone
from tests.pools.processes.warming import known_pids, warm

MakePool = Callable[..., Any]


def test_no_process_before_the_first_job(make_pool: MakePool) -> None:
    pool = make_pool(4)
    assert pool.worker_pids() == []
    assert pool.stats().workers == 0


def test_no_more_workers_than_there_is_work_for(make_pool: MakePool) -> None:
    pool = make_pool(8)
    for number in range(20):
        assert pool.submit(jobs.same, number).result(WAIT) == number
    assert len(pool.worker_pids()) == 1


def test_as_many_workers_as_jobs_at_a_time_and_no_more(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(3)
    busy = stage.occupy(pool, 3)
    pool.submit(jobs.nothing)
    assert len(known_pids(pool, 3)) == 3
    assert len({actor.ask("worker")[0] for _, actor in busy}) == 3


@on_every_method
def test_max_tasks_per_child(make_pool: MakePool) -> None:
    pool = make_pool(1, max_tasks_per_child=3)
    watch = Watch(pool)
    pids = [pool.submit(deeds.pid).result(WAIT) for _ in range(9)]
    assert [len(set(pids[at : at + 3])) for at in (0, 3, 6)] == [1, 1, 1]
    assert len(set(pids)) == 3
    watch.wait_for(events.WorkerEnded, 3)
    assert {event.reason for event in watch.of(events.WorkerEnded)} == {"retired"}
    assert pool.stats().restarts == 0
    assert wait_gone(*pids) == []


def test_max_tasks_per_child_with_all_jobs_at_once(make_pool: MakePool) -> None:
    pool = make_pool(2, max_tasks_per_child=7)
    pids = [future.result(WAIT) for future in [pool.submit(deeds.pid) for _ in range(60)]]
    assert all(pids.count(pid) <= 7 for pid in pids)
    stats = pool.stats()
    assert (stats.succeeded, stats.restarts) == (60, 0)


def test_max_tasks_per_child_counts_items_of_chunks(make_pool: MakePool) -> None:
    """A worker ends between chunks, not in one."""
    pool = make_pool(2, max_tasks_per_child=5)
    assert list(pool.map(jobs.same, range(60), chunksize=4)) == list(range(60))
    assert pool.stats().crashed == 0


@on_every_method
def test_max_memory_per_child(make_pool: MakePool) -> None:
    own = psutil.Process().memory_info().rss >> 20  # a forked worker begins with as much
    pool = make_pool(1, max_memory_per_child=(own + 300) << 20)
    first = pool.submit(deeds.fill_memory, 1).result(WAIT)
    assert pool.submit(deeds.fill_memory, own + 400).result(WAIT) == first
    second = pool.submit(deeds.pid).result(WAIT)
    assert second != first
    assert pool.submit(deeds.pid).result(WAIT) == second
    assert pool.stats().restarts == 0
    assert wait_gone(first) == []


def test_memory_is_looked_at_between_jobs_only(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1, max_memory_per_child=1)
    pids = [pool.submit(deeds.pid).result(WAIT) for _ in range(3)]
    assert len(set(pids)) == 3
    assert pool.stats().succeeded == 3


@on_every_method
def test_resize(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1)
    watch = Watch(pool)
    [(first, one)] = stage.occupy(pool)
    others = [pool.submit(jobs.act, stage.address, f"other-{number}") for number in range(2)]
    pool.resize(3)
    actors = stage.enter_many(2)
    assert len(known_pids(pool, 3)) == 3
    pool.resize(1)
    for actor in (one, *actors.values()):
        actor.tell("return")
    assert [future.result(WAIT) for future in (first, *others)] == ["busy-0", "other-0", "other-1"]
    watch.wait_for(events.WorkerEnded, 2)
    assert len(pool.worker_pids()) == 1
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    assert pool.stats().restarts == 0


def test_resize_of_idle_workers(make_pool: MakePool) -> None:
    pool = warm(make_pool(3))
    watch = Watch(pool)
    pids = pool.worker_pids()
    pool.resize(1)
    watch.wait_for(events.WorkerEnded, 2)
    [left] = pool.worker_pids()
    assert wait_gone(*(pid for pid in pids if pid != left)) == []


@on_every_method
def test_mp_context(method: str) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPool(1, context) as pool:
        assert pool.submit(deeds.parent_pid).result(WAIT) != 0
        assert type(next(iter(pool._processes.values()))) is context.Process  # type: ignore[attr-defined]


def test_the_default_is_safe_with_threads(make_pool: MakePool) -> None:
    with ProcessPool(1) as pool:
        pool.submit(jobs.nothing).result(WAIT)
        assert type(next(iter(pool._processes.values()))).__name__ == "ForkServerProcess"


@pytest.mark.parametrize("wrong", ["spawn", 3, multiprocessing, object()], ids=["name", "number", "module", "object"])
def test_a_wrong_mp_context_is_refused_at_once(wrong: Any) -> None:
    if wrong is multiprocessing:
        ProcessPool(1, wrong).drain()  # it offers what a context does
        return
    with pytest.raises(TypeError, match="get_context"):
        ProcessPool(1, wrong)


@pytest.mark.parametrize("name", ["max_tasks_per_child", "max_memory_per_child"])
@pytest.mark.parametrize("wrong", [0, -1, 1.5, "3", True])
def test_wrong_limits_are_refused_at_once(name: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        ProcessPool(1, **{name: wrong})


def test_rows_of_the_stats(make_pool: MakePool, stage: Stage) -> None:
    pool = warm(make_pool(2))
    for _ in range(3):
        pool.submit(jobs.nothing).result(WAIT)
    future, actor = stage.start(pool)
    pid, _ = actor.ask("worker")
    rows = {row.pid: row for row in pool.stats().worker_rows}
    assert sorted(rows) == sorted(pool.worker_pids())
    busy = rows.pop(pid)
    assert busy.job_id == future.job_id
    assert busy.task is not None
    assert busy.task.endswith("act")
    assert busy.running_for > 0
    [idle] = rows.values()
    assert (idle.job_id, idle.task, idle.running_for) == (None, None, 0.0)
    assert busy.jobs_done + idle.jobs_done == 5
    assert len({row.name for row in (busy, idle)}) == 2


def test_rows_count_the_workers_that_died_in_their_place(make_pool: MakePool) -> None:
    pool = warm(make_pool(2))
    assert [row.restarts for row in pool.stats().worker_rows] == [0, 0]
    for _ in range(2):
        with pytest.raises(WorkerCrashed):
            pool.submit(deeds.segfault).result(WAIT)
        warm(pool)
    rows = pool.stats().worker_rows
    assert sum(row.restarts for row in rows) == pool.stats().restarts == 2


def test_the_worker_bears_the_name_of_its_row(make_pool: MakePool) -> None:
    pool = make_pool(1, name="painters")
    [name] = {pool.submit(deeds.process_name).result(WAIT)}
    [row] = pool.stats().worker_rows
    assert row.name == name
    assert "painters" in name


@on_every_method
def test_progress_reaches_the_parent(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1)
    watch = Watch(pool)
    _, actor = stage.start(pool)
    assert actor.ask("progress") is None
    [event] = watch.wait_for(events.JobProgressed)
    assert (event.done, event.total) == (3, 10)


def test_what_jobs_print_goes_where_the_parent_prints() -> None:
    done = run_forked(program.NAME, "printing", cwd=program.ROOT, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"out {number}" for number in range(3)] * 3
    assert done.stderr.splitlines() == [f"err {number}" for number in range(3)] * 3


def test_what_jobs_print_is_there_when_the_worker_rests(make_pool: MakePool, stage: Stage) -> None:
    """Not only when the worker ends. A pipe tells when it comes."""
    path = Path(stage.address).with_name("pipe")
    os.mkfifo(path)
    pool = make_pool(1, initializer=deeds.print_to, initargs=(str(path),))
    future = pool.submit(deeds.say, "hello")
    with path.open() as pipe:
        assert pipe.readline() == "hello\n"
        assert future.result(WAIT) is None
        pool.drain(WAIT)


def test_initialized_once_in_each_worker(make_pool: MakePool, stage: Stage, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    pool = make_pool(2, initializer=deeds.note_pid, initargs=(log,))
    warm(pool)
    for _ in range(10):
        pool.submit(jobs.nothing).result(WAIT)
    assert sorted(jobs.lines(log)) == sorted(str(pid) for pid in pool.worker_pids())


def test_contexts_of_jobs_are_apart(make_pool: MakePool) -> None:
    """A context variable that one job sets is not there for the next."""
    pool = make_pool(1)
    assert pool.submit(deeds.set_variable, 5).result(WAIT) == (0, 5)
    assert pool.submit(deeds.set_variable, 6).result(WAIT) == (0, 6)


def test_results_from_many_submitting_threads(make_pool: MakePool) -> None:
    pool = make_pool(2)
    wrong: list[Any] = []

    def submit(base: int) -> None:
        futures = [(base + number, pool.submit(jobs.same, base + number)) for number in range(200)]
        wrong.extend(expected for expected, future in futures if future.result(WAIT) != expected)

    threads = [threading.Thread(target=submit, args=(1000 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
