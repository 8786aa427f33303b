"""Nobody waits behind a long job while another worker is free; items of a chunk have their own outcomes."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
import pytest

from steadypool import JobTimeout, Outcome, ThreadPool, WorkerCrashed, task
from steadypool.model import events
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch
from tests.pools.processes import deeds
from tests.pools.processes.methods import on_each_parent
from tests.pools.processes.test_bundles import send_together
from tests.pools.processes.test_chunk_races import wait_for_rest
from tests.pools.processes.warming import as_if_jobs_took_no_time, warm
from tests.races.arena import switching_every

MakePool = Callable[..., Any]


@on_each_parent
@pytest.mark.parametrize("used_to", ["nothing", "short jobs", "jobs of no length"])
def test_a_long_job_holds_nobody_up(make_pool: MakePool, stage: Stage, used_to: str) -> None:
    """One long job among two hundred of a millisecond: they all end while it runs."""
    pool = warm(make_pool(2))
    if used_to != "nothing":
        seconds = 0.001 if used_to == "short jobs" else 0.0
        assert len([future.result(WAIT) for future in [pool.submit(jobs.sleep, seconds) for _ in range(100)]]) == 100
    short = [pool.submit(jobs.sleep, 0.001) for _ in range(100)]
    long = pool.submit(jobs.act, stage.address)
    short += [pool.submit(jobs.sleep, 0.001) for _ in range(100)]
    actor = stage.enter()
    assert [future.result(WAIT) for future in short] == [0.001] * 200
    assert not long.done()
    assert {future.attempts for future in short} == {1}
    actor.tell("return")
    assert long.result(WAIT) == "actor"


def test_what_lies_behind_a_long_job_is_fetched_when_a_worker_gets_free(make_pool: MakePool, stage: Stage) -> None:
    """Both workers are busy when it is sent, and the other one gets free first."""
    pool = warm(make_pool(2))
    [(one, first), (other, second)] = stage.occupy(pool, 2)
    behind = [pool.submit(jobs.same, number) for number in range(20)]
    second.tell("return")
    assert other.result(WAIT) == "busy-1"
    assert [future.result(WAIT) for future in behind] == list(range(20))
    assert not one.done()
    first.tell("return")
    assert one.result(WAIT) == "busy-0"


def test_no_job_goes_behind_a_long_one_as_another_worker_becomes_idle(make_pool: MakePool, stage: Stage) -> None:
    """A worker becomes idle between the choice of the other one and the moment when that has the job."""
    pool = warm(make_pool(2))
    chance = random.Random(1)
    with switching_every(1e-6):
        for _ in range(60):
            wait([pool.submit(jobs.nothing) for _ in range(70)])  # so that jobs are taken to be short
            began = monotonic()
            pool.submit(jobs.nothing).result(WAIT)
            there_and_back = monotonic() - began
            long = pool.submit(jobs.act, stage.address)
            short = pool.submit(jobs.nothing)
            submit_at = monotonic() + chance.uniform(0.2, 1.1) * there_and_back
            while monotonic() < submit_at:
                pass
            assert pool.submit(jobs.nothing).result(WAIT) is None
            assert short.result(WAIT) is None
            stage.enter().tell("return")
            assert long.result(WAIT) == "actor"


def test_what_lies_behind_a_long_job_is_not_overtaken_for_ever(make_pool: MakePool, stage: Stage) -> None:
    """The other worker is never idle, and the queue never empty."""
    pool = warm(make_pool(2, queue_size=50))
    if not pool._workers.fleet.packets:
        pytest.skip("nothing lies behind a job where nothing can be taken back")
    long, *behind = send_together(pool, (jobs.act, stage.address), *[(jobs.same, number) for number in range(20)])
    actor = stage.enter()
    until = monotonic() + WAIT
    while not all(future.done() for future in behind):
        assert monotonic() < until
        pool.submit(jobs.sleep, 0.001)
    assert not long.done()
    actor.tell("return")
    assert long.result(WAIT) == "actor"


def test_a_job_behind_another_can_be_cancelled(make_pool: MakePool, stage: Stage, tmp_path: Path) -> None:
    pool = make_pool(1)
    [(first, actor)] = stage.occupy(pool)
    log = str(tmp_path / "log")
    behind = [pool.submit(jobs.note, log, str(number)) for number in range(6)]
    assert [future.cancel() for future in behind[::2]] == [True] * 3
    assert {future.outcome for future in behind[::2]} == {Outcome.CANCELLED}
    actor.tell("return")
    assert [future.result(WAIT) for future in behind[1::2]] == list("135")
    assert first.result(WAIT) == "busy-0"
    assert jobs.lines(log) == list("135")


def test_what_comes_first_since_another_was_taken_back_has_its_limit(make_pool: MakePool) -> None:
    pool = warm(make_pool(1, cancel_grace=0.1))
    fleet = pool._workers.fleet
    if not fleet.packets:
        pytest.skip("what is in a stream cannot be taken back")
    (worker,), (pid,) = fleet.workers, pool.worker_pids()
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        sleep(0.001)
    as_if_jobs_took_no_time(pool)
    first = pool.submit(jobs.same, 1)
    second = pool.submit(task(deeds.count_for_ever, timeout=0.2))
    assert pool._workers.stealer.take_back(worker, most=1) == 1
    os.kill(pid, signal.SIGCONT)
    assert isinstance(second.exception(WAIT), JobTimeout)
    assert first.result(WAIT) == 1


def test_jobs_are_taken_back_by_many_at_once(make_pool: MakePool, tmp_path: Path) -> None:
    """Threads cancel what lies in the workers' sockets while these read: each job runs once or is cancelled."""
    pool = warm(make_pool(2, queue_size=3000))
    log = str(tmp_path / "log")
    with switching_every(1e-5):
        futures = [pool.submit(jobs.note, log, str(number)) for number in range(3000)]
        with ThreadPool(4) as threads:
            cancels = list(threads.map(lambda future: future.cancel(), futures[::3]))
        cancelled = {future for future, was in zip(futures[::3], cancels, strict=True) if was}
    done = wait(futures, WAIT)
    assert not done.not_done
    assert {future for future in futures if future.cancelled()} == cancelled
    ran = [int(line) for line in jobs.lines(log)]
    assert sorted(ran) == [number for number, future in enumerate(futures) if future not in cancelled]
    wait_for_rest(pool)


# -- chunks


def outcomes(watch: Watch, count: int) -> Counter[Outcome]:
    """How that many jobs have ended, once they have."""
    return Counter(event.outcome for event in watch.wait_for(events.JobEnded, count))


@on_each_parent
def test_a_bad_item_fails_alone(make_pool: MakePool) -> None:
    pool = make_pool(2)
    watch = Watch(pool)
    results = pool.map(fail_at_9, range(30), chunksize=10)
    assert outcomes(watch, 30) == {Outcome.SUCCEEDED: 29, Outcome.FAILED: 1}
    assert [next(results) for _ in range(9)] == list(range(9))
    with pytest.raises(ValueError, match="nine"):
        next(results)


def fail_at_9(number: int) -> int:
    """Raise for one item."""
    if number == 9:
        raise ValueError("nine")
    return number


@pytest.mark.parametrize("chunksize", [1, 3, 10, 1000])
def test_chunks_of_every_size(make_pool: MakePool, chunksize: int) -> None:
    pool = make_pool(2)
    doubled = [2 * number for number in range(300)]
    assert list(pool.map(jobs.add, range(300), range(300), chunksize=chunksize)) == doubled
    assert sorted(pool.map_unordered(jobs.double, range(300), chunksize=chunksize)) == doubled
    assert pool.stats().accepted == 600


def test_big_items_in_chunks(make_pool: MakePool) -> None:
    pool = make_pool(2)
    items = [bytes([number]) * 50_000 for number in range(20)]
    assert list(pool.map(jobs.same, items, chunksize=5)) == items
    assert list(pool.map(bytes, [200_000] * 10, chunksize=5)) == [bytes(200_000)] * 10


def test_an_item_that_cannot_be_pickled_fails_alone(make_pool: MakePool) -> None:
    pool = make_pool(2)
    watch = Watch(pool)
    items = [*range(5), deeds.make_lock(), *range(5)]
    results = pool.map(jobs.same, items, chunksize=4)
    assert outcomes(watch, 11) == {Outcome.SUCCEEDED: 10, Outcome.FAILED: 1}
    results.close()


@on_each_parent
def test_an_item_that_kills_its_worker(make_pool: MakePool, tmp_path: Path) -> None:
    """It alone is crashed, whether the results before it had left or not; the others run, each once."""
    pool = make_pool(2)
    watch = Watch(pool)
    log = str(tmp_path / "log")
    results = pool.map(deeds.note_and_die_at, [log] * 40, range(40), [15] * 40, chunksize=10)
    ended = outcomes(watch, 40)
    assert ended == {Outcome.SUCCEEDED: 39, Outcome.CRASHED: 1}
    assert sorted(int(line) for line in jobs.lines(log)) == list(range(40)), "each once, crashed or not"
    assert all(isinstance(event.error, WorkerCrashed) for event in watch.of(events.JobCrashed))
    results.close()


def test_an_item_that_is_killed_for_its_time_limit(make_pool: MakePool, tmp_path: Path) -> None:
    """It alone, also where C code holds the GIL; and no other is run twice for it."""
    pool = warm(make_pool(2, cancel_grace=0.1))
    watch = Watch(pool)
    log = str(tmp_path / "log")
    hang = task(deeds.note_and_hang_at, timeout=1.0)  # which the others keep on a busy machine, too
    results = pool.map(hang, [log] * 40, range(40), [15] * 40, chunksize=10)
    ended = outcomes(watch, 40)
    assert ended == {Outcome.SUCCEEDED: 39, Outcome.TIMED_OUT: 1}
    assert sorted(int(line) for line in jobs.lines(log)) == list(range(40)), "each once"
    results.close()


@on_each_parent
def test_results_leave_while_a_long_item_runs(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1)
    results = pool.map_unordered(deeds.same_or_act, [1, 2, stage.address, 4], chunksize=4)
    assert [next(results), next(results)] == [1, 2]
    actor = stage.enter()
    actor.tell("return")
    assert [next(results), next(results)] == ["actor", 4]


def test_results_leave_while_a_long_item_holds_the_gil(make_pool: MakePool) -> None:
    pool = make_pool(1)
    results = pool.map_unordered(deeds.same_or_hold_gil, [1, "two", None, 4], chunksize=4)
    assert [next(results), next(results)] == [1, "two"]
    [pid] = pool.worker_pids()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerCrashed):
        list(results)
    stats = pool.drain(WAIT).stats
    assert (stats.crashed, stats.succeeded + stats.cancelled) == (1, 3)


def test_results_leave_though_the_worker_is_killed_later(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1)
    results = pool.map_unordered(deeds.same_or_act, [1, 2, stage.address, 4], chunksize=4)
    assert [next(results), next(results)] == [1, 2]
    stage.enter()
    [pid] = pool.worker_pids()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerCrashed):
        next(results)
    stats = pool.drain(WAIT).stats
    assert (stats.crashed, stats.succeeded + stats.cancelled) == (1, 3)


def test_a_long_chunk_is_no_hostage_of_another(make_pool: MakePool, stage: Stage) -> None:
    """A chunk that lies unread behind a long item is fetched by a worker that is free."""
    pool = warm(make_pool(2))
    items = [stage.address, *range(60)]
    results = pool.map_unordered(deeds.same_or_act, items, chunksize=5)
    actor = stage.enter()
    others = [next(results) for _ in range(56)]  # all but those of the same chunk, which has five items at most
    actor.tell("return")
    rest = list(results)
    assert sorted([*others, *(value for value in rest if value != "actor")]) == list(range(60))
    assert rest.count("actor") == 1
