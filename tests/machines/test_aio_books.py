"""The same on asyncio, where nothing happens between two steps: after each, the books are checked to the last job."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule

from steadypool import (
    AsyncJobFuture,
    AsyncPool,
    JobCancelled,
    Limit,
    Outcome,
    PoolClosed,
    PoolState,
    QueueFull,
    Retry,
    current_job,
    task,
)
from tests.patience import WAIT
from tests.races.books import check_final

TURNS = 8
"""Rounds of the loop after which everything that can happen without a timer has."""


@dataclass(eq=False)
class Record:
    """One job, if the pool took it, and how it may end."""

    may_end: set[Outcome]
    submitting: asyncio.Task[AsyncJobFuture[Any]] | None = None
    attempts: int = 1
    is_inside: bool = False
    is_one: bool = False
    """Whether no other job that is one may run beside it."""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def future(self) -> AsyncJobFuture[Any] | None:
        """The job's future, once it was taken."""
        submitting = self.submitting
        if submitting is None or not submitting.done() or submitting.cancelled() or submitting.exception():
            return None
        return submitting.result()

    @property
    def can_change(self) -> bool:
        """Whether the job has been taken, and has not ended."""
        return self.future is not None and not self.future.done()

    async def hang(self) -> str:
        """Run until released, or cancelled."""
        self.is_inside = True
        try:
            await self.released.wait()
        finally:
            self.is_inside = False
        return "released"

    async def hang_on(self) -> str:
        """The same, whoever cancels it."""
        self.is_inside = True
        try:
            while not self.released.is_set():
                try:
                    await self.released.wait()
                except asyncio.CancelledError:
                    pass
        finally:
            self.is_inside = False
        return "released"


async def succeed() -> str:
    return "done"


async def succeed_later() -> str:
    await asyncio.sleep(0)
    return "done"


async def fail() -> None:
    raise LookupError("as told")


@task(retry=Retry(3, on=OSError, backoff=0.0))
async def recover() -> str:
    if current_job().attempt < 3:
        raise OSError("not yet")
    return "done"


@task(retry=Retry(2, on=OSError, backoff=600.0, max_backoff=600.0))
async def fail_for_long() -> None:
    raise OSError("not yet")


ENDS: dict[Any, Outcome] = {
    succeed: Outcome.SUCCEEDED,
    succeed_later: Outcome.SUCCEEDED,
    fail: Outcome.FAILED,
}
ONE, TWO = Limit("aio-machine-one", running=1), Limit("aio-machine-two", running=2)
priorities = st.sampled_from([0, 0, 1, -1])
limits = st.sampled_from([None, None, ONE, (ONE, TWO), TWO])


class AsyncBooks(RuleBasedStateMachine):
    """A small pool, so that everything is soon full."""

    jobs = Bundle("jobs")
    hanging = Bundle("hanging")

    @initialize(
        workers=st.integers(1, 3),
        room=st.integers(1, 4),
        on_full=st.sampled_from(["block", "reject", "discard_oldest"]),
        grace=st.sampled_from([0.0, WAIT]),
    )
    def open(self, workers: int, room: int, on_full: str, grace: float) -> None:
        self.loop = asyncio.new_event_loop()
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.pool = AsyncPool(workers, queue_size=room, on_full=on_full, cancel_grace=grace)
        self.records: list[Record] = []
        self.draining: asyncio.Task[Any] | None = None
        self.do(self.pool.__aenter__())

    def do(self, work: Coroutine[Any, Any, Any] | None = None) -> Any:
        """Have that done on the loop, and all that follows from it; then see to the books. Every step ends here."""

        async def with_all_that_follows() -> Any:
            result = None if work is None else await work
            for _ in range(TURNS):
                await asyncio.sleep(0)
            while not self.is_settled():  # a timer rang in the last turn
                await asyncio.sleep(0)
            self.check_books()
            return result

        return self.loop.run_until_complete(asyncio.wait_for(with_all_that_follows(), WAIT))

    def is_settled(self) -> bool:
        """Whether everybody for whom there is room has begun, and everybody who was let in knows it."""
        stats = self.pool.stats()
        inside = sum(record.is_inside for record in self.records)
        could_begin = stats.waiting - sum(stats.held_back.values())
        have_begun = stats.workers + stats.stuck == inside and (not could_begin or stats.workers >= stats.capacity)
        return have_begun and stats.accepted == len(self.futures())

    def wait_until_over(self, futures: list[Any]) -> None:
        """Wait for something that needs a timer."""
        self.do(asyncio.wait(futures))
        assert all(future.done() for future in futures)

    def submit(self, record: Record, fn: Any) -> Record:
        """A submit that has to wait for room goes on waiting; it is a step of its own to give it up."""
        if self.pool._core.settings.on_full == "discard_oldest":
            record.may_end.add(Outcome.CANCELLED)
        self.records.append(record)
        record.submitting = self.loop.create_task(self.pool.submit(fn))
        self.do()
        if self.draining is not None:
            assert isinstance(record.submitting.exception(), PoolClosed)
        return record

    @rule(
        target=jobs,
        fn=st.sampled_from(list(ENDS)),
        priority=priorities,
        timeout=st.sampled_from([None, WAIT]),
        limit=limits,
    )
    def submit_short(self, fn: Any, priority: int, timeout: float | None, limit: Any) -> Record:
        return self.submit(Record({ENDS[fn]}), task(fn, priority=priority, timeout=timeout, limit=limit))

    @rule(target=jobs, priority=priorities, limit=limits)
    def submit_retry(self, priority: int, limit: Any) -> Record:
        return self.submit(Record({Outcome.SUCCEEDED}, attempts=3), recover.options(priority=priority, limit=limit))

    @rule(target=jobs)
    def submit_retry_far_away(self) -> Record:
        """It only ever ends by being cancelled or interrupted."""
        return self.submit(Record(set()), fail_for_long)

    @rule(target=hanging, priority=priorities, stubborn=st.booleans())
    def submit_hanging(self, priority: int, stubborn: bool) -> Record:
        record = Record({Outcome.SUCCEEDED})
        return self.submit(record, task(record.hang_on if stubborn else record.hang, priority=priority))

    @rule(target=hanging, limit=limits, lane=st.sampled_from("ab"))
    def submit_hanging_limited(self, limit: Any, lane: str) -> Record:
        record = Record({Outcome.SUCCEEDED}, is_one=limit not in (None, TWO))
        return self.submit(record, task(record.hang, limit=limit).options(lane=lane))

    @rule(target=jobs, stubborn=st.booleans())
    def submit_that_times_out(self, stubborn: bool) -> Record:
        """It does as soon as there is room for it."""
        record = Record({Outcome.TIMED_OUT})
        return self.submit(record, task(record.hang_on if stubborn else record.hang, timeout=0.001))

    @rule()
    def expire(self) -> None:
        """Its time is up whether there is room for it or not."""
        record = Record({Outcome.TIMED_OUT})
        self.submit(record, task(record.hang, total_timeout=0.001))
        if record.future is not None:
            self.wait_until_over([record.future])

    @rule(record=hanging)
    def release(self, record: Record) -> None:
        record.released.set()
        self.do()
        assert not record.is_inside

    @rule(record=st.one_of(jobs, hanging))
    def cancel(self, record: Record) -> None:
        if record.future is None:
            return
        can_be = record.can_change and not record.future.running()
        assert record.future.cancel() is can_be
        if can_be:
            record.may_end = {Outcome.CANCELLED}
            assert record.future.outcome is Outcome.CANCELLED
        self.do()

    @rule(record=st.one_of(jobs, hanging))
    def cancel_running(self, record: Record) -> None:
        if record.can_change:
            record.may_end.add(Outcome.CANCELLED)
            assert record.future is not None and record.future.cancel(running=True)
        self.do()

    @rule(record=st.one_of(jobs, hanging))
    def give_up_awaiting(self, record: Record) -> None:
        """Who is cancelled while awaiting a job cancels it, and is cancelled at once; nobody else is."""
        if not record.can_change:
            return
        record.may_end.add(Outcome.CANCELLED)
        caller, other = (
            self.loop.create_task(outcome_of(record.future)),
            self.loop.create_task(outcome_of(record.future)),
        )
        self.do()
        if caller.cancel():
            self.do()
            assert caller.cancelled() and not other.cancelled() and other.cancelling() == 0
            assert not other.done() or other.result() is not None
        other.cancel()
        self.do()

    @rule(record=st.one_of(jobs, hanging))
    def give_up_submitting(self, record: Record) -> None:
        assert record.submitting is not None
        if record.submitting.cancel():
            self.do()
            assert record.submitting.cancelled()

    @rule(workers=st.integers(1, 4))
    def resize(self, workers: int) -> None:
        # Not whether `draining` is done: a timer may have closed the pool in the last turn, and nobody knows it yet.
        if self.pool.state is PoolState.CLOSED:
            with pytest.raises(PoolClosed):
                self.pool.resize(workers)
            return
        self.pool.resize(workers)
        self.do()
        assert self.pool.stats().max_workers == workers

    @precondition(lambda self: self.draining is None)
    @rule()
    def begin_to_drain(self) -> None:
        """Nobody new is let in; who is there has time."""
        self.draining = self.loop.create_task(self.pool.drain(WAIT))
        self.do()

    @precondition(lambda self: self.pool._core.settings.cancel_grace == 0)
    @rule()
    def drain_at_once(self) -> None:
        """No time for anybody: what waits goes back, what runs is asked to stop; what does not is stuck."""
        if self.pool.state is PoolState.CLOSED:
            return
        for record in self.records:
            record.may_end |= {Outcome.RETURNED, Outcome.INTERRUPTED}
        unfinished, report = self.do(self.drain_now())
        self.draining = self.loop.create_task(self.pool.drain(0))
        self.do()
        assert {row.id for row in report.stuck} <= unfinished
        assert not any(record.is_inside for record in self.records), "the pool got rid of them"
        check_final(report.stats, self.futures())

    async def drain_now(self) -> tuple[set[str], Any]:
        """Drain without patience; whose jobs had not ended before, and the report."""
        unfinished = {r.future.job_id for r in self.records if r.future is not None and (r.can_change or r.is_inside)}
        return unfinished, await self.pool.drain(0)

    def check_books(self) -> None:
        """On the loop, so that no timer can ring between two lines."""
        stats, futures = self.pool.stats(), self.futures()
        ended = Counter(future.outcome for future in futures if future.done())
        assert stats.balanced and self.complaints == [], self.complaints
        assert {o: getattr(stats, o.value) for o in Outcome if getattr(stats, o.value)} == ended, stats
        assert stats.running == sum(future.running() for future in futures), stats
        queue = self.pool._core.queue
        assert stats.waiting == len(queue.items) + len(queue._ranked()), stats
        assert sum(record.is_one and record.is_inside for record in self.records) <= 1
        assert stats.rejected == sum(isinstance(why, QueueFull) for why in self.refusals()), stats
        blocked = [record for record in self.records if record.submitting and not record.submitting.done()]
        assert not blocked or not self.pool._core.queue.room, blocked

    def refusals(self) -> list[BaseException]:
        done = [r.submitting for r in self.records if r.submitting and r.submitting.done()]
        errors = [submitting.exception() for submitting in done if not submitting.cancelled()]
        return [error for error in errors if error is not None]

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        for record in self.records:
            if Outcome.TIMED_OUT in record.may_end and (record.future is None or not record.future.done()):
                record.may_end.add(Outcome.SUCCEEDED)  # now that it is released
            record.released.set()
        self.do()
        for record in self.records:
            if Outcome.SUCCEEDED not in record.may_end and record.can_change and record.future is not None:
                record.future.cancel()  # or its next attempt would have to be waited for
                record.may_end.add(Outcome.CANCELLED)
        report = self.do(self.pool.drain(WAIT))
        assert report is self.do(self.pool.drain())
        for record in self.records:
            if record.future is not None:
                check_end(record, record.future)
        check_final(report.stats, self.futures())
        assert sum(group.count for group in report.errors) == report.stats.failed + report.stats.timed_out
        assert self.loop.run_until_complete(other_tasks()) == set()
        workers = self.pool._workers
        assert not workers.running and not workers.lingering and not workers.stuck
        assert not workers.attempts.lent and not workers.attempts.callers
        assert len(workers.core.queue.room) == workers.core.queue.size
        with pytest.raises(PoolClosed):
            self.do(self.pool.submit(succeed))
        self.loop.close()
        assert self.complaints == []

    def futures(self) -> list[AsyncJobFuture[Any]]:
        return [record.future for record in self.records if record.future is not None]


async def outcome_of(future: Any) -> Outcome | None:
    try:
        await future
    except (Exception, JobCancelled):
        pass
    outcome: Outcome | None = future.outcome
    return outcome


async def other_tasks() -> set[asyncio.Task[Any]]:
    await asyncio.sleep(0)
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


def check_end(record: Record, future: AsyncJobFuture[Any]) -> None:
    assert future.outcome in record.may_end, record
    if future.outcome is Outcome.SUCCEEDED:
        assert future.attempts == record.attempts and future.result() in ("done", "released")
    elif future.cancelled():
        assert future.attempts == 0
        with pytest.raises(JobCancelled):
            future.result()
    else:
        assert future.exception() is not None


TestAsyncBooks = AsyncBooks.TestCase
TestAsyncBooks.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
