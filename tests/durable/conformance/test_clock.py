"""The engine's clock, moved as tests do: everything is due by it, and leases are not."""

from __future__ import annotations

import pytest

from steadypool.durable.engine.figures import Ended
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter
from steadypool.durable.engine.states import JobState
from steadypool.testing import EngineKind

from .steps import QUEUES, again, complete, job, put, record, take, worker

HOUR = 3600.0


@pytest.fixture(autouse=True)
def _by_the_owner(engine_kind: EngineKind) -> None:
    if not engine_kind.is_owner:
        pytest.skip("the clock is moved by the owner of the tables")


def test_it_goes_ahead_for_all_who_use_the_store(engine: Engine, open_engine: object) -> None:
    other: Engine = open_engine()  # type: ignore[operator]
    before = engine.now()
    other.now()
    engine.move_clock(HOUR)
    engine.move_clock(HOUR)
    assert 2 * HOUR <= other.now() - before < 2 * HOUR + 60
    engine.move_clock(-2 * HOUR)
    assert -60 < other.now() - before < 60


def test_what_is_delayed_becomes_available(engine: Engine) -> None:
    delayed = put(engine, delay=HOUR)
    me = worker(engine)
    assert take(engine, me) == [] and record(engine, delayed).state is JobState.SCHEDULED
    engine.move_clock(HOUR)
    assert record(engine, delayed).state is JobState.AVAILABLE
    assert [found.id for found in engine.list(JobFilter({JobState.AVAILABLE}))] == [delayed]
    assert [queue.available for queue in engine.stats().queues] == [1]
    assert [depth.available for depth in engine.depths(QUEUES)] == [1]
    [claim] = take(engine, me)
    engine.settle_many([again(claim, HOUR)])
    assert take(engine, me) == [] and record(engine, delayed).state is JobState.RETRYABLE
    engine.move_clock(HOUR)
    [claim] = take(engine, me)
    found = record(engine, delayed)
    assert found.started_at is not None and abs(found.started_at - engine.now()) < 60
    engine.settle_many([complete(claim)])
    found = record(engine, delayed)
    assert found.ended_at is not None and abs(found.ended_at - engine.now()) < 60
    assert abs(found.errors[0].at - (engine.now() - HOUR)) < 60


def test_records_keys_and_total_times_end_by_it(engine: Engine) -> None:
    ended = put(engine, keep=HOUR)
    me = worker(engine)
    engine.settle_many([complete(claim) for claim in take(engine, me)])
    put(engine, unique="k", unique_for=2 * HOUR)
    put(engine, total_timeout=HOUR)
    engine.move_clock(HOUR + 60)
    assert engine.prune(100) == 1 and engine.get(ended) is None
    [first, second] = take(engine, me)
    assert first.expires_in is None and second.expires_in is not None and second.expires_in < 0
    [placed] = engine.put_many([job(unique="k", unique_for=HOUR)])
    assert not placed.enqueued
    engine.move_clock(HOUR)
    [placed] = engine.put_many([job(unique="k", unique_for=HOUR)])
    assert placed.enqueued


def test_a_lease_goes_by_the_true_time(engine: Engine) -> None:
    put(engine)
    me = worker(engine)
    assert len(take(engine, me)) == 1
    engine.move_clock(100 * HOUR)
    assert engine.sweep(3).workers == () and engine.renew(me, 60.0)
    assert [row.alive for row in engine.workers()] == [True]


def test_old_minutes_are_pruned(engine: Engine) -> None:
    engine.figures.add([Ended("default", "a", 1)])
    engine.move_clock(47 * HOUR)
    engine.prune(100)
    assert engine.figures.by_minute(50 * HOUR)
    engine.move_clock(2 * HOUR)
    engine.prune(100)
    assert engine.figures.by_minute(50 * HOUR) == []
