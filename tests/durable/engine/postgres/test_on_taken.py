"""A transaction that stays open and has put over a taken key holds up no worker, and what it put is not missed."""

from __future__ import annotations

import psycopg

from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.records import NewJob
from steadypool.durable.engine.states import JobState
from tests.durable.conformance.steps import complete, take, worker

JOB = NewJob("app.work", b'{"a":1}', unique="k", on_taken="replace")


def test_a_job_that_waits_and_is_replaced(address: str) -> None:
    engine = open_engine(address)
    who = worker(engine)
    [first] = engine.put_many([JOB])
    [other] = engine.put_many([NewJob("app.work", b"{}")])
    with psycopg.connect(address) as connection:
        [placed] = engine.put_on(connection, [JOB._replace(payload=b'{"a":2}')])
        assert placed.id == first.id and not placed.enqueued
        claims = take(engine, who)  # passes it over
        assert [claim.id for claim in claims] == [other.id]
        engine.settle_many([complete(claim) for claim in claims])
        changed = engine.change_many("cancel", [(first.number, first.nonce)])
        assert [(one.was, one.changed) for one in changed] == [(JobState.AVAILABLE, False)]
    while not (claims := take(engine, who)):
        pass  # it lies before what was claimed last: there a claim looks once a second
    assert [claim.payload for claim in claims] == [b'{"a":2}']
    engine.close()


def test_one_that_is_to_wait_behind_another_which_ends_before_the_commit(address: str) -> None:
    engine = open_engine(address)
    who = worker(engine)
    engine.put_many([JOB])
    [running] = take(engine, who)
    with psycopg.connect(address) as connection:
        [placed] = engine.put_on(connection, [JOB._replace(payload=b'{"a":2}')])
        assert placed.enqueued
        assert not engine.settle_many([complete(running)])  # it does not wait
        engine.prune(10)
    assert take(engine, who) == []
    engine.prune(10)  # as each worker does every few seconds
    [claim] = take(engine, who)
    assert claim.id == placed.id
    [later] = engine.put_many([JOB])
    assert later.enqueued  # behind that one: it has the key
    assert take(engine, who) == []
    engine.settle_many([complete(claim)])
    assert [claim.id for claim in take(engine, who)] == [later.id]
    engine.close()
