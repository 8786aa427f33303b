"""A store that has gone back in time: a replica took over that lacks the last commits, or a backup was put back."""

from __future__ import annotations

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import Claim, JobFilter, Reconciled
from steadypool.durable.engine.states import JobState
from steadypool.testing import EngineKind

from .steps import (
    again,
    cancelled,
    complete,
    give_back,
    give_up,
    job,
    put,
    record,
    take,
    worker,
)

QUEUES = ["default"]


def known(*claims: Claim) -> list[tuple[int, int]]:
    return [(claim.lease, claim.number) for claim in claims]


def claim_one(engine: Engine, who: int | None = None) -> Claim:
    """Of another worker. An engine that remembers how far it has claimed looks before that within a second."""
    who = worker(engine) if who is None else who
    for _ in range(100):
        if claims := take(engine, who):
            [claim] = claims
            return claim
        engine.listener("work").wait(0.1)
    raise AssertionError("there is nothing to claim")


def test_no_settlement_of_a_lost_claim_touches_the_new_job_of_its_number(
    engine: Engine, engine_kind: EngineKind, url: str
) -> None:
    old = worker(engine)
    for settle in (complete, again, give_up, give_back, cancelled):
        with engine_kind.remember(url) as go_back:
            put(engine)
            [claim] = take(engine, old)
            go_back()
        new_id = put(engine)
        newer = claim_one(engine)
        assert (newer.number, newer.token) == (claim.number, claim.token), "this is not what is tried here"
        assert newer.nonce != claim.nonce and newer.lease != claim.lease and newer.id == new_id != claim.id
        assert newer.fencing_token != claim.fencing_token
        assert engine.settle_many([settle(claim)]) == frozenset({(claim.number, claim.lease)})
        assert engine.claim(old, QUEUES, 0, [settle(claim)], [claim.lease]).refused == {(claim.number, claim.lease)}
        assert record(engine, new_id).state is JobState.RUNNING
        both = [settle(claim), complete(newer)]
        assert engine.settle_many(both) == frozenset({(claim.number, claim.lease)})
        assert record(engine, new_id).state is JobState.COMPLETED


def test_a_job_whose_claim_was_lost_is_there_to_be_claimed_and_its_old_claim_is_refused(
    engine: Engine, engine_kind: EngineKind, url: str
) -> None:
    old = worker(engine)
    job_id = put(engine)
    with engine_kind.remember(url) as go_back:
        [claim] = take(engine, old)
        go_back()
    for settle in (again, give_back, complete):
        assert engine.settle_many([settle(claim)]) == frozenset({(claim.number, claim.lease)})
    newer = claim_one(engine)
    assert newer.id == job_id
    assert engine.settle_many([complete(claim), complete(newer)]) == frozenset({(claim.number, claim.lease)})
    [row] = engine.stats().queues
    assert (row.available, row.running, row.completed) == (0, 0, 1)


def test_a_worker_that_was_lost_is_not_renewed_though_another_has_come(
    engine: Engine, engine_kind: EngineKind, url: str
) -> None:
    with engine_kind.remember(url) as go_back:
        old = worker(engine)
        go_back()
    new = worker(engine)
    assert not engine.renew(old, 60.0) and engine.renew(new, 60.0)
    put(engine)
    assert take(engine, old) == [] and len(take(engine, new)) == 1


def test_what_a_worker_had_settled_comes_back(engine: Engine, engine_kind: EngineKind, url: str) -> None:
    """Its settlement was lost, and the store says that a live worker runs it, which knows nothing of it."""
    engine.put_many([job() for _ in range(4)])
    who = worker(engine)
    one, two = take(engine, who, 2)
    three, four = take(engine, who, 2)
    with engine_kind.remember(url) as go_back:
        engine.claim(who, QUEUES, 0, [complete(one), complete(two), complete(three)], [one.lease])
        go_back()
    assert engine.stats().queues[0].running == 4
    assert engine.reconcile(who, known(four)) == Reconciled(3)
    assert engine.reconcile(who, known(four)) == Reconciled(0)
    assert {claim.number for claim in take(engine, worker(engine))} == {one.number, two.number, three.number}
    assert engine.settle_many([complete(four)]) == frozenset()


def test_a_lease_that_is_dropped_gives_back_what_is_out_under_it(
    engine: Engine, engine_kind: EngineKind, url: str
) -> None:
    engine.put_many([job() for _ in range(2)])
    who = worker(engine)
    one, two = take(engine, who)
    with engine_kind.remember(url) as go_back:
        engine.settle_many([complete(one)])
        go_back()
    assert engine.claim(who, QUEUES, 0, [complete(two)], [two.lease]).refused == frozenset()
    newer = claim_one(engine)
    assert (newer.id, newer.attempt, newer.token) == (one.id, 1, 2)


def test_reconciling_tells_which_leases_are_lost(engine: Engine, engine_kind: EngineKind, url: str) -> None:
    engine.put_many([job() for _ in range(2)])
    who = worker(engine)
    [kept] = take(engine, who, 1)
    with engine_kind.remember(url) as go_back:
        [lost] = take(engine, who, 1)
        go_back()
    assert engine.reconcile(who, known(kept, lost)) == Reconciled(0, frozenset({lost.lease}))
    assert claim_one(engine, who).number == lost.number


def test_no_id_and_no_change_reaches_the_new_job_of_a_number(engine: Engine, engine_kind: EngineKind, url: str) -> None:
    with engine_kind.remember(url) as go_back:
        [old] = engine.put_many([job()])
        go_back()
    [new] = engine.put_many([job(delay=3600.0)])
    assert new.number == old.number and new.id != old.id
    assert engine.get(old.id) is None
    key = (old.number, old.nonce)
    assert engine.cancel(*key) is None and engine.discard(*key, "no") is None and engine.retry(*key) is None
    assert record(engine, new.id).state is JobState.SCHEDULED
    assert record(engine, f"job-{new.number}").id == new.id  # as people type it
    engine.cancel(new.number, new.nonce)
    assert engine.cancel(*key) is None and engine.discard(*key, "no") is None and engine.retry(*key) is None
    assert record(engine, new.id).state is JobState.CANCELLED


def test_word_of_a_cancel_names_the_job_and_not_its_number_alone(
    engine: Engine, engine_kind: EngineKind, url: str
) -> None:
    who = worker(engine)
    with engine_kind.remember(url) as go_back:
        put(engine)
        [old] = take(engine, who)
        go_back()
    put(engine)
    new = claim_one(engine)
    engine.cancel(new.number, new.nonce)
    assert engine.claim(who, QUEUES, 0).cancels == ((new.number, new.nonce),)
    assert new.nonce != old.nonce


def test_lower_numbers_are_claimed_though_higher_ones_were(engine: Engine, engine_kind: EngineKind, url: str) -> None:
    with engine_kind.remember(url) as go_back:
        engine.put_many([job() for _ in range(500)])
        who = worker(engine)
        engine.settle_many([complete(claim) for claim in take(engine, who, 500)])
        go_back()
    engine.put_many([job() for _ in range(200)] + [job(delay=0.001) for _ in range(20)])
    who = worker(engine)
    found: set[int] = set()
    for _ in range(1000):
        claims = take(engine, who, 5)
        found.update(claim.number for claim in claims)
        if len(found) == 220:
            break
        if not claims:
            engine.listener("work").wait(0.2)
    assert len(found) == 220 == len(engine.list(JobFilter(limit=1000)))
