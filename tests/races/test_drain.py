"""A drain against everybody who does not know of it yet."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from steadypool import DrainReport, JobFuture, Outcome, PoolClosed, PoolState, QueueFull, ThreadPool, task
from tests.patience import WAIT
from tests.races.arena import duel
from tests.races.books import check_final

pytestmark = pytest.mark.usefixtures("switching")
ROUNDS = 500


def noop() -> None:
    pass


@dataclass
class Round:
    """A pool that is about to be drained, and what was accepted by it."""

    pool: ThreadPool
    futures: list[JobFuture[Any]] = field(default_factory=list)

    def submit_until_closed(self) -> None:
        try:
            for _ in range(200):
                try:
                    self.futures.append(self.pool.submit(noop))
                except QueueFull:
                    pass
        except PoolClosed:
            pass

    def check(self, report: DrainReport) -> None:
        assert report.state is PoolState.CLOSED and self.pool.state is PoolState.CLOSED
        check_final(self.pool.stats(), self.futures)
        check_final(report.stats, self.futures)
        with pytest.raises(PoolClosed):
            self.pool.submit(noop)


@pytest.mark.parametrize("on_full", ["block", "reject", "caller_runs", "discard_oldest"])
def test_submit_against_drain(on_full: str) -> None:
    """What was accepted has an outcome when the drain returns, and the report has counted it."""

    def check(state: Round, results: list[Any]) -> None:
        state.check(results[0])

    duel(
        ROUNDS // 4,
        lambda _: Round(ThreadPool(2, queue_size=2, on_full=on_full)),
        (lambda s: s.pool.drain(WAIT), Round.submit_until_closed, Round.submit_until_closed),
        check,
    )


@pytest.mark.parametrize("options", [{}, {"priority": 1}, {"timeout": 60.0}, {"total_timeout": 60.0}], ids=str)
def test_one_submit_against_drain(options: dict[str, Any]) -> None:
    """The moment between a submit's look at the pool and its arrival in the queue."""
    job = task(noop, **options)

    def submit(state: Round) -> None:
        try:
            state.futures.append(state.pool.submit(job))
        except PoolClosed:
            pass

    duel(
        ROUNDS // 2,
        lambda _: Round(ThreadPool(1)),
        (lambda s: s.pool.drain(WAIT), submit, submit),
        lambda state, results: state.check(results[0]),
    )


def test_submit_against_a_drain_without_time() -> None:
    def check(state: Round, results: list[Any]) -> None:
        state.check(results[0])
        for future in state.futures:
            assert future.outcome in (Outcome.SUCCEEDED, Outcome.RETURNED, Outcome.INTERRUPTED)

    duel(
        ROUNDS // 2,
        lambda _: Round(ThreadPool(2, queue_size=4)),
        (lambda s: s.pool.drain(0), Round.submit_until_closed),
        check,
    )


def test_submit_against_shutdown_with_cancel_futures() -> None:
    def shutdown(state: Round) -> None:
        state.pool.shutdown(cancel_futures=True)

    def check(state: Round, results: list[Any]) -> None:
        check_final(state.pool.stats(), state.futures)
        for future in state.futures:
            assert future.outcome in (Outcome.SUCCEEDED, Outcome.RETURNED)
            assert future.cancelled() == (future.outcome is Outcome.RETURNED)

    duel(ROUNDS // 2, lambda _: Round(ThreadPool(2, queue_size=4)), (shutdown, Round.submit_until_closed), check)


def test_two_drains_give_one_report() -> None:
    def check(state: Round, results: list[Any]) -> None:
        assert results[0] is results[1]
        state.check(results[0])

    def prepare(_: int) -> Round:
        state = Round(ThreadPool(1))
        state.futures += [state.pool.submit(noop) for _ in range(3)]
        return state

    duel(ROUNDS // 2, prepare, (lambda s: s.pool.drain(WAIT), lambda s: s.pool.drain(None)), check)


def test_two_drains_of_a_pool_that_had_no_job() -> None:
    duel(
        ROUNDS // 2,
        lambda _: Round(ThreadPool(1)),
        (lambda s: s.pool.drain(WAIT), lambda s: s.pool.drain(0), lambda s: s.pool.request_drain(None)),
        lambda state, results: state.check(results[0]),
    )


def test_cancels_against_drain() -> None:
    def prepare(_: int) -> Round:
        state = Round(ThreadPool(1))
        state.futures += [state.pool.submit(noop) for _ in range(8)]
        return state

    duel(
        ROUNDS // 2,
        prepare,
        (lambda s: s.pool.drain(0), lambda s: [future.cancel() for future in s.futures]),
        lambda state, results: state.check(results[0]),
    )


def test_resize_against_drain() -> None:
    def prepare(_: int) -> Round:
        state = Round(ThreadPool(3))
        state.futures += [state.pool.submit(noop) for _ in range(6)]
        return state

    def resize(state: Round) -> None:
        try:
            for size in (1, 4, 2):
                state.pool.resize(size)
        except PoolClosed:
            pass

    duel(
        ROUNDS // 2,
        prepare,
        (lambda s: s.pool.drain(WAIT), resize),
        lambda state, results: state.check(results[0]),
    )


def test_a_blocked_producer_learns_that_the_pool_closes() -> None:
    @dataclass
    class Full(Round):
        gate: threading.Event = field(default_factory=threading.Event)

    def prepare(_: int) -> Full:
        state = Full(ThreadPool(1, queue_size=1, cancel_grace=WAIT))
        runs = threading.Event()
        state.futures.append(state.pool.submit(lambda: (runs.set(), state.gate.wait(WAIT))))
        assert runs.wait(WAIT)
        state.futures.append(state.pool.submit(noop))
        return state

    def produce(state: Full) -> str:
        try:
            state.futures.append(state.pool.submit(noop))
        except PoolClosed:
            return "refused"
        return "accepted"

    def drain(state: Full) -> None:
        state.pool.request_drain(0)

    def check(state: Full, results: list[Any]) -> None:
        assert results[0] == results[1] == "refused"
        state.gate.set()
        state.check(state.pool.drain())
        assert state.futures[0].outcome is Outcome.SUCCEEDED
        assert state.futures[1].outcome in (Outcome.SUCCEEDED, Outcome.RETURNED)

    duel(ROUNDS // 4, prepare, (produce, produce, drain), check)
