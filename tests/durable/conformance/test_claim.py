"""Claims, settlements, and the fence between them."""

from __future__ import annotations

import threading

import pytest

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import LOOKED_PAST, Claim, Reconciled, Verdict
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


def test_a_claimed_job_runs_and_nobody_else_gets_it(engine: Engine) -> None:
    job_id = put(engine)
    who = worker(engine)
    [claim] = take(engine, who)
    found = record(engine, job_id)
    assert found.state is JobState.RUNNING and found.attempt == 1 and found.worker == "tester"
    assert claim.id == job_id
    assert take(engine, worker(engine)) == []


def test_a_claim_takes_no_more_than_its_limit(engine: Engine) -> None:
    engine.put_many([job() for _ in range(5)])
    who = worker(engine)
    answer = engine.claim(who, ["default"], 3)
    assert len(answer.claims) == 3 and answer.more
    answer = engine.claim(who, ["default"], 3)
    assert len(answer.claims) == 2 and not answer.more
    assert engine.claim(who, ["default"], 0).claims == ()


def test_queues_are_claimed_from_in_order(engine: Engine) -> None:
    for name in ("slow", "fast", "other"):
        put(engine, queue=name)
    claims = take(engine, worker(engine), queues=["fast", "slow"])
    assert [claim.queue for claim in claims] == ["fast", "slow"]


def test_a_paused_queue_is_left_out_until_it_is_resumed(engine: Engine) -> None:
    put(engine, queue="mail")
    engine.pause("mail", True)
    who = worker(engine)
    assert take(engine, who, queues=["mail"]) == []
    [stats] = engine.stats().queues
    assert stats.paused and stats.available == 1
    engine.pause("mail", False)
    assert len(take(engine, who, queues=["mail"])) == 1


def test_who_is_not_registered_claims_nothing_but_settles(engine: Engine) -> None:
    job_id = put(engine)
    [claim] = take(engine, worker(engine))
    put(engine)
    answer = engine.claim(999, ["default"], 10, [complete(claim)])
    assert answer.claims == () and answer.refused == frozenset()
    assert record(engine, job_id).state is JobState.COMPLETED


def test_a_completed_job_keeps_its_result_and_not_its_arguments(engine: Engine) -> None:
    job_id = put(engine)
    [claim] = take(engine, worker(engine))
    assert engine.settle_many([complete(claim, b'{"x":1}')]) == frozenset()
    found = record(engine, job_id)
    assert (found.state, found.result, found.payload, found.attempt) == (JobState.COMPLETED, b'{"x":1}', None, 1)
    assert found.ended_at is not None and abs(found.ended_at - engine.now()) < 60


def test_settling_and_claiming_is_one_call(engine: Engine) -> None:
    first, second = put(engine), put(engine)
    who = worker(engine)
    [claim] = take(engine, who, 1)
    answer = engine.claim(who, ["default"], 1, [complete(claim)], [claim.lease])
    assert [one.id for one in answer.claims] == [second]
    assert record(engine, first).state is JobState.COMPLETED


def test_a_retry_spends_the_attempt_and_records_the_error(engine: Engine) -> None:
    job_id = put(engine)
    who = worker(engine)
    [claim] = take(engine, who)
    engine.settle_many([again(claim, delay=3600.0)])
    found = record(engine, job_id)
    assert found.state is JobState.RETRYABLE and found.attempt == 1 and found.due_at is not None
    [error] = found.errors
    assert (error.attempt, error.outcome, error.message) == (1, "failed", "no") and error.at > 0
    assert take(engine, who) == []


def test_a_retry_without_delay_runs_at_once_as_the_next_attempt(engine: Engine) -> None:
    put(engine)
    who = worker(engine)
    [claim] = take(engine, who)
    engine.settle_many([again(claim, crashed=True)])
    [second] = take(engine, who)
    assert (second.attempt, second.token, second.crashes, second.losses) == (2, 2, 1, 0)


def test_a_return_gives_the_attempt_back_and_the_token_still_grows(engine: Engine) -> None:
    job_id = put(engine)
    who = worker(engine)
    [claim] = take(engine, who)
    engine.settle_many([give_back(claim)])
    found = record(engine, job_id)
    assert (found.state, found.attempt, found.errors) == (JobState.AVAILABLE, 0, ())
    [second] = take(engine, who)
    assert (second.attempt, second.token) == (1, 2)


def test_a_return_may_come_with_a_delay(engine: Engine) -> None:
    job_id = put(engine)
    engine.settle_many([give_back(take(engine, worker(engine))[0], delay=3600.0)])
    assert record(engine, job_id).state is JobState.SCHEDULED


def test_a_discarded_job_says_why_and_keeps_its_arguments(engine: Engine) -> None:
    job_id = put(engine, keep=0.0)
    engine.settle_many([give_up(take(engine, worker(engine))[0], "bad luck")])
    found = record(engine, job_id)
    assert (found.state, found.reason, found.payload) == (JobState.DISCARDED, "bad luck", b'{"a":[1]}')
    assert len(found.errors) == 1


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_settlement_holds_once(engine: Engine, verdict: Verdict) -> None:
    put(engine)
    [claim] = take(engine, worker(engine))
    settlement = _settlement(claim, verdict)
    late = frozenset({(claim.number, claim.lease)})
    assert engine.settle_many([settlement]) == frozenset()
    assert engine.settle_many([settlement]) == late
    assert engine.settle_many([complete(claim)]) == late


def _settlement(claim: Claim, verdict: Verdict) -> object:
    return {
        Verdict.COMPLETE: complete,
        Verdict.RETRY: again,
        Verdict.DISCARD: give_up,
        Verdict.CANCEL: cancelled,
        Verdict.RETURN: give_back,
    }[verdict](claim)


def test_the_same_settlement_twice_in_one_call_holds_once(engine: Engine) -> None:
    put(engine)
    [claim] = take(engine, worker(engine))
    assert engine.settle_many([again(claim), complete(claim)]) == frozenset({(claim.number, claim.lease)})


def test_a_refused_settlement_does_not_keep_the_others_from_holding(engine: Engine) -> None:
    first, second = put(engine), put(engine)
    one, two = take(engine, worker(engine))
    engine.settle_many([complete(one)])
    assert engine.settle_many([complete(one), complete(two)]) == frozenset({(one.number, one.lease)})
    assert record(engine, first).state is record(engine, second).state is JobState.COMPLETED


def test_a_claim_that_came_back_is_fenced_off_from_the_next_one(engine: Engine) -> None:
    job_id = put(engine)
    who = worker(engine)
    [old] = take(engine, who)
    engine.settle_many([give_back(old)])
    [new] = take(engine, who)
    assert engine.settle_many([complete(old)]) == frozenset({(old.number, old.lease)})
    assert record(engine, job_id).state is JobState.RUNNING
    assert engine.settle_many([complete(new)]) == frozenset()


def test_two_claimers_share_the_jobs_and_none_is_given_twice(open_engine: object) -> None:
    first = open_engine()  # type: ignore[operator]
    first.put_many([job() for _ in range(400)])
    seen: list[int] = []

    def run(engine: Engine) -> None:
        who = worker(engine)
        while claims := take(engine, who, 7):
            seen.extend(claim.number for claim in claims)
            engine.settle_many([complete(claim) for claim in claims])

    threads = [threading.Thread(target=run, args=(open_engine(),)) for _ in range(3)]  # type: ignore[operator]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == len(set(seen)) == 400


def test_an_answer_that_was_lost_is_put_back(engine: Engine) -> None:
    engine.put_many([job() for _ in range(4)])
    who = worker(engine)
    known = take(engine, who, 2)
    lost = take(engine, who, 2)
    assert engine.reconcile(who, [(claim.lease, claim.number) for claim in known]) == Reconciled(2)
    assert {claim.number for claim in take(engine, who)} == {claim.number for claim in lost}
    assert engine.settle_many([complete(claim) for claim in known]) == frozenset()
    assert engine.settle_many([complete(lost[0])]) == frozenset({(lost[0].number, lost[0].lease)})


def test_finished_work_leaves_nothing_behind_in_the_hot_tables(engine: Engine) -> None:
    engine.put_many([job(keep=0.0) for _ in range(5)])
    who = worker(engine)
    claims = take(engine, who)
    engine.claim(who, ["default"], 0, [complete(claim) for claim in claims], [claims[0].lease])
    engine.leave(who)
    stats = engine.stats()
    assert stats.queues == () and stats.workers == ()


def test_a_claim_is_bounded_by_bytes_and_brings_one_job_at_least(engine: Engine) -> None:
    sizes = (1000, 1000, 1000, 5000, 10, 10)
    for size in sizes:
        engine.put_many([job(payload=b"x" * size)])
    who = worker(engine)
    taken = []
    while True:
        answer = engine.claim(who, ["default"], 10, most_bytes=2500)
        taken.append([len(claim.payload) for claim in answer.claims])
        if not answer.claims:
            break
        assert answer.more or taken[-1][-1] == 10
    assert [size for sizes in taken for size in sizes] == list(sizes), "in their order"
    assert taken[0] == [1000, 1000, 1000] and all(sum(sizes[:-1]) < 2 * 2500 for sizes in taken)


def test_bytes_are_counted_over_all_queues_of_a_claim(engine: Engine) -> None:
    for queue in ("a", "b"):
        engine.put_many([job(queue=queue, payload=b"x" * 2000)])
    answer = engine.claim(worker(engine), ["a", "b"], 10, most_bytes=2000)
    assert answer.claims[0].queue == "a" and (answer.more or len(answer.claims) == 2)


def test_a_worker_learns_what_was_settled_though_it_had_no_answer(engine: Engine) -> None:
    engine.put_many([job(keep=0.0) for _ in range(3)])
    who = worker(engine)
    one, two, three = take(engine, who)
    engine.settle_many([complete(one), again(two)])
    known = [(claim.lease, claim.number) for claim in (one, two, three)]
    assert engine.reconcile(who, known) == Reconciled(0, frozenset(), frozenset(known[:2]))


def test_a_claim_leaves_jobs_of_some_tasks_to_others(engine: Engine) -> None:
    names = ["long", "short", "long", "other", "short"]
    placed = engine.put_many([job(name) for name in names])
    put(engine, task="short", queue="mail", delay=0.0)
    who = worker(engine)
    claims = engine.claim_except(who, ["default", "mail"], 10, ["long"])
    assert [(claim.task, claim.queue) for claim in claims] == [
        ("short", "default"), ("other", "default"), ("short", "default"), ("short", "mail"),
    ]  # fmt: skip
    assert len({claim.lease for claim in claims}) == 1 and all(claim.attempt == 1 for claim in claims)
    assert engine.claim_except(who, ["default", "mail"], 10, ["long"]) == ()
    assert [claim.id for claim in take(engine, who)] == [placed[0].id, placed[2].id]
    assert not engine.settle_many([complete(claim) for claim in claims])


def test_such_a_claim_keeps_to_its_limits(engine: Engine) -> None:
    engine.put_many([job("long"), *(job("short", b"x" * 1000) for _ in range(6))])
    who = worker(engine)
    assert len(engine.claim_except(who, ["default"], 2, ["long"])) == 2
    assert len(engine.claim_except(who, ["default"], 10, ["long"], 1500)) == 2
    engine.pause("default", True)
    assert engine.claim_except(who, ["default"], 10, ["long"]) == ()
    engine.pause("default", False)
    assert engine.claim_except(0, ["default"], 10, ["long"]) == (), "no worker of that number"
    assert len(engine.claim_except(who, ["default"], 10, ["none"])) == 3


def test_such_a_claim_looks_past_so_many_and_takes_what_is_due(engine: Engine) -> None:
    engine.put_many([job("long") for _ in range(LOOKED_PAST)])
    put(engine, task="short")
    put(engine, task="soon", priority=1, at=engine.now() - 1.0)
    who = worker(engine)
    [claim] = engine.claim_except(who, ["default"], 10, ["long"])
    assert claim.task == "soon"
    take(engine, who, 1)
    assert [claim.task for claim in engine.claim_except(who, ["default"], 10, ["long"])] == ["short"]


def test_workers_that_claim_others_at_the_same_time_share_them(engine: Engine) -> None:
    engine.put_many([job("long" if number % 2 else "short") for number in range(100)])
    numbers: list[int] = []

    def claim_some(who: int) -> None:
        while claims := engine.claim_except(who, ["default"], 3, ["long"]):
            numbers.extend(claim.number for claim in claims)

    threads = [threading.Thread(target=claim_some, args=(worker(engine),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers) == len(set(numbers)) == 50
