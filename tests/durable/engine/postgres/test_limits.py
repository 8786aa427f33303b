"""Limits on PostgreSQL alone: transactions that stay open, and claims at the same time."""

from __future__ import annotations

import threading

import psycopg

from steadypool import Limit, Queue
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.records import Settlement, Verdict
from tests.durable.conformance.lanes import STRIPE, gates, limit, put_in, take_all, tenant
from tests.durable.conformance.steps import take, worker


def test_a_transaction_that_stays_open_holds_up_neither_puts_nor_claims_of_its_lane(address: str) -> None:
    queue = Queue(address, app="shop")
    sync = queue.task(name="sync", limit=Limit("tenants", running=50, by="tenant"), lane="tenant")(lambda tenant: None)
    engine = open_engine(address)
    limit(engine, "tenants", running=50)
    me = worker(engine)
    # What waited for the transaction would fail: it stays open until after that.
    with psycopg.connect(address) as connection:
        for _ in range(10):
            sync.enqueue(42, connection=connection)
        for _ in range(3):
            sync.enqueue(42)
            [claim] = take(engine, me)
            engine.settle_many([Settlement(claim, Verdict.COMPLETE)])
        connection.commit()
    assert len(take_all(engine, me)) == 10
    engine.close()
    queue.close()


def test_claims_at_the_same_time_let_no_more_start_than_may(address: str) -> None:
    """Four workers, each with an engine of its own: after every claim no more have a place than there are."""
    engine = open_engine(address)
    limit(engine, running=3)
    for name in "abc":
        put_in(engine, tenant(name), 40)
    seen: list[int] = []
    errors: list[BaseException] = []

    def work() -> None:
        own = open_engine(address)
        me = worker(own)
        try:
            while own.stats().queues[0].available:
                claims = take(own, me, 4)
                with psycopg.connect(address) as connection:
                    found = connection.execute("SELECT count(*) FROM steadypool.holders GROUP BY key").fetchall()
                seen.extend(count for (count,) in found)
                own.settle_many([Settlement(claim, Verdict.COMPLETE) for claim in claims])
        except BaseException as error:
            errors.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and max(seen) <= 3
    assert {(count.running, count.waiting) for count in engine.limits.counts()} == {(0, 0)}
    engine.close()


def test_a_gate_that_another_claim_has_is_passed_over_and_looked_at_soon(address: str) -> None:
    engine = open_engine(address)
    limit(engine, running=9)
    put_in(engine, STRIPE, 2)
    put_in(engine, gates(lane="free"))
    me = worker(engine)
    with psycopg.connect(address) as connection:  # as a claim does that has not committed yet
        key = "steadypool.stripe\x1f"
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
        answer = engine.claim(me, ["default"], 5)
        assert [claim.turn for claim in answer.claims] == [gates(lane="free")]
        assert answer.next_due is not None and answer.next_due < 0.1
    assert len(take(engine, me)) == 2
    engine.close()
