"""Ctrl-C at one step of a submit after the other: no other job is lost, the books say so, and the drain ends.

What Python could be interrupted at is each call, and each return from C code: there it looks for signals.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import Any

import pytest

from steadypool import task
from tests.pools.contract.jobs import fail_with, lines, note, nothing
from tests.pools.contract.stage import WAIT, Stage

pytestmark = pytest.mark.differs_on("asyncio", "a Ctrl-C comes to the loop: see tests/pools/aio/test_endings.py")

JOBS = 20
STEPS = 20
"""How many of its steps each way to submit is interrupted at, evenly from the first to the last."""
ROOM = 50
limited = task(note, timeout=60)


class Interrupt:
    """Raises `KeyboardInterrupt` at one of the steps that Steadypool takes on this thread, counted from 0."""

    def __init__(self, at: int | None) -> None:
        self._at = at
        self.steps = 0

    def _step(self, frame: FrameType, event: str, _: object) -> None:
        if event not in ("call", "c_return") or "steadypool" not in frame.f_globals.get("__name__", ""):
            return
        if self.steps == self._at:
            sys.setprofile(None)
            raise KeyboardInterrupt
        self.steps += 1

    def during(self, call: Callable[[], object]) -> None:
        """Call this, interrupted or not."""
        sys.setprofile(self._step)
        try:
            call()
        except KeyboardInterrupt:
            return
        finally:
            sys.setprofile(None)


def steps_of(call: Callable[[], object], count: int = STEPS) -> range:
    """So many of the steps of this call, which is called once."""
    whole = Interrupt(None)
    whole.during(call)
    return range(0, whole.steps, max(1, whole.steps // count))


class Submits:
    """Submits to one pool, in several ways, and keeps the futures that it is given."""

    def __init__(self, pool: Any, log: Path) -> None:
        self._pool = pool
        self._log = str(log)
        self._names = map(str, itertools.count())
        self.futures: list[Any] = []

    def one_by_one(self, fn: Callable[..., object] = note) -> None:
        for _ in range(JOBS):
            self.futures.append(self._pool.submit(fn, self._log, next(self._names)))

    def with_a_limit(self) -> None:
        self.one_by_one(limited)

    def map(self, **options: Any) -> None:
        for _ in self._pool.map(note, [self._log] * JOBS, self._names, **options):
            pass

    def map_in_chunks(self) -> None:
        self.map(chunksize=10)


@pytest.mark.parametrize("way", [Submits.one_by_one, Submits.with_a_limit, Submits.map, Submits.map_in_chunks])
def test_at_every_step_no_other_job_is_lost(
    make_pool: Callable[..., Any], tmp_path: Path, way: Callable[[Submits], None]
) -> None:
    pool = make_pool(2, queue_size=ROOM)
    assert [future.result(WAIT) for future in [pool.submit(nothing) for _ in range(10)]] == [None] * 10
    submits = Submits(pool, tmp_path / "log")
    for step in steps_of(lambda: way(submits)):
        Interrupt(step).during(lambda: way(submits))
    for future in submits.futures:
        future.result(WAIT)
    stats = wait_idle(pool)
    ran = lines(str(tmp_path / "log"))
    assert [name for name, times in Counter(ran).items() if times > 1] == []
    assert stats.succeeded == len(ran) + 10
    assert stats.accepted == stats.succeeded + stats.cancelled


def wait_idle(pool: Any) -> Any:
    """The books, once the supervisor has set them right."""
    until = monotonic() + WAIT
    while (stats := pool.stats()).waiting or stats.running or len(pool._core.queue.room) != ROOM:
        assert monotonic() < until, (stats, len(pool._core.queue.room))
        sleep(0.001)
    return stats


def test_in_the_first_submit_the_drain_ends(make_pool: Callable[..., Any]) -> None:
    for step in steps_of(partial(make_pool(1).submit, nothing), 10):
        pool = make_pool(1)
        Interrupt(step).during(partial(pool.submit, nothing))
        assert pool.submit(int).result(WAIT) == 0
        assert pool.drain(WAIT).ok


def test_a_queue_of_one_has_its_place_again(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1, queue_size=1)
    pool.submit(nothing).result(WAIT)
    for step in steps_of(lambda: pool.submit(nothing), 10):
        Interrupt(step).during(lambda: pool.submit(nothing))
        assert pool.submit_within(WAIT, int).result(WAIT) == 0


def test_in_a_job_that_the_main_thread_runs_itself(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1, on_full="caller_runs")
    [(_, actor)] = stage.occupy(pool, 1)
    waiting: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        while True:
            waiting.append(pool.submit(fail_with, KeyboardInterrupt()))
    assert pool.stats().failed == 1
    actor.close()
    assert all(future.exception(WAIT) for future in waiting)
