"""Leases: renewed, run out, swept; and who comes too late."""

from __future__ import annotations

from os import sched_yield

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import SweepResult
from steadypool.durable.engine.states import JobState

from .steps import complete, job, put, record, take, worker

MANY = 1000


def run_out(engine: Engine, who: int) -> None:
    """Have the worker's leases run out now."""
    assert engine.renew(who, 0.0)
    now = engine.now()
    while engine.now() <= now:
        sched_yield()


def test_nobody_is_swept_while_the_lease_holds(engine: Engine) -> None:
    put(engine)
    take(engine, worker(engine))
    assert engine.sweep(MANY) == SweepResult()


def test_what_a_gone_worker_held_runs_again(engine: Engine) -> None:
    job_id = put(engine)
    who = worker(engine)
    [claim] = take(engine, who)
    run_out(engine, who)
    assert engine.sweep(MANY) == SweepResult(("tester",), 1, 0)
    found = record(engine, job_id)
    assert (found.state, found.attempt, found.losses) == (JobState.AVAILABLE, 1, 1)
    assert [error.outcome for error in found.errors] == ["lost"]
    [second] = take(engine, worker(engine))
    assert (second.attempt, second.token, second.losses) == (2, 2, 1)
    assert engine.settle_many([complete(claim)]) == frozenset({(claim.number, claim.lease)})
    assert engine.settle_many([complete(second)]) == frozenset()


def test_a_swept_worker_learns_of_it_and_claims_nothing(engine: Engine) -> None:
    who = worker(engine)
    run_out(engine, who)
    engine.sweep(MANY)
    put(engine)
    assert not engine.renew(who, 60.0)
    assert take(engine, who) == []


def test_a_renewal_in_time_saves_the_leases(engine: Engine) -> None:
    put(engine)
    who = worker(engine, 0.0)
    take(engine, who)
    assert engine.renew(who, 60.0)
    assert engine.sweep(MANY) == SweepResult()


def test_a_sweep_leaves_alone_what_was_settled(engine: Engine) -> None:
    engine.put_many([job() for _ in range(3)])
    who = worker(engine)
    one, two, three = take(engine, who)
    engine.settle_many([complete(one)])
    run_out(engine, who)
    assert engine.sweep(MANY).returned == 2
    assert {claim.number for claim in take(engine, worker(engine))} == {two.number, three.number}


def test_a_sweep_leaves_alone_what_another_claims_by_now(engine: Engine) -> None:
    from .steps import give_back

    put(engine)
    first, second = worker(engine), worker(engine)
    [claim] = take(engine, first)
    engine.settle_many([give_back(claim)])
    [newer] = take(engine, second)
    run_out(engine, first)
    assert engine.sweep(MANY).returned == 0
    assert engine.settle_many([complete(newer)]) == frozenset()


def test_a_job_that_is_lost_too_often_is_discarded(engine: Engine) -> None:
    job_id = put(engine, unique="k")
    for losses in (1, 2, 3):
        who = worker(engine)
        take(engine, who)
        run_out(engine, who)
        swept = engine.sweep(3)
        assert (swept.returned, swept.discarded) == ((1, 0) if losses < 3 else (0, 1))
    found = record(engine, job_id)
    assert found.state is JobState.DISCARDED and found.losses == 3 and "3 times" in found.reason
    assert engine.put_many([job(unique="k")])[0].enqueued


def test_a_worker_that_leaves_with_nothing_is_forgotten(engine: Engine) -> None:
    who = worker(engine)
    engine.leave(who)
    assert engine.stats().workers == ()
    assert not engine.renew(who, 60.0)


def test_a_worker_that_leaves_with_something_leaves_its_lease(engine: Engine) -> None:
    put(engine)
    who = worker(engine)
    take(engine, who)
    engine.leave(who)
    [row] = engine.stats().workers
    assert row.alive and row.running == 1


def test_a_worker_s_number_is_never_given_again(engine: Engine) -> None:
    who = worker(engine)
    engine.leave(who)
    assert worker(engine) != who
