"""Lets threads make their moves at the same moment, round after round."""

from __future__ import annotations

import faulthandler
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from steadypool import ThreadPool
from tests.patience import WAIT

S = TypeVar("S")


@contextmanager
def switching_every(seconds: float | None) -> Iterator[None]:
    """Have the interpreter change threads that often (``None``: as it does by itself)."""
    before = sys.getswitchinterval()
    if seconds is not None:
        sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def duel(
    rounds: int,
    prepare: Callable[[int], S],
    moves: tuple[Callable[[S], Any], ...],
    check: Callable[[S, list[Any]], object],
) -> None:
    """Play *rounds* rounds: *prepare* one, have each of *moves* made on a thread of its own, *check* what came of it.

    *check* gets what the moves returned. A move that raises fails the test.
    """
    arena = _Arena(moves)
    try:
        for number in range(rounds):
            state = prepare(number)
            check(state, arena.play(number, state))
    finally:
        arena.close()


class _Arena:
    def __init__(self, moves: tuple[Callable[[Any], Any], ...]) -> None:
        self._start = threading.Barrier(len(moves) + 1)
        self._end = threading.Barrier(len(moves) + 1)
        self._results: list[Any] = [None] * len(moves)
        self._errors: list[BaseException] = []
        self._state: Any = None
        self._open = True
        self._threads = [
            threading.Thread(target=self._run, args=(place, move), name=f"duel-{place}", daemon=True)
            for place, move in enumerate(moves)
        ]
        for thread in self._threads:
            thread.start()

    def play(self, number: int, state: Any) -> list[Any]:
        self._state = state
        self._start.wait(WAIT)
        try:
            self._end.wait(WAIT)
        except threading.BrokenBarrierError:
            faulthandler.dump_traceback()
            raise AssertionError(f"round {number}: a move has not ended within {WAIT} s") from None
        finally:
            self._state = None
        if self._errors:
            raise self._errors[0]
        results, self._results = self._results, [None] * len(self._threads)
        return results

    def close(self) -> None:
        self._open = False
        if not self._end.broken:
            self._start.wait(WAIT)
            for thread in self._threads:
                thread.join(WAIT)

    def _run(self, place: int, move: Callable[[Any], Any]) -> None:
        chance = random.Random(place)
        while True:
            self._start.wait()
            if not self._open:
                return
            stagger(chance)
            try:
                self._results[place] = move(self._state)
            except BaseException as error:
                self._errors.append(error)
            self._end.wait()


def stagger(chance: random.Random, most: int = 300) -> None:
    """Spin for a moment: threads let go by a barrier run on in a fixed order otherwise."""
    for _ in range(chance.randrange(most)):
        pass


@contextmanager
def pool_of(max_workers: int, **options: Any) -> Iterator[ThreadPool]:
    """A pool that ends in any case: a test that has failed does not wait for the jobs that never will."""
    pool = ThreadPool(max_workers, **options)
    try:
        yield pool
    except BaseException:
        pool.drain(timeout=0)
        raise
    report = pool.drain(timeout=WAIT)
    assert report.on_time, report
