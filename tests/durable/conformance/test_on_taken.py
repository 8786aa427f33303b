"""A unique key that is taken: kept, replaced, pushed back; and one more that waits while one runs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import BEHIND, EnqueueResult, JobFilter, NewJob
from steadypool.durable.engine.states import WAITING, JobState

from .steps import again, complete, give_up, put, record, take, worker

REPLACE = NewJob("app.work", b'{"a":1}', unique="k", on_taken="replace")
PUSH = REPLACE._replace(on_taken="push_back", delay=60.0, at_most=100.0)


def place(engine: Engine, job: NewJob, payload: bytes = b'{"a":1}', **more: object) -> EnqueueResult:
    [placed] = engine.put_many([job._replace(payload=payload, **more)])
    return placed


def test_replace_gives_the_job_that_waits_the_later_arguments(engine: Engine) -> None:
    who = worker(engine)
    first = place(engine, REPLACE, delay=0.0)
    second = place(engine, REPLACE, b'{"a":2}', options=b'{"timeout":1}', tags=("x",), keep=5.0)
    assert first.enqueued and not second.enqueued and second[:3] == first[:3]
    [claim] = take(engine, who)
    assert (claim.payload, claim.options) == (b'{"a":2}', b'{"timeout":1}')
    assert record(engine, first.id).tags == ("x",)
    assert len(engine.list(JobFilter())) == 1


def test_keep_leaves_it_as_it_is(engine: Engine) -> None:
    first = place(engine, REPLACE)
    kept = place(engine, REPLACE, b'{"a":2}', on_taken="keep")
    assert not kept.enqueued and kept.id == first.id
    assert record(engine, first.id).payload == b'{"a":1}'


def test_one_more_waits_while_one_runs(engine: Engine) -> None:
    who = worker(engine)
    first = place(engine, REPLACE)
    [running] = take(engine, who)
    second = place(engine, REPLACE, b'{"a":2}')
    third = place(engine, REPLACE, b'{"a":3}', id="other")
    assert second.enqueued and second.id != first.id and not third.enqueued and third.id == second.id
    waits = record(engine, second.id)
    assert (waits.state, waits.reason, waits.due_at) == (JobState.SCHEDULED, BEHIND, None)
    assert take(engine, who) == []
    assert not place(engine, REPLACE, on_taken="keep").enqueued
    engine.settle_many([complete(running)])
    [claim] = take(engine, who)
    assert (claim.id, claim.payload) == (second.id, b'{"a":3}')
    fourth = place(engine, REPLACE)  # the key is the second's now
    assert fourth.enqueued and record(engine, fourth.id).reason == BEHIND
    engine.settle_many([give_up(claim)])
    [claim] = take(engine, who)
    engine.settle_many([complete(claim)])
    assert place(engine, REPLACE).enqueued and len(take(engine, who)) == 1


def test_one_that_is_retried_keeps_its_key_and_the_other_goes_on_waiting(engine: Engine) -> None:
    who = worker(engine)
    first = place(engine, REPLACE)
    [claim] = take(engine, who)
    second = place(engine, REPLACE, b'{"a":2}')
    engine.settle_many([again(claim)])
    assert place(engine, REPLACE, b'{"a":4}').id == second.id
    [claim] = take(engine, who)
    assert claim.id == first.id
    engine.settle_many([complete(claim)])
    [claim] = take(engine, who)
    assert (claim.id, claim.payload) == (second.id, b'{"a":4}')


@pytest.mark.parametrize("way", ["cancel", "discard", "retry"])
def test_one_that_waits_behind_may_be_changed_by_hand(engine: Engine, way: str) -> None:
    who = worker(engine)
    place(engine, REPLACE)
    [claim] = take(engine, who)
    behind = place(engine, REPLACE, b'{"a":2}')
    engine.change_many(way, [(behind.number, behind.nonce)], "no")  # type: ignore[arg-type]
    later = place(engine, REPLACE, b'{"a":3}')
    assert later.enqueued
    claims = take(engine, who)
    assert [one.id for one in claims] == ([behind.id] if way == "retry" else [])
    engine.settle_many([complete(one) for one in (claim, *claims)])
    assert [one.id for one in take(engine, who)] == [later.id]


def test_push_back_moves_the_time_up_to_the_cap(engine: Engine) -> None:
    first = place(engine, PUSH)
    began = record(engine, first.id)
    assert began.due_at == pytest.approx(began.enqueued_at + 60, abs=1)
    assert place(engine, PUSH, b'{"a":2}', delay=80.0).id == first.id
    assert record(engine, first.id).due_at == pytest.approx(began.enqueued_at + 80, abs=5)
    place(engine, PUSH, b'{"a":3}', delay=3600.0, at_most=100.0)
    pushed = record(engine, first.id)
    assert pushed.due_at == pytest.approx(began.enqueued_at + 100, abs=0.01)
    assert pushed.payload == b'{"a":3}' and pushed.state is JobState.SCHEDULED


def test_push_back_of_one_that_could_run_already(engine: Engine) -> None:
    first = place(engine, PUSH, delay=0.0)
    assert record(engine, first.id).state is JobState.AVAILABLE
    place(engine, PUSH)
    assert record(engine, first.id).state is JobState.SCHEDULED
    assert take(engine, worker(engine)) == []


def test_push_back_behind_one_that_runs_waits_for_both(engine: Engine) -> None:
    who = worker(engine)
    place(engine, PUSH, delay=0.0)
    [claim] = take(engine, who)
    behind = place(engine, PUSH)
    place(engine, PUSH, b'{"a":2}', delay=70.0)
    engine.settle_many([complete(claim)])
    waits = record(engine, behind.id)
    assert (waits.state, waits.payload, waits.reason) == (JobState.SCHEDULED, b'{"a":2}', "")
    assert waits.due_at == pytest.approx(waits.enqueued_at + 70, abs=5)


def test_many_in_one_call(engine: Engine) -> None:
    jobs = [REPLACE._replace(payload=b'{"a":%d}' % number, unique=f"k{number % 2}") for number in range(6)]
    placed = engine.put_many([*jobs, NewJob("app.work", b"{}", id="plain")])
    assert [one.enqueued for one in placed] == [True, True, False, False, False, False, True]
    assert {claim.payload for claim in take(engine, worker(engine))} == {b'{"a":4}', b'{"a":5}', b"{}"}


def test_an_id_that_is_taken_is_no_key(engine: Engine) -> None:
    put(engine, id="mine", payload=b'{"a":0}')
    placed = place(engine, REPLACE, id="mine")
    assert not placed.enqueued and record(engine, "mine").payload == b'{"a":0}'
    assert place(engine, REPLACE).enqueued  # and the key is still free


def test_a_key_that_is_held_for_a_period_by_a_job_that_has_ended(engine: Engine) -> None:
    who = worker(engine)
    first = place(engine, REPLACE, on_taken="keep", unique_for=60.0)
    engine.settle_many([complete(claim) for claim in take(engine, who)])
    again_ = place(engine, REPLACE)
    assert not again_.enqueued and again_.id == first.id


def test_no_change_is_missed_while_workers_claim_and_settle(engine: Engine, open_engine: object) -> None:
    """Puts and claims race: after the last put a job runs that has its arguments, and nothing is left."""
    other: Engine = open_engine()  # type: ignore[operator]
    puts, seen, over = 60, [-1], threading.Event()

    def work() -> None:
        who = worker(other)
        while not over.is_set() or other.list(JobFilter(WAITING)):
            claims = take(other, who)
            seen.extend(int(claim.payload[5:-1]) for claim in claims)
            other.settle_many([complete(claim) for claim in claims])
            other.prune(10)

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work)
        try:
            for number in range(puts):
                place(engine, REPLACE, b'{"a":%d}' % number)
        finally:
            over.set()
        working.result(60)
    assert max(seen) == puts - 1 and not engine.list(JobFilter(WAITING))
    if engine.url.startswith("sqlite"):  # where one transaction writes at a time, no two ever wait
        assert seen == sorted(seen)
