"""What may happen beside a chunk, at every moment of its life: nothing is lost, doubled, or left behind."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

import psutil
import pytest

from steadypool import JobFuture, PoolClosed, WorkerCrashed
from steadypool.model import events
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.processes import deeds
from tests.pools.processes.methods import METHODS
from tests.pools.processes.remains import wait_gone
from tests.pools.processes.warming import as_if_jobs_took_no_time, warm
from tests.races.arena import switching_every

MakePool = Callable[..., Any]


def quick(pool: Any) -> Any:
    """The pool, once it knows that items are quick: many travel together from now on."""
    assert list(pool.map(jobs.same, range(1000), chunksize=500)) == list(range(1000))
    return pool


def hold_up(pool: Any) -> threading.Event:
    """Have the pool's supervisor do nothing until the event is set."""
    gate = threading.Event()
    with pool._core.lock:
        pool._core.timers.add(monotonic(), gate.wait, WAIT)
    pool._core.bell.ring()
    return gate


def wait_for_rest(pool: Any) -> Any:
    """The pool's books, once nothing waits or runs; every place in its queue must be free then."""
    until = monotonic() + WAIT
    while (stats := pool.stats()).waiting or stats.running or stats.retrying:
        assert monotonic() < until, stats
        pool.submit(jobs.nothing).exception(WAIT)
    assert len(pool._core.queue.room) == pool._core.queue.made(), "of those that were needed so far"
    assert stats.balanced
    return stats


def nest(depth: int) -> tuple[Any, ...]:
    """A tuple in a tuple in a tuple."""
    nested: tuple[Any, ...] = ()
    for _ in range(depth):
        nested = (nested,)
    return nested


def share(depth: int) -> tuple[Any, ...]:
    """A tuple that holds another twenty times, which does the same: small to pickle, endless to walk through."""
    shared: tuple[Any, ...] = (1,)
    for _ in range(depth):
        shared = (shared,) * 20
    return shared


def test_a_result_that_is_nested_too_deep_fails_alone(make_pool: MakePool) -> None:
    pool = make_pool(1)
    results = pool.map(nest, [0, 1, 100_000, 2], chunksize=4)
    assert [next(results), next(results)] == [(), ((),)]
    with pytest.raises(RecursionError):
        next(results)
    stats = wait_for_rest(pool)
    assert (stats.failed, stats.crashed, stats.restarts) == (1, 0, 0)


def test_a_result_that_shares_its_parts_is_not_walked_through(make_pool: MakePool) -> None:
    pool = make_pool(1)
    assert [len(result) for result in pool.map(share, [40, 40], chunksize=2)] == [20, 20]


def test_results_that_had_left_a_dead_worker_are_kept(make_pool: MakePool) -> None:
    pool = quick(make_pool(1))
    (pid,) = pool.worker_pids()
    gate = hold_up(pool)
    results = pool.map(deeds.long_text_or_die, range(160), chunksize=160)
    wait_gone(pid)
    gate.set()
    # More than one read's worth, in one frame, and nobody has looked before the worker was dead.
    assert [len(next(results)) for _ in range(151)] == [1000] * 150 + [1]
    with pytest.raises(WorkerCrashed):
        next(results)
    stats = wait_for_rest(pool)
    assert (stats.failed, stats.crashed) == (0, 1)


def test_a_worker_whose_packets_were_all_taken_back_gets_new_ones(make_pool: MakePool) -> None:
    pool = quick(make_pool(1))
    if not pool._workers.fleet.packets:
        pytest.skip("what is in a stream cannot be taken back")
    (worker,), (pid,) = pool._workers.workers, pool.worker_pids()
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        sleep(0.001)  # it may be on its way to read
    as_if_jobs_took_no_time(pool)
    try:
        results = pool.map_unordered(len, [bytes(4000) for _ in range(900)], chunksize=10)
        assert worker.socket_full, "its socket is full"
        results.close()
        assert not worker.hand
    finally:
        os.kill(pid, signal.SIGCONT)
    assert pool.submit(abs, -3).result(WAIT) == 3
    assert wait_for_rest(pool).cancelled == 900


def test_a_drain_tells_the_items_that_come_after_the_one_that_runs(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=WAIT)
    results = pool.map(deeds.sleep_until_told, [stage.address] * 8, chunksize=8)
    stage.enter()
    report = pool.drain(0)
    assert report.stats.succeeded + report.stats.returned == 8
    assert (report.stats.interrupted, report.stats.restarts) == (0, 0), "nothing had to be killed"
    causes = []
    with suppress(PoolClosed):
        causes.extend(results)
    assert set(causes) <= {"shutdown"}


def test_a_chunk_on_its_way_to_a_worker_is_cancelled(make_pool: MakePool) -> None:
    pool = quick(make_pool(1))
    workers = pool._workers
    workers.fleet.full = True  # nobody pumps
    results = pool.map(jobs.same, range(100), chunksize=100)
    chunk = workers.core.queue.take()
    results.close()
    (worker,) = workers.workers
    workers.pump._hand_over(worker, [chunk])
    workers.fleet.full = False
    assert wait_for_rest(pool).cancelled == 100


def test_closing_a_map_does_not_search_for_what_has_come_back(make_pool: MakePool) -> None:
    pool = quick(make_pool(1))
    results = pool.map(jobs.same, range(500), chunksize=50)
    wait_for_rest(pool)
    results.close()
    assert wait_for_rest(pool).cancelled == 0


def test_a_cancel_while_a_dead_worker_is_being_replaced(make_pool: MakePool, stage: Stage) -> None:
    pool = warm(make_pool(1))
    future, _ = stage.start(pool)
    waiting: JobFuture[None] = pool.submit(jobs.nothing)
    dead, gate = threading.Event(), threading.Event()

    def look(event: events.Event) -> None:
        if isinstance(event, events.JobCrashed):
            dead.set()
            gate.wait(WAIT)

    pool.subscribe(look)
    os.kill(pool.worker_pids()[0], signal.SIGKILL)
    assert dead.wait(WAIT)
    # It looks for the job with the pool's lock held, and offers what waits to workers: not to the dead one for ever.
    future.cancel()
    gate.set()
    with pytest.raises(WorkerCrashed):
        future.result(WAIT)
    waiting.result(WAIT)


class InterruptsOnce:
    """A sink that is interrupted, as by Ctrl-C, while the submitting thread hands a job to a worker."""

    def __init__(self) -> None:
        self._is_due = True

    def __call__(self, event: events.Event) -> None:
        """Listen."""

    def carry(self, event: events.JobEvent) -> None:
        """Be interrupted once; let nothing travel."""
        if self._is_due:
            self._is_due = False
            raise KeyboardInterrupt


def test_a_submit_is_interrupted_while_it_hands_out(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    pool.subscribe(InterruptsOnce())
    with pytest.raises(KeyboardInterrupt):
        pool.submit(jobs.nothing)
    # The supervisor hands out what the interrupted thread did not.
    assert wait_for_rest(pool).succeeded >= 2


class Mischief:
    """Threads that kill, resize and look, until the block ends."""

    def __init__(self, pool: Any, seed: int) -> None:
        self._pool = pool
        self._chance = random.Random(seed)
        self._over = threading.Event()
        self._failures: list[BaseException] = []
        deeds = [deed for deed in (self._kill, self._resize, self._look) if self._chance.random() < 0.7]
        self._threads = [threading.Thread(target=self._repeat, args=(deed,)) for deed in deeds]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(WAIT)
            assert not thread.is_alive()
        assert not self._failures

    def _repeat(self, deed: Callable[[], object]) -> None:
        try:
            while not self._over.wait(self._chance.random() * 0.02):
                deed()
        except BaseException as error:
            self._failures.append(error)

    def _kill(self) -> None:
        # One that is ready: five in a row that die before they are would break the pool.
        pids = [row.pid for row in self._pool.stats().worker_rows if row.pid and row.jobs_done]
        if pids:
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(pids), signal.SIGKILL)

    def _resize(self) -> None:
        self._pool.resize(self._chance.choice([1, 2, 3]))

    def _look(self) -> None:
        stats = self._pool.stats()
        assert stats.balanced, stats
        assert stats.waiting >= 0, stats
        self._pool.dump()


@pytest.mark.parametrize("method", METHODS[:1])
@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_each_item_has_one_result(make_pool: MakePool, seed: int) -> None:
    pool, chance = make_pool(2, queue_size=100), random.Random(seed)
    with Mischief(pool, seed):
        for _ in range(10):
            submit, size = chance.choice([pool.map, pool.map_unordered]), chance.choice([10, 300])
            stop_at = chance.choice([None, size // 2])
            results = submit(deeds.sleep_and_return, range(size), chunksize=chance.choice([2, 7, 50]))
            seen: list[int] = []
            with suppress(WorkerCrashed):
                for result in results:
                    seen.append(result)
                    if len(seen) == stop_at:
                        break
                else:
                    assert len(seen) == size
            results.close()
            assert len(set(seen)) == len(seen)
            assert submit == pool.map_unordered or seen == sorted(seen)
    wait_for_rest(pool)
    assert pool.drain(WAIT).stats.balanced


def test_somebody_looks_all_the_time(make_pool: MakePool) -> None:
    pool, over = make_pool(2), threading.Event()

    def look() -> None:
        while not over.is_set():
            stats = pool.stats()
            assert stats.balanced, stats

    # What looks makes jobs of a chunk's items, and whoever takes the results forgets each once it has its result.
    thread = threading.Thread(target=look)
    with switching_every(1e-6):
        thread.start()
        try:
            for _ in range(4):
                assert list(pool.map(jobs.same, range(200), timeout=WAIT, chunksize=2)) == list(range(200))
        finally:
            over.set()
            thread.join(WAIT)
    wait_for_rest(pool)
