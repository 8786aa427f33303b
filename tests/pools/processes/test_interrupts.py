"""Ctrl-C in the middle of a submit: the caller gets it, and nobody loses anything."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from steadypool import task
from tests.pools.contract.jobs import lines, note, nothing
from tests.pools.contract.stage import WAIT
from tests.pools.processes.warming import warm

MakePool = Callable[..., Any]
SEED = 20261122
ENOUGH = 30
# One that hits a finalizer is not raised, but reported.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Interrupts:
    """Raises `KeyboardInterrupt` on the main thread, at random, while it is let."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)
        self._armed = False
        self.count = 0

    def _interrupt(self, number: int, frame: object) -> None:
        if self._armed:
            self._armed = False
            self.count += 1
            raise KeyboardInterrupt

    def during(self, call: Callable[[], object], seconds: float) -> None:
        """Call this, with one interrupt within *seconds*, if it takes so long."""
        try:
            self._armed = True
            signal.setitimer(signal.ITIMER_REAL, self._random.uniform(1e-5, seconds))
            call()
            self._armed = False
        except KeyboardInterrupt:
            return
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    @contextmanager
    def installed(self) -> Iterator[None]:
        before = signal.signal(signal.SIGALRM, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGALRM, before)


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    interrupts = Interrupts()
    with interrupts.installed():
        yield interrupts


def wait_idle(pool: Any) -> Any:
    """The books, once they show nothing that waits or runs."""
    give_up = monotonic() + WAIT
    while (stats := pool.stats()).waiting or stats.running:
        assert monotonic() < give_up, stats
    assert stats.balanced
    return stats


def wait_for_room(pool: Any, size: int) -> None:
    """As many jobs can wait as ever, once the supervisor has seen to it."""
    give_up = monotonic() + WAIT
    while len(pool._core.queue.room) != size:
        assert monotonic() < give_up, len(pool._core.queue.room)


@pytest.mark.parametrize("options", [{}, {"priority": 1}, {"timeout": 60}], ids=["plain", "ranked", "limited"])
def test_submits(make_pool: MakePool, tmp_path: Path, interrupts: Interrupts, options: Any) -> None:
    pool = warm(make_pool(2, queue_size=20))
    log = str(tmp_path / "log")
    futures: list[Any] = []
    noted = task(note, **options) if options else note
    names = map(str, count())

    def submit() -> None:
        for _ in range(20):
            futures.append(pool.submit(noted, log, next(names)))

    while interrupts.count < ENOUGH:
        interrupts.during(submit, 0.002)
    for future in futures:
        future.result(WAIT)
    assert_each_ran_once(pool, log)
    assert len(lines(log)) >= len(futures)
    wait_for_room(pool, 20)


@pytest.mark.parametrize("chunksize", [1, 10])
def test_maps(make_pool: MakePool, tmp_path: Path, interrupts: Interrupts, chunksize: int) -> None:
    pool = warm(make_pool(2, queue_size=50))
    log = str(tmp_path / "log")
    names = map(str, count())

    def submit() -> None:
        for _ in pool.map(note, [log] * 60, names, chunksize=chunksize):
            pass

    while interrupts.count < ENOUGH:
        interrupts.during(submit, 0.004)
    assert_each_ran_once(pool, log)
    wait_for_room(pool, 50)


def assert_each_ran_once(pool: Any, log: str) -> None:
    stats = wait_idle(pool)
    ran = lines(log)
    assert [name for name, times in Counter(ran).items() if times > 1] == []
    assert stats.succeeded == len(ran) + 2  # those that made the pool warm
    assert (stats.crashed, stats.failed) == (0, 0)


def test_a_full_queue(make_pool: MakePool, interrupts: Interrupts) -> None:
    pool = warm(make_pool(1, queue_size=1))

    def submit() -> None:
        for _ in range(10):
            pool.submit(nothing)

    while interrupts.count < ENOUGH:
        interrupts.during(submit, 0.001)
    wait_idle(pool)
    wait_for_room(pool, 1)
