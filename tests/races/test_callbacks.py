"""Done-callbacks run exactly once, whoever ends the job and whenever they are added."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from steadypool import JobFuture, ThreadPool, current_job, task
from tests.patience import WAIT
from tests.races.arena import duel, pool_of
from tests.races.books import check_final

pytestmark = pytest.mark.usefixtures("switching")
ROUNDS = 500
EACH = 5


@dataclass
class Watched:
    """A running job that ends as ``gate`` opens, and what its callbacks have noted."""

    future: JobFuture[Any]
    gate: threading.Event
    calls: list[int] = field(default_factory=list)
    all_called: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def add(self, first: int) -> None:
        for number in range(first, first + EACH):
            self.future.add_done_callback(lambda future, number=number: self.note(future, number))

    def note(self, future: JobFuture[Any], number: int) -> None:
        assert future is self.future and future.done()
        self.calls.append(number)
        self.all_called.release()

    def check(self, expected: int) -> None:
        for _ in range(expected):
            assert self.all_called.acquire(timeout=WAIT)
        assert sorted(self.calls) == list(range(expected))


def test_adding_against_the_end() -> None:
    futures: list[JobFuture[Any]] = []

    def prepare(_: int) -> Watched:
        gate = threading.Event()
        watched = Watched(pool.submit(gate.wait, WAIT), gate)
        futures.append(watched.future)
        return watched

    with pool_of(1) as pool:
        duel(
            ROUNDS,
            prepare,
            (lambda w: w.gate.set(), lambda w: w.add(0), lambda w: w.add(EACH)),
            lambda watched, _: watched.check(2 * EACH),
        )
    check_final(pool.stats(), futures)


def test_adding_against_a_cancel() -> None:
    """The canceller's thread runs them, or the adder's."""
    futures: list[JobFuture[Any]] = []
    gate = threading.Event()

    def prepare(_: int) -> Watched:
        watched = Watched(pool.submit(gate.wait, WAIT), gate)
        futures.append(watched.future)
        return watched

    with pool_of(1) as pool:
        futures.append(pool.submit(gate.wait, WAIT))
        duel(
            ROUNDS,
            prepare,
            (lambda w: w.future.cancel(), lambda w: w.add(0), lambda w: w.future.cancel()),
            lambda watched, _: watched.check(EACH),
        )
        gate.set()
    check_final(pool.stats(), futures)


def test_adding_against_a_time_limit() -> None:
    """The supervisor ends the job, and its callbacks run on a thread of their own."""

    @task(timeout=0.001)
    def hang() -> None:
        current_job().sleep(WAIT)

    futures: list[JobFuture[Any]] = []

    def prepare(_: int) -> Watched:
        watched = Watched(pool.submit(hang), threading.Event())
        futures.append(watched.future)
        return watched

    def add_around_the_limit(watched: Watched) -> None:
        while not watched.future.running() and not watched.future.done():
            pass
        watched.add(0)

    with pool_of(2) as pool:
        duel(ROUNDS // 2, prepare, (add_around_the_limit,), lambda watched, _: watched.check(EACH))
    check_final(pool.stats(), futures)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_callback_that_raises_takes_nothing_down(error: type[BaseException]) -> None:
    """Neither its worker, nor the jobs that wait, nor the callbacks after it."""
    gate = threading.Event()
    called = threading.Event()

    def misbehave(_: Any) -> None:
        raise error("from a callback")

    with pool_of(1) as pool:
        first = pool.submit(gate.wait, WAIT)
        first.add_done_callback(misbehave)
        first.add_done_callback(lambda _: called.set())
        second = pool.submit(current_job)
        gate.set()
        second.result(WAIT)
        assert called.wait(WAIT)


def test_a_callback_on_the_callback_thread_that_raises_takes_nothing_down() -> None:
    called = threading.Event()

    def misbehave(_: Any) -> None:
        raise SystemExit("from a callback")

    @task(timeout=0.001)
    def hang() -> None:
        current_job().sleep(WAIT)

    pool = ThreadPool(1, cancel_grace=WAIT)
    first = pool.submit(hang)
    first.add_done_callback(misbehave)
    assert first.exception(WAIT) is not None
    second = pool.submit(hang)
    second.add_done_callback(lambda _: called.set())
    assert called.wait(WAIT)
    assert not pool.drain(timeout=WAIT).notes
