"""Two pools share limits, while threads submit, cancel and look: no limit is exceeded, and no job is left behind."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from steadypool import Limit, Outcome, Retry, Task, ThreadPool, task
from steadypool.primitives.gates import GATES
from tests.patience import WAIT
from tests.races.arena import duel
from tests.races.books import check_final, check_sample

ROUNDS = 200
numbers = count()


class Watched:
    """Tasks that note how many run at one time, and the most there were."""

    def __init__(self) -> None:
        self.name = f"race-{next(numbers)}"
        self.running: Counter[object] = Counter()
        self.exceeded: list[tuple[object, int]] = []
        self._lock = threading.Lock()
        both = [Limit(self.name, running=2), Limit(f"{self.name}-key", running=1, by="key")]
        self.in_all = task(self.run, limit=both)
        self.failing = task(self.fail, limit=both, retry=Retry(2, backoff=0.0))
        self.choosy = task(self.run, limit=[Limit(self.name, running=2), self._by_key("replace")])
        self.discarding = task(self.run, limit=[Limit(self.name, running=2), self._by_key("discard")])

    def _by_key(self, over: Any) -> Limit:
        return Limit(f"{self.name}-key", running=1, by="key", over=over)

    def run(self, key: int) -> int:
        """One job."""
        with self._lock:
            for what, most in ((key, 1), ("all", 2)):
                self.running[what] += 1
                if self.running[what] > most:
                    self.exceeded.append((what, self.running[what]))
        os.sched_yield()
        with self._lock:
            self.running[key] -= 1
            self.running["all"] -= 1
        return key

    def fail(self, key: int) -> None:
        """One that fails once it has run."""
        self.run(key)
        raise OSError(key)

    def check(self) -> None:
        """No limit was exceeded, and nothing is known of the gates any more."""
        assert self.exceeded == []
        assert [gate for gate in GATES._known if gate.name.startswith(self.name)] == []


@pytest.fixture
def pools() -> Iterator[tuple[ThreadPool, ThreadPool]]:
    """Two pools, with room for all."""
    with ThreadPool(3, queue_size=None) as one, ThreadPool(2, queue_size=None) as other:
        yield one, other


def test_submits_of_two_pools(switching: float | None, pools: tuple[ThreadPool, ThreadPool]) -> None:
    watched = Watched()
    kinds: tuple[Task[[int], Any], ...] = (watched.in_all, watched.failing, watched.choosy, watched.discarding)

    def submitting(pool: ThreadPool) -> Callable[[int], list[Any]]:
        return lambda number: [pool.submit(kinds[(number + at) % 4], at % 3) for at in range(12)]

    futures: dict[int, list[Any]] = {0: [], 1: []}

    def check(number: int, came: list[Any]) -> None:
        for at, ours in enumerate(came):
            futures[at] += ours
        for pool in pools:
            check_sample(pool.stats())

    duel(ROUNDS, lambda number: number, tuple(submitting(pool) for pool in pools), check)
    for at, pool in enumerate(pools):
        pool.drain(WAIT)
        check_final(pool.stats(), futures[at])
        assert {future.outcome for future in futures[at]} <= {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED}
    watched.check()


def test_a_cancel_against_the_place_that_is_freed(
    switching: float | None, pools: tuple[ThreadPool, ThreadPool]
) -> None:
    watched = Watched()
    one, other = pools

    def prepare(number: int) -> list[Any]:
        return [pool.submit(watched.in_all, 0) for pool in (one, other, one, other)]

    def check(futures: list[Any], came: list[Any]) -> None:
        for future in futures:
            future.exception(WAIT) if not future.cancelled() else None
        assert {future.outcome for future in futures} <= {Outcome.SUCCEEDED, Outcome.CANCELLED}

    duel(
        ROUNDS,
        prepare,
        (lambda futures: [future.cancel() for future in futures], lambda _: one.submit(watched.in_all, 1).result(WAIT)),
        check,
    )
    for pool in pools:
        pool.drain(WAIT)
    watched.check()


def test_a_drain_against_the_place_that_is_freed(switching: float | None) -> None:
    watched = Watched()

    def prepare(number: int) -> tuple[ThreadPool, ThreadPool, list[Any]]:
        one, other = ThreadPool(2), ThreadPool(2)
        return one, other, [pool.submit(watched.in_all, at % 2) for at in range(6) for pool in (one, other)]

    def check(state: tuple[ThreadPool, ThreadPool, list[Any]], came: list[Any]) -> None:
        assert all(future.done() for future in state[2])
        assert all(report.stats.balanced for report in came)

    duel(20, prepare, (lambda s: s[0].drain(0.001), lambda s: s[1].drain(WAIT)), check)
    watched.check()


def test_a_pool_that_shares_a_limit_is_freed() -> None:
    watched = Watched()
    with ThreadPool(1) as other:
        pool = ThreadPool(1)
        pool.submit(watched.in_all, 1).result(WAIT)
        core = pool._core
        del pool
        assert core.closed.wait(WAIT)
        gc.collect()
        assert other.submit(watched.in_all, 1).result(WAIT) == 1
    watched.check()


def test_finalizers_that_submit_in_the_middle_of_it(pools: tuple[ThreadPool, ThreadPool]) -> None:
    """The garbage collector runs them between any two lines, of the pools' own, too."""
    watched = Watched()
    futures: list[Any] = []

    class Last:
        def __init__(self, number: int) -> None:
            self.itself, self.number = self, number

        def __del__(self) -> None:
            fn = task(watched.run, limit=watched.in_all.task_options.limit, priority=self.number % 3)
            futures.append(pools[self.number % 2].submit(fn, self.number % 3))

    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        for number in range(300):
            Last(number)
            futures.append(pools[number % 2].submit(watched.in_all, number % 3))
    finally:
        gc.set_threshold(*before)
        gc.collect()
    for pool in pools:
        pool.drain(WAIT)
    assert len(futures) == 600 and {future.outcome for future in futures} == {Outcome.SUCCEEDED}
    watched.check()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_holds_nothing_of_its_parent_s() -> None:
    limited = task(os.getpid, limit=Limit(f"race-{next(numbers)}", running=1))
    waits, goes = threading.Event(), threading.Event()
    holder = task(lambda: (waits.set(), goes.wait(WAIT)), limit=limited.task_options.limit)
    with ThreadPool(2) as pool:
        held = pool.submit(holder)
        assert waits.wait(WAIT)
        child = os.fork()
        if child == 0:
            try:
                with ThreadPool(1) as own:
                    os._exit(own.submit(limited).result(WAIT) != os.getpid())
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        goes.set()
        held.result(WAIT)
        assert pool.submit(limited).result(WAIT) == os.getpid()
