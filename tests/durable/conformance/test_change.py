"""Cancel, discard, retry, list, statistics, pruning."""

from __future__ import annotations

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter
from steadypool.durable.engine.states import JobState

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
from .test_leases import MANY, run_out


def key(engine: Engine, job_id: str) -> tuple[int, int]:
    found = record(engine, job_id)
    return found.number, found.nonce


def test_who_waits_is_cancelled_at_once(engine: Engine) -> None:
    for more in ({}, {"delay": 3600.0}):
        job_id = put(engine, **more)
        assert engine.cancel(*key(engine, job_id)) is (JobState.SCHEDULED if more else JobState.AVAILABLE)
        assert record(engine, job_id).state is JobState.CANCELLED
    assert take(engine, worker(engine)) == []


def test_who_runs_is_left_word_for(engine: Engine) -> None:
    job_id = put(engine)
    who = worker(engine)
    [claim] = take(engine, who)
    engine.cancel(claim.number, claim.nonce)
    assert record(engine, job_id).cancelling
    assert engine.claim(who, ["default"], 0).cancels == ((claim.number, claim.nonce),)
    engine.settle_many([cancelled(claim)])
    assert record(engine, job_id).state is JobState.CANCELLED
    assert engine.claim(who, ["default"], 0).cancels == ()


def test_who_was_to_be_cancelled_does_not_run_again(engine: Engine) -> None:
    for settle in (again, give_back):
        job_id = put(engine)
        [claim] = take(engine, worker(engine))
        engine.cancel(claim.number, claim.nonce)
        engine.settle_many([settle(claim)])
        assert record(engine, job_id).state is JobState.CANCELLED
    job_id = put(engine)
    who = worker(engine)
    [claim] = take(engine, who)
    engine.cancel(claim.number, claim.nonce)
    run_out(engine, who)
    engine.sweep(MANY)
    assert record(engine, job_id).state is JobState.CANCELLED
    assert engine.claim(worker(engine), ["default"], 0).cancels == ()


def test_who_completes_before_word_arrives_has_completed(engine: Engine) -> None:
    job_id = put(engine)
    [claim] = take(engine, worker(engine))
    engine.cancel(claim.number, claim.nonce)
    engine.settle_many([complete(claim)])
    assert record(engine, job_id).state is JobState.COMPLETED
    assert engine.cancel(claim.number, claim.nonce) is JobState.COMPLETED


def test_cancelling_by_a_chosen_id_or_a_number_alone(engine: Engine) -> None:
    put(engine, id="chosen")
    number, _ = key(engine, put(engine))
    assert engine.cancel_chosen("chosen") is JobState.AVAILABLE
    assert engine.cancel(number, None) is JobState.AVAILABLE
    assert engine.cancel_chosen("chosen") is JobState.CANCELLED and engine.cancel(number, None) is JobState.CANCELLED
    assert engine.cancel_chosen("nobody") is None and engine.cancel_chosen("caf\udce9") is None


def test_what_does_not_exist_is_said_so(engine: Engine) -> None:
    assert engine.get("job-999") is None and engine.get("nobody") is None and engine.get("job-x") is None
    assert engine.get(f"job-{10**40}") is None
    assert engine.cancel(999, 1) is None and engine.retry(999, 1) is None and engine.discard(999, 1, "") is None


def test_who_waits_can_be_discarded_and_who_runs_cannot(engine: Engine) -> None:
    waits, runs = put(engine, queue="other"), put(engine)
    [claim] = take(engine, worker(engine))
    engine.discard(*key(engine, waits), "not wanted")
    engine.discard(claim.number, claim.nonce, "not wanted")
    assert record(engine, waits).state is JobState.DISCARDED and record(engine, waits).reason == "not wanted"
    assert record(engine, runs).state is JobState.RUNNING


def test_who_was_given_up_can_run_again_from_the_start(engine: Engine) -> None:
    job_id = put(engine, id="mine", unique="k", options=b"{}", priority=2)
    who = worker(engine)
    [claim] = take(engine, who)
    engine.settle_many([give_up(claim)])
    engine.retry(claim.number, claim.nonce)
    found = record(engine, job_id)
    assert (found.state, found.attempt, found.priority) == (JobState.AVAILABLE, 0, 2)
    assert not engine.put_many([job(unique="k")])[0].enqueued
    [second] = take(engine, who)
    assert (second.attempt, second.payload, second.options) == (1, claim.payload, b"{}")
    assert second.token > claim.token
    assert engine.settle_many([complete(claim)]) == frozenset({(claim.number, claim.lease)})


def test_who_was_given_up_stays_so_if_its_key_is_taken(engine: Engine) -> None:
    job_id = put(engine, unique="k")
    [claim] = take(engine, worker(engine))
    engine.settle_many([give_up(claim)])
    put(engine, unique="k")
    found = engine.retry(claim.number, claim.nonce)
    assert found is not None and record(engine, job_id).state is JobState.DISCARDED


def test_who_is_delayed_can_run_now(engine: Engine) -> None:
    job_id = put(engine, delay=3600.0)
    engine.retry(*key(engine, job_id))
    assert [claim.id for claim in take(engine, worker(engine))] == [job_id]


def test_the_list_shows_the_latest_first_and_by_pages(engine: Engine) -> None:
    ids = [put(engine) for _ in range(5)]
    [claim] = take(engine, worker(engine), 1)
    engine.settle_many([complete(claim)])
    first = engine.list(JobFilter(limit=2))
    rest = engine.list(JobFilter(below=first[-1].number))
    assert [found.id for found in [*first, *rest]] == ids[::-1]


def test_the_list_can_be_narrowed(engine: Engine) -> None:
    put(engine, task="app.a", queue="one")
    put(engine, task="app.b", queue="two")
    late = put(engine, task="app.b", queue="one", delay=3600.0)
    [claim] = take(engine, worker(engine), queues=["two"])
    assert [found.id for found in engine.list(JobFilter(states=frozenset({JobState.SCHEDULED})))] == [late]
    assert [found.id for found in engine.list(JobFilter(states=frozenset({JobState.RUNNING})))] == [claim.id]
    assert len(engine.list(JobFilter(queue="one"))) == 2
    assert len(engine.list(JobFilter(task="app.b"))) == 2
    assert engine.list(JobFilter(states=frozenset({JobState.COMPLETED}))) == []


def test_the_statistics_count_every_job_once(engine: Engine) -> None:
    engine.put_many([job() for _ in range(6)])
    put(engine, delay=3600.0)
    put(engine, queue="other")
    who = worker(engine)
    one, two, three, _running = take(engine, who, 4)
    engine.settle_many([complete(one), give_up(two), again(three, delay=3600.0)])
    default, other = engine.stats().queues
    assert (default.name, other.name) == ("default", "other")
    assert (default.available, default.running, default.scheduled, default.retryable) == (2, 1, 1, 1)
    assert (default.completed, default.discarded, default.cancelled) == (1, 1, 0)
    assert default.oldest_available is not None and default.oldest_available >= 0
    [row] = engine.stats().workers
    assert (row.name, row.alive, row.running) == ("tester", True, 1)


def test_records_are_pruned_when_their_time_is_over(engine: Engine) -> None:
    old, kept = put(engine, keep=0.001, id="old"), put(engine, keep=3600.0)
    who = worker(engine)
    claims = take(engine, who)
    engine.settle_many([complete(claim) for claim in claims])
    until = engine.now() + 0.002
    while engine.now() <= until:
        pass
    assert engine.prune(100) == 1 and engine.prune(100) == 0
    assert engine.get(old) is None and record(engine, kept).state is JobState.COMPLETED
    assert engine.put_many([job(id="old")])[0].enqueued


def test_records_are_pruned_in_batches(engine: Engine) -> None:
    engine.put_many([job(keep=0.001) for _ in range(5)])
    who = worker(engine)
    engine.settle_many([complete(claim) for claim in take(engine, who)])
    until = engine.now() + 0.002
    while engine.now() <= until:
        pass
    assert [engine.prune(2) for _ in range(4)] == [2, 2, 1, 0]
