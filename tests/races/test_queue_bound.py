"""Racing producers against the bound of the queue."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from steadypool import JobFuture, Outcome, QueueFull, ThreadPool, task
from tests.patience import WAIT
from tests.races.arena import duel, pool_of
from tests.races.books import check_final

pytestmark = pytest.mark.usefixtures("switching")
ROUNDS = 500
SIZE = 3


def noop() -> None:
    pass


@dataclass
class Blocked:
    """A pool of one whose worker waits for ``gate``: what is submitted stays in the queue."""

    pool: ThreadPool
    gate: threading.Event = field(default_factory=threading.Event)
    futures: list[JobFuture[Any]] = field(default_factory=list)
    first: JobFuture[Any] | None = None

    def block(self) -> Blocked:
        runs = threading.Event()
        self.first = self.pool.submit(lambda: (runs.set(), self.gate.wait(WAIT)))
        assert runs.wait(WAIT)
        return self

    def let_go(self) -> None:
        self.gate.set()
        assert self.first is not None
        self.first.result(WAIT)
        for future in self.futures:
            if not future.cancelled():
                future.result(WAIT)


def try_three(state: Blocked) -> int:
    refused = 0
    for _ in range(3):
        try:
            state.futures.append(state.pool.try_submit(noop))
        except QueueFull:
            refused += 1
    return refused


def test_exactly_as_many_get_in_as_there_is_room() -> None:
    everything: list[JobFuture[Any]] = []
    refused = 0

    def check(state: Blocked, results: list[int]) -> None:
        nonlocal refused
        refused += sum(results)
        assert len(state.futures) == SIZE == pool.stats().waiting and sum(results) == 6 - SIZE
        state.let_go()
        everything.extend([state.first, *state.futures])  # type: ignore[list-item]

    with pool_of(1, queue_size=SIZE) as pool:
        duel(ROUNDS // 2, lambda _: Blocked(pool).block(), (try_three, try_three), check)
        assert pool.stats().rejected == refused
    check_final(pool.stats(), everything)


def test_cancels_give_their_room_back_once() -> None:
    """Cancels and submits race: afterwards there is room for exactly the rest."""
    everything: list[JobFuture[Any]] = []

    def prepare(_: int) -> Blocked:
        state = Blocked(pool).block()
        state.futures += [pool.submit(noop) for _ in range(SIZE)]
        return state

    def cancel_all(state: Blocked) -> int:
        return sum(future.cancel() for future in list(state.futures))

    def check(state: Blocked, results: list[int]) -> None:
        cancelled = sum(future.outcome is Outcome.CANCELLED for future in state.futures)
        room = SIZE - (len(state.futures) - cancelled)
        state.futures += [pool.try_submit(noop) for _ in range(room)]
        with pytest.raises(QueueFull):
            pool.try_submit(noop)
        state.let_go()
        everything.extend([state.first, *state.futures])  # type: ignore[list-item]

    with pool_of(1, queue_size=SIZE) as pool:
        duel(ROUNDS // 2, prepare, (cancel_all, cancel_all, try_three), check)
    check_final(pool.stats(), everything)


@pytest.mark.parametrize("priority", [0, 1])
def test_discard_oldest_under_racing_producers(priority: int) -> None:
    """Everybody gets in, the bound holds, and whoever was pushed out knows it."""
    everything: list[JobFuture[Any]] = []
    job = task(noop, priority=priority)

    def submit_four(state: Blocked) -> None:
        for _ in range(4):
            state.futures.append(state.pool.submit(job))

    def check(state: Blocked, _: list[None]) -> None:
        outcomes = Counter(future.outcome for future in state.futures)
        assert outcomes == {Outcome.CANCELLED: 12 - SIZE, None: SIZE}
        assert pool.stats().waiting == SIZE
        state.let_go()
        assert sum(future.cancelled() for future in state.futures) == 12 - SIZE
        everything.extend([state.first, *state.futures])  # type: ignore[list-item]

    with pool_of(1, queue_size=SIZE, on_full="discard_oldest") as pool:
        duel(ROUNDS // 4, lambda _: Blocked(pool).block(), (submit_four, submit_four, submit_four), check)
        assert pool.stats().rejected == 0
    check_final(pool.stats(), everything)


def test_blocked_producers_are_all_let_in() -> None:
    """No wake-up is lost between the one who gives room back and the one who goes to sleep for it."""
    everything: list[JobFuture[Any]] = []

    def submit_five(_: Any) -> list[JobFuture[None]]:
        return [pool.submit(noop) for _ in range(5)]

    def check(_: Any, results: list[list[JobFuture[None]]]) -> None:
        for futures in results:
            for future in futures:
                future.result(WAIT)
            everything.extend(futures)

    with pool_of(2, queue_size=1) as pool:
        duel(ROUNDS // 2, lambda _: None, (submit_five, submit_five, submit_five), check)
    check_final(pool.stats(), everything)
