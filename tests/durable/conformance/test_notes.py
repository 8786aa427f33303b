"""What jobs save for their next run: it stays while the job comes back, goes with its end, and is its claim's alone."""

from __future__ import annotations

import pytest

from steadypool.durable.engine.notes import MOST_BYTES, Note
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import Claim, JobFilter, Settlement
from steadypool.durable.engine.states import JobState

from .steps import again, cancelled, complete, give_back, give_up, put, record, take, worker

MANY = 1000


def note_of(claim: Claim, state: bytes, saves: int = 1) -> Note:
    return Note(claim.number, claim.token, claim.lease, saves, state)


def saved(engine: Engine, claim: Claim, state: bytes, saves: int = 1) -> bool:
    """Whether the claim could save that."""
    refused = engine.notes.save([note_of(claim, state, saves)])
    assert refused <= {(claim.number, claim.lease)}
    return not refused


def test_what_a_running_job_saves_is_shown(engine: Engine) -> None:
    one, other = put(engine), put(engine)
    first, second = take(engine, worker(engine))
    assert record(engine, one).checkpoint is None and engine.notes.read([first.number]) == {}
    assert engine.notes.save([note_of(first, b'{"at": 1}'), note_of(second, b"x" * MOST_BYTES)]) == frozenset()
    assert engine.notes.read([first.number, second.number, 99]) == {
        first.number: b'{"at": 1}',
        second.number: b"x" * MOST_BYTES,
    }
    found = record(engine, one)
    assert found.checkpoint == b'{"at": 1}' and found.saved_at is not None
    assert abs(found.saved_at - engine.now()) < 3600
    assert [job.checkpoint for job in engine.list(JobFilter())] == [None, None]
    assert record(engine, other).checkpoint == b"x" * MOST_BYTES


def test_a_note_gives_way_to_a_later_one_alone(engine: Engine) -> None:
    put(engine)
    who = worker(engine)
    [claim] = take(engine, who)
    for saves, state, kept in ((2, b"2", b"2"), (1, b"1", b"2"), (2, b"other", b"2"), (10, b"10", b"10")):
        assert saved(engine, claim, state, saves)
        assert engine.notes.read([claim.number]) == {claim.number: kept}
    engine.settle_many([give_back(claim)])
    [claim] = take(engine, who)
    assert saved(engine, claim, b"next run", 1)
    assert engine.notes.read([claim.number]) == {claim.number: b"next run"}


@pytest.mark.parametrize("settle", [again, give_back])
def test_what_comes_back_keeps_its_note_and_is_settled_with_a_later_one(engine: Engine, settle: object) -> None:
    job_id = put(engine)
    who = worker(engine)
    [claim] = take(engine, who)
    assert saved(engine, claim, b"1")
    back: Settlement = settle(claim)  # type: ignore[operator]
    assert engine.settle_many([back._replace(note=note_of(claim, b"2", 2))]) == frozenset()
    assert record(engine, job_id).checkpoint == b"2"
    [claim] = take(engine, who)
    assert engine.notes.read([claim.number]) == {claim.number: b"2"}
    back = settle(claim, 3600.0)  # type: ignore[operator]
    engine.settle_many([back])
    assert record(engine, job_id).checkpoint == b"2", "that run has saved nothing"


@pytest.mark.parametrize("end", [complete, give_up, cancelled])
def test_a_note_goes_with_the_end_of_its_job(engine: Engine, end: object) -> None:
    job_id = put(engine)
    [claim] = take(engine, worker(engine))
    assert saved(engine, claim, b"1")
    assert engine.settle_many([end(claim)]) == frozenset()  # type: ignore[operator]
    assert engine.notes.read([claim.number]) == {} and record(engine, job_id).checkpoint is None
    assert not saved(engine, claim, b"2", 2) and engine.notes.read([claim.number]) == {}


@pytest.mark.parametrize("how", ["cancel", "discard"])
def test_it_goes_with_a_job_that_is_ended_while_it_waits(engine: Engine, how: str) -> None:
    put(engine)
    [claim] = take(engine, worker(engine))
    engine.settle_many([again(claim)._replace(note=note_of(claim, b"1"))])
    assert engine.notes.read([claim.number]) == {claim.number: b"1"}
    if how == "cancel":
        engine.cancel(claim.number, claim.nonce)
    else:
        engine.discard(claim.number, claim.nonce, "by hand")
        assert engine.retry(claim.number, claim.nonce) is not None, "then it runs from the beginning"
    assert engine.notes.read([claim.number]) == {}


def test_a_job_that_is_to_be_cancelled_does_not_come_back_with_a_note(engine: Engine) -> None:
    job_id = put(engine)
    [claim] = take(engine, worker(engine))
    engine.cancel(claim.number, claim.nonce)
    engine.settle_many([give_back(claim)._replace(note=note_of(claim, b"1"))])
    assert record(engine, job_id).state is JobState.CANCELLED and engine.notes.read([claim.number]) == {}


def test_who_has_lost_the_job_saves_nothing(engine: Engine) -> None:
    put(engine)
    who, other = worker(engine), worker(engine)
    [lost] = take(engine, who)
    assert saved(engine, lost, b"1")
    assert engine.renew(who, -1.0) and engine.sweep(MANY).returned == 1
    assert engine.notes.read([lost.number]) == {lost.number: b"1"}, "the next run begins with it"
    assert not saved(engine, lost, b"2", 2)
    [claim] = take(engine, other)
    assert saved(engine, claim, b"3")
    assert not saved(engine, lost, b"4", 4)
    assert not saved(engine, claim._replace(lease=lost.lease), b"5", 5), "under a lease that is no more"
    assert engine.settle_many([give_back(lost)._replace(note=note_of(lost, b"6", 6))])
    assert engine.notes.read([claim.number]) == {claim.number: b"3"}


def test_of_many_notes_those_that_hold_are_kept(engine: Engine) -> None:
    for _ in range(3):
        put(engine)
    claims = take(engine, worker(engine))
    engine.settle_many([complete(claims[1])])
    refused = engine.notes.save([note_of(claim, b"1") for claim in reversed(claims)])
    assert refused == {(claims[1].number, claims[1].lease)}
    assert engine.notes.read([claim.number for claim in claims]) == {c.number: b"1" for c in (claims[0], claims[2])}
