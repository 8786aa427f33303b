"""Ctrl-C at one step of a submit after the other: the caller gets it, and nobody loses anything.

What Python could be interrupted at is each call, and each return from C code: there it looks for signals.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import Any

import pytest

from steadypool import task
from tests.pools.contract.jobs import lines, note, nothing
from tests.pools.contract.stage import WAIT

pytestmark = pytest.mark.differs_on("asyncio", "a Ctrl-C comes to the loop: see tests/pools/aio/test_endings.py")

JOBS = 20
STEPS = 25
"""How many of its steps each way to submit is interrupted at, evenly from the first to the last."""
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


def submit(pool: Any, log: str, names: Any) -> None:
    """Plain jobs."""
    for _ in range(JOBS):
        pool.submit(note, log, next(names))


def submit_limited(pool: Any, log: str, names: Any) -> None:
    """Jobs with an option."""
    for _ in range(JOBS):
        pool.submit(limited, log, next(names))


def run_map(pool: Any, log: str, names: Any) -> None:
    """Items of a map, one by one."""
    for _ in pool.map(note, [log] * JOBS, names):
        pass


def run_map_in_chunks(pool: Any, log: str, names: Any) -> None:
    """Items of a map that travel together where they travel."""
    for _ in pool.map(note, [log] * JOBS * 3, names, chunksize=10):
        pass


@pytest.mark.parametrize("way", [submit, submit_limited, run_map, run_map_in_chunks])
def test_at_every_step(make_pool: Callable[..., Any], tmp_path: Path, way: Callable[..., None]) -> None:
    pool = make_pool(2, queue_size=50)
    assert [future.result(WAIT) for future in [pool.submit(nothing) for _ in range(10)]] == [None] * 10
    log, names = str(tmp_path / "log"), map(str, itertools.count())
    Path(log).touch()
    whole = Interrupt(None)
    whole.during(lambda: way(pool, log, names))
    for step in range(0, whole.steps, max(1, whole.steps // STEPS)):
        Interrupt(step).during(lambda: way(pool, log, names))
        stats = wait_idle(pool, step)
        ran = lines(log)
        assert [name for name, times in Counter(ran).items() if times > 1] == [], step
        assert stats.succeeded == len(ran) + 10, step
        assert stats.accepted == stats.succeeded + stats.cancelled, step
    until = monotonic() + WAIT
    while len(pool._core.queue.room) != 50:
        assert monotonic() < until
        sleep(0.001)


def wait_idle(pool: Any, step: int) -> Any:
    """The books, once they show nothing that waits or runs."""
    until = monotonic() + WAIT
    while (stats := pool.stats()).waiting or stats.running:
        assert monotonic() < until, (step, stats)
        sleep(0.001)
    return stats
