"""Batches: what every engine owes."""

from __future__ import annotations

import pytest

from steadypool.durable.engine.batches import BatchRow, NewBatch, batch_before, following_id
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import NewJob
from steadypool.durable.engine.states import ENDED, JobState

from .steps import QUEUES, again, complete, give_up, job, put, record, take, worker

THEN, FINALLY = NewJob("app.then", b'{"a":1}', tags=("t",), priority=3), NewJob("app.finally", b"{}", "other", keep=9.0)


def make(engine: Engine, **more: object) -> int:
    return engine.batches.make(NewBatch("a batch", THEN, FINALLY, **more))  # type: ignore[arg-type]


def row(engine: Engine, number: int) -> BatchRow:
    found = engine.batches.get(number)
    assert found is not None
    return found


def counts(engine: Engine, number: int) -> tuple[int, int, int, int]:
    found = row(engine, number)
    return found.total, found.ended, found.failed, found.cancelled


def following(engine: Engine, number: int) -> list[str]:
    """Which jobs follow by now."""
    return [which for which in ("then", "finally") if engine.get(following_id(number, which)) is not None]


def test_both_follow_when_all_have_completed(engine: Engine) -> None:
    batch = make(engine)
    ids = [one.id for one in engine.put_many([job(batch=batch), job(), job(batch=batch)])]
    who = worker(engine)
    claims = take(engine, who)
    engine.settle_many([complete(claims[0]), complete(claims[1])])
    engine.batches.seal(batch)
    assert counts(engine, batch) == (2, 1, 0, 0) and following(engine, batch) == []
    assert [engine.batches.of_job(claim.number) for claim in claims] == [batch, None, batch]
    answer = engine.claim(who, [*QUEUES, "other"], 10, [complete(claims[2])])
    assert {claim.id for claim in answer.claims} == {following_id(batch, "then"), following_id(batch, "finally")}
    found = row(engine, batch)
    assert found.finished_at is not None and found.then_at is not None and found.sealed
    then = record(engine, following_id(batch, "then"))
    assert (then.task, then.payload, then.tags, then.priority, then.queue) == (
        "app.then",
        b'{"a":1}',
        ("t",),
        3,
        "default",
    )
    assert batch_before(then.id) == batch
    assert record(engine, following_id(batch, "finally")).queue == "other"
    told = engine.batches.tend(100).finished
    assert [(one.number, one.name, one.total) for one in told] == [(batch, "a batch", 2)]
    assert engine.batches.tend(100).finished == ()
    members = engine.batches.members(batch, frozenset(JobState), 0, 10)
    assert [member.id for member in members] == [ids[0], ids[2]]
    assert engine.batches.members(batch, ENDED, members[0].number, 10) == members[1:]


def test_an_empty_one_is_followed_at_once(engine: Engine) -> None:
    batch = make(engine)
    assert following(engine, batch) == []
    engine.batches.seal(batch)
    assert following(engine, batch) == ["then", "finally"]


def test_without_jobs_that_follow(engine: Engine) -> None:
    batch = engine.batches.make(NewBatch("plain"))
    put(engine, batch=batch)
    engine.batches.seal(batch)
    engine.settle_many([complete(*take(engine, worker(engine)))])
    found = row(engine, batch)
    assert found.finished_at is not None and not found.has_then and not found.has_finally


def test_what_was_given_up_and_healed(engine: Engine) -> None:
    batch = make(engine)
    ids = [put(engine, batch=batch) for _ in range(3)]
    engine.batches.seal(batch)
    who = worker(engine)
    first, second, third = take(engine, who)
    engine.settle_many([complete(first), give_up(second), again(third)])
    assert counts(engine, batch) == (3, 2, 1, 0) and following(engine, batch) == []
    [third] = take(engine, who)
    engine.settle_many([give_up(third)])
    assert counts(engine, batch) == (3, 3, 2, 0) and following(engine, batch) == ["finally"]
    failed = engine.batches.members(batch, {JobState.DISCARDED}, 0, 10)
    assert [one.id for one in failed] == ids[1:]
    assert [one.errors for one in failed] == [record(engine, job_id).errors for job_id in ids[1:]] and failed[0].errors
    for job_id in ids[1:]:
        found = record(engine, job_id)
        engine.retry(found.number, found.nonce)
        [claim] = take(engine, who)
        assert following(engine, batch) == ["finally"]
        engine.settle_many([complete(claim)])
        engine.batches.tend(100)
    assert counts(engine, batch) == (3, 3, 0, 0) and following(engine, batch) == ["then", "finally"]


def test_a_member_that_is_lost_too_often_has_failed(engine: Engine) -> None:
    batch = make(engine)
    put(engine, batch=batch)
    engine.batches.seal(batch)
    take(engine, worker(engine, 0.0))
    engine.sweep(1)
    engine.batches.tend(100)
    assert counts(engine, batch) == (1, 1, 1, 0) and following(engine, batch) == ["finally"]


def test_a_member_that_adds_others(engine: Engine) -> None:
    batch = make(engine)
    put(engine, batch=batch)
    engine.batches.seal(batch)
    who = worker(engine)
    [claim] = take(engine, who)
    engine.put_many([job(batch=batch)] * 100)
    engine.settle_many([complete(claim)])
    assert counts(engine, batch) == (101, 1, 0, 0) and following(engine, batch) == []
    engine.settle_many([complete(one) for one in take(engine, who, 100)])
    assert following(engine, batch) == ["then", "finally"]


def test_cancelling(engine: Engine) -> None:
    batch = make(engine)
    first = put(engine, batch=batch)
    waits = put(engine, batch=batch, after=(first,))
    later = put(engine, batch=batch, delay=60.0)
    who = worker(engine)
    [claim] = take(engine, who)
    assert engine.batches.cancel(batch, seal=True)
    assert not engine.batches.tend(100).more
    assert engine.claim(who, QUEUES, 0).cancels == ((claim.number, claim.nonce),)
    assert {record(engine, one).reason for one in (waits, later)} == {"its batch was cancelled"}
    assert counts(engine, batch) == (3, 2, 0, 2) and following(engine, batch) == []
    engine.settle_many([again(claim)])
    assert record(engine, first).state is JobState.CANCELLED
    engine.batches.tend(100)
    assert counts(engine, batch) == (3, 3, 0, 3) and following(engine, batch) == ["finally"]
    assert not engine.batches.cancel(batch, seal=True) and not engine.batches.cancel(12345, seal=True)


def test_one_that_was_never_sealed_is_not_followed(engine: Engine) -> None:
    batch = make(engine)
    put(engine, batch=batch)
    engine.settle_many([complete(*take(engine, worker(engine)))])
    engine.batches.tend(100)
    assert row(engine, batch).finished_at is None
    assert engine.batches.cancel(batch, seal=False)
    late = put(engine, batch=batch)
    engine.batches.tend(100)
    engine.batches.tend(100)
    assert record(engine, late).state is JobState.CANCELLED
    assert row(engine, batch).finished_at is not None and following(engine, batch) == []


def test_the_rest_is_cancelled_on_the_first_failure(engine: Engine) -> None:
    batch = make(engine, on_failure="cancel_rest")
    ids = [put(engine, batch=batch) for _ in range(3)]
    engine.batches.seal(batch)
    who = worker(engine)
    engine.settle_many([give_up(*take(engine, who, 1))])
    engine.batches.tend(100)
    assert [record(engine, one).state.value for one in ids] == ["discarded", "cancelled", "cancelled"]
    assert following(engine, batch) == ["finally"]


def test_a_child_counts_as_one_member(engine: Engine) -> None:
    batch = make(engine)
    child = make(engine, parent=batch)
    engine.batches.seal(batch)
    put(engine, batch=child)
    engine.batches.seal(child)
    who = worker(engine)
    assert counts(engine, batch) == (1, 0, 0, 0)
    [claim] = take(engine, who)
    engine.settle_many([give_up(claim)])
    assert counts(engine, batch) == (1, 1, 1, 0) and following(engine, batch) == ["finally"]
    engine.retry(claim.number, claim.nonce)
    engine.batches.tend(100)
    assert counts(engine, batch) == (1, 0, 0, 0)
    engine.settle_many([complete(one) for one in take(engine, who) if one.number == claim.number])
    engine.batches.tend(100)
    assert counts(engine, batch) == (1, 1, 0, 0) and following(engine, batch) == ["then", "finally"]
    assert following(engine, child) == ["then", "finally"]


def test_a_child_is_cancelled_with_its_parent(engine: Engine) -> None:
    batch = make(engine)
    child, empty = make(engine, parent=batch), make(engine, parent=batch)
    member = put(engine, batch=child)
    engine.batches.seal(child)
    engine.batches.cancel(batch, seal=True)
    for _ in range(3):
        engine.batches.tend(100)
    assert record(engine, member).state is JobState.CANCELLED
    assert following(engine, child) == ["finally"] and following(engine, empty) == []
    assert counts(engine, batch) == (2, 2, 0, 2) and following(engine, batch) == ["finally"]


@pytest.mark.parametrize("taken", ["id", "unique"])
def test_what_is_not_put_is_no_member(engine: Engine, taken: str) -> None:
    put(engine, **{taken: "a"})
    batch = make(engine)
    engine.put_many([job(batch=batch, **{taken: "a"}), job(batch=batch)])  # type: ignore[arg-type]
    assert counts(engine, batch)[0] == 1


def test_records_of_members_stay_while_it_is_open(engine: Engine) -> None:
    batch = make(engine)
    first = put(engine, batch=batch, keep=0.001)
    other = put(engine, keep=0.001)
    put(engine, batch=batch, delay=60.0)
    engine.settle_many([complete(one, b"1") for one in take(engine, worker(engine))])
    while engine.get(other) is not None:
        engine.prune(100)
    assert record(engine, first).result == b"1"


def test_a_list(engine: Engine) -> None:
    numbers = [make(engine) for _ in range(3)]
    page = engine.batches.page(2)
    assert [one.number for one in page] == numbers[:0:-1]
    rest = engine.batches.page(2, (page[-1].made_at, page[-1].number))
    assert [one.number for one in rest] == numbers[:1]
    assert page[0].id == f"batch-{numbers[2]}"
