"""Whatever is done to a pool, in whatever order: the books balance after every step and agree with every future."""

from __future__ import annotations

import threading
from concurrent.futures import wait
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from steadypool import JobFuture, Limit, Outcome, PoolClosed, QueueFull, Retry, ThreadPool, current_job, task
from steadypool.primitives.gates import GATES
from tests.patience import WAIT
from tests.races.books import check_final


@dataclass(eq=False)
class Record:
    """One accepted job, and how it may end."""

    may_end: set[Outcome]
    future: JobFuture[Any] | None = None
    attempts: int = 1
    is_one: bool = False
    """Whether no other job that is one may run beside it."""
    is_inside: bool = False
    started: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def hang(self) -> str:
        """Run until released; then see whether that was because it was asked to stop."""
        self.is_inside = True
        self.started.set()
        assert self.released.wait(WAIT)
        self.is_inside = False
        current_job().raise_if_cancelled()
        return "released"


def succeed() -> str:
    return "done"


def fail() -> None:
    raise LookupError("as told")


@task(retry=Retry(3, on=OSError, backoff=0.0))
def recover() -> str:
    if current_job().attempt < 3:
        raise OSError("not yet")
    return "done"


def wait_until_told() -> None:
    current_job().sleep(WAIT)
    current_job().raise_if_cancelled()


SUCCEEDED, FAILED, TIMED_OUT = {Outcome.SUCCEEDED}, {Outcome.FAILED}, {Outcome.TIMED_OUT}
ONE, TWO = Limit("machine-one", running=1), Limit("machine-two", running=2)
priorities = st.sampled_from([0, 0, 1, -1])
limits = st.sampled_from([None, None, ONE, (ONE, TWO), TWO])


class Books(RuleBasedStateMachine):
    """A small pool, so that everything is soon full."""

    jobs = Bundle("jobs")
    hanging = Bundle("hanging")

    @initialize(workers=st.integers(1, 3), room=st.integers(1, 4))
    def open(self, workers: int, room: int) -> None:
        self.pool = ThreadPool(workers, queue_size=room, on_full="reject", cancel_grace=WAIT)
        self.records: list[Record] = []
        self.rejected = 0
        self.closed = False

    def submit(self, record: Record, fn: Any) -> Record:
        """The record comes back either way: what Hypothesis chooses from must not depend on how fast workers are."""
        try:
            record.future = self.pool.submit(fn)
        except QueueFull:
            assert not self.closed
            self.rejected += 1
        except PoolClosed:
            assert self.closed
        else:
            assert not self.closed
            self.records.append(record)
        return record

    @rule(target=jobs, priority=priorities, limit=limits)
    def submit_success(self, priority: int, limit: Any) -> Record:
        return self.submit(Record(set(SUCCEEDED)), task(succeed, priority=priority, limit=limit))

    @rule(target=jobs, priority=priorities, limit=limits)
    def submit_failure(self, priority: int, limit: Any) -> Record:
        return self.submit(Record(set(FAILED)), task(fail, priority=priority, limit=limit))

    @rule(target=jobs, priority=priorities, limit=limits)
    def submit_retry(self, priority: int, limit: Any) -> Record:
        return self.submit(Record(set(SUCCEEDED), attempts=3), recover.options(priority=priority, limit=limit))

    @rule(target=hanging, priority=priorities, limit=limits)
    def submit_hanging(self, priority: int, limit: Any) -> Record:
        record = Record(set(SUCCEEDED), is_one=limit not in (None, TWO))
        return self.submit(record, task(record.hang, priority=priority, limit=limit))

    @rule(target=jobs)
    def submit_that_times_out(self) -> Record:
        """It does as soon as there is a worker for it."""
        return self.submit(Record(set(TIMED_OUT)), task(wait_until_told, timeout=0.001))

    @rule()
    def expire(self) -> None:
        """Its time is up whether there is a worker for it or not."""
        record = Record(set(TIMED_OUT))
        self.submit(record, task(wait_until_told, total_timeout=0.001))
        if record.future is not None:
            assert not wait([record.future], WAIT).not_done

    @rule(record=consumes(hanging))
    def release(self, record: Record) -> None:
        record.released.set()

    @rule(record=consumes(hanging))
    def release_and_wait(self, record: Record) -> None:
        """If it has started, it is over now."""
        started = record.started.is_set()
        record.released.set()
        if started and record.future is not None:
            assert not wait([record.future], WAIT).not_done

    @rule(record=jobs)
    def cancel(self, record: Record) -> None:
        if record.future is not None and record.future.cancel():
            record.may_end = {Outcome.CANCELLED} if not self.closed else record.may_end
            assert record.future.done() and record.future.outcome in record.may_end

    @rule(record=hanging)
    def cancel_hanging_in_queue(self, record: Record) -> None:
        if record.future is None:
            return
        started = record.started.is_set()
        if record.future.cancel() and record.future.outcome is Outcome.CANCELLED:
            assert not started and record.future.cancelled()
            record.may_end = {Outcome.CANCELLED}

    @rule(record=consumes(hanging))
    def cancel_hanging_while_it_runs(self, record: Record) -> None:
        if record.future is not None and record.future.cancel(running=True) and not self.closed:
            record.may_end = {Outcome.CANCELLED}
        record.released.set()

    @rule(workers=st.integers(1, 4))
    def resize(self, workers: int) -> None:
        if self.closed:
            return
        self.pool.resize(workers)
        assert self.pool.stats().max_workers == workers

    @rule()
    def drain_at_once(self) -> None:
        """No time for anybody: what waits goes back, what runs is asked to stop."""
        self.pool.request_drain(0)
        for record in self.records:
            record.may_end |= {Outcome.RETURNED, Outcome.INTERRUPTED}
            if record.attempts > 1:
                record.may_end.add(Outcome.FAILED)  # an attempt that fails just now has no other after it
            record.released.set()
        report = self.pool.drain()
        self.closed = True
        assert not report.stuck
        check_final(report.stats, self.futures())

    @invariant()
    def books_balance(self) -> None:
        if not hasattr(self, "pool"):
            return
        done = sum(future.done() for future in self.futures())
        stats = self.pool.stats()
        assert stats.balanced and stats.waiting >= 0, stats
        assert stats.accepted == len(self.records), stats
        assert stats.rejected == self.rejected, stats
        assert stats.ended >= done, "a job is counted before its future is done"
        assert stats.stuck == 0, stats
        assert sum(record.is_one and record.is_inside for record in self.records) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        for record in self.records:
            record.released.set()
        report = self.pool.drain(timeout=WAIT)
        assert report is self.pool.drain()
        for record in self.records:
            assert record.future is not None and record.future.outcome in record.may_end, record
            if record.future.outcome is Outcome.SUCCEEDED:
                assert record.future.attempts == record.attempts
            elif not record.future.cancelled():
                assert record.future.exception() is not None
        check_final(report.stats, self.futures())
        check_final(self.pool.stats(), self.futures())
        assert sum(group.count for group in report.errors) == report.stats.failed + report.stats.timed_out
        assert [gate for gate in GATES._known if gate.name.startswith("machine-")] == []
        with pytest.raises(PoolClosed):
            self.pool.submit(succeed)

    def futures(self) -> list[JobFuture[Any]]:
        return [record.future for record in self.records if record.future is not None]


TestBooks = Books.TestCase
TestBooks.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
