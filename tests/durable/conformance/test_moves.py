"""The states of a job, and the moves between them: each engine makes those of `states.MOVES`, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from itertools import count, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import Claim, Settlement
from steadypool.durable.engine.states import ENDED, MOVES, JobState

from .lanes import counts, gates
from .steps import LONG, again, cancelled, complete, give_back, give_up, job, take, worker

SOON = 0.02
"""Seconds until a job may run for whose time the test waits."""
MANY = 1000
_queues, _limits = count(), count()


class OneJob:
    """A job in a queue of its own, and what can happen to it. A call that does not fit its state is made, too.

    With a *limit* of that name, it waits in a lane.
    """

    def __init__(self, engine: Engine, limit: str | None = None) -> None:
        self._engine = engine
        self._limit = limit
        self._queue = f"moves-{next(_queues)}"
        self._claims: list[Claim] = []
        self._worker = worker(engine)
        self._due: float | None = None
        self._before: tuple[int, int] | None = None
        self.state: JobState | None = None
        self.moves: set[tuple[JobState, JobState]] = set()

    def do(self, call: str) -> None:
        """Make the call, and note what has moved."""
        if self.state is None and call not in (*PUTS, "put_after", "put_after_and_later"):
            return
        CALLS[call](self)
        self._look()
        if self._due is not None and self._due < self._engine.now() + 1.0:
            self._wait_until_due()

    def put(self, delay: float) -> None:
        """Once."""
        if self.state is None:
            turn = None if self._limit is None else gates((self._limit, ""))
            [placed] = self._engine.put_many([job(queue=self._queue, delay=delay, turn=turn)])
            self.id = placed.id
            self.number, self.nonce = placed.number, placed.nonce

    def put_after(self, delay: float) -> None:
        """After another, of a queue of its own."""
        if self.state is None:
            [placed] = self._engine.put_many([job(queue=f"{self._queue}-before")])
            self._before = placed.number, placed.nonce
            [placed] = self._engine.put_many([job(queue=self._queue, delay=delay, after=(placed.id,))])
            self.id, self.number, self.nonce = placed.id, placed.number, placed.nonce

    def end_before(self, make: Callable[[Claim], Settlement]) -> None:
        """The one that it waits for ends."""
        self._engine.settle_many(
            [make(one) for one in take(self._engine, self._worker, queues=[f"{self._queue}-before"])]
        )
        self._engine.links.tend(MANY)

    def retry_before(self) -> None:
        """The one that it waits for, by hand."""
        if self._before is not None:
            self._engine.retry(*self._before)
            self._engine.links.tend(MANY)

    def claim(self) -> None:
        """By the one worker; earlier claims are kept, for they may be settled late."""
        self._claims += take(self._engine, self._worker, queues=[self._queue])

    def settle(self, make: Callable[[Claim], Settlement], which: int) -> None:
        """The last claim (-1) or the first (0), as if its worker had been cut off meanwhile."""
        if self._claims:
            self._engine.settle_many([make(self._claims[which])])

    def lose_worker(self, max_losses: int) -> None:
        """Its worker dies, and another takes its place."""
        self._engine.renew(self._worker, 0.0)
        before = self._engine.now()
        while self._engine.now() <= before:
            pass
        self._engine.sweep(max_losses)
        self._worker = worker(self._engine)

    def reconcile(self) -> None:
        """The worker has forgotten all of its claims."""
        self._engine.reconcile(self._worker, [])

    def set_aside(self, seconds: float) -> None:
        """A worker that does not know the task looks."""
        self._engine.set_aside([self._queue], [], MANY, seconds)

    def recall(self) -> None:
        """A worker that knows the task looks."""
        self._engine.recall([self._queue], ["app.work"], MANY)

    def forget(self) -> None:
        """Its time to be set aside is over, if it is."""
        self._engine.give_up_unknown(MANY, "unknown")

    def cancel(self) -> None:
        """By hand."""
        self._engine.cancel(self.number, self.nonce)

    def discard(self) -> None:
        """By hand."""
        self._engine.discard(self.number, self.nonce, "by hand")

    def retry(self) -> None:
        """By hand."""
        self._engine.retry(self.number, self.nonce)

    def _look(self) -> None:
        found = self._engine.get(self.id)
        assert found is not None
        if self.state is not None and self.state is not found.state:
            self.moves.add((self.state, found.state))
        self.state, self._due = found.state, found.due_at
        if self._limit is not None:
            running, _ = counts(self._engine, self._limit)
            assert running == (self.state is JobState.RUNNING), "it has a place of its limit as long as it runs"

    def _wait_until_due(self) -> None:
        with closing(self._engine.listener("work")) as listener:
            while self.state is not JobState.AVAILABLE:
                listener.wait(SOON)
                self._look()


PUTS = {"put": 0.0, "put_later": LONG, "put_soon": SOON}
VERDICTS: dict[str, Callable[[Claim], Settlement]] = {
    "complete": complete,
    "try_again": again,
    "try_again_later": partial(again, delay=LONG),
    "try_again_soon": partial(again, delay=SOON),
    "crash": partial(again, crashed=True),
    "give_up": give_up,
    "give_back": give_back,
    "give_back_later": partial(give_back, delay=LONG),
    "be_cancelled": cancelled,
    "be_unknown": lambda claim: give_back(claim, LONG)._replace(aside=True),
}
CALLS: dict[str, Callable[[OneJob], None]] = {
    **{name: partial(OneJob.put, delay=delay) for name, delay in PUTS.items()},
    "put_after": partial(OneJob.put_after, delay=0.0),
    "put_after_and_later": partial(OneJob.put_after, delay=LONG),
    "complete_before": partial(OneJob.end_before, make=complete),
    "give_up_before": partial(OneJob.end_before, make=give_up),
    "retry_before": OneJob.retry_before,
    "claim": OneJob.claim,
    **{name: partial(OneJob.settle, make=make, which=-1) for name, make in VERDICTS.items()},
    **{f"{name}_late": partial(OneJob.settle, make=make, which=0) for name, make in VERDICTS.items()},
    "lose_worker": partial(OneJob.lose_worker, max_losses=MANY),
    "lose_worker_once_too_often": partial(OneJob.lose_worker, max_losses=1),
    "reconcile": OneJob.reconcile,
    "set_aside": partial(OneJob.set_aside, seconds=LONG),
    "set_aside_for_nothing": partial(OneJob.set_aside, seconds=0.0),
    "recall": OneJob.recall,
    "forget": OneJob.forget,
    "cancel": OneJob.cancel,
    "discard": OneJob.discard,
    "retry": OneJob.retry,
}
WAYS: dict[JobState, tuple[tuple[str, ...], ...]] = {
    JobState.SCHEDULED: (("put_later",),),
    JobState.WAITING: (("put_after",), ("put_after_and_later",)),
    JobState.AVAILABLE: (("put",),),
    JobState.RUNNING: (("put", "claim"),),
    JobState.RETRYABLE: (("put", "claim", "try_again_later"),),
    JobState.COMPLETED: (("put", "claim", "complete"),),
    JobState.DISCARDED: (("put", "claim", "give_up"), ("put_after", "discard")),
    JobState.CANCELLED: (("put", "cancel"), ("put_after", "give_up_before")),
}
"""How a job gets into each state."""


def moved(engine: Engine, calls: Iterable[str], limit: str | None = None) -> OneJob:
    one = OneJob(engine, limit)
    for call in calls:
        one.do(call)
    return one


def is_legal(move: tuple[JobState, JobState]) -> bool:
    return move[1] in MOVES[move[0]]


@pytest.mark.parametrize("state", JobState)
def test_from_each_state_every_call_together_makes_the_moves_of_the_table(engine: Engine, state: JobState) -> None:
    seen = set()
    for way, call in product(WAYS[state], CALLS):
        one = moved(engine, way)
        assert one.state is state
        one.moves.clear()
        one.do(call)
        seen |= one.moves
    assert {to for from_, to in seen if from_ is state} == MOVES[state]
    assert all(map(is_legal, seen))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.sampled_from(list(CALLS)), max_size=15), is_limited=st.booleans())
def test_no_calls_in_any_order_make_another_move(engine: Engine, calls: list[str], is_limited: bool) -> None:
    one = moved(engine, ["put", *calls], f"limit-{next(_limits)}" if is_limited else None)
    assert all(map(is_legal, one.moves)), one.moves
    assert (one.state in ENDED) == (not engine.not_ended([(one.number, one.nonce)]))
