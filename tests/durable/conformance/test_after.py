"""Jobs that wait for others: what every engine owes."""

from __future__ import annotations

import pytest

from steadypool import UnknownJob
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter, NewJob, Settlement
from steadypool.durable.engine.states import JobState

from .steps import (
    QUEUES,
    again,
    cancelled,
    complete,
    give_up,
    job,
    put,
    record,
    take,
    worker,
)


def settle(engine: Engine, *settlements: Settlement) -> None:
    assert engine.settle_many(settlements) == frozenset()


def states(engine: Engine, *ids: str) -> list[str]:
    return [record(engine, job_id).state.value for job_id in ids]


def tend(engine: Engine) -> list[tuple[str, str, str]]:
    """What was cancelled, for what, and how that ended."""
    return [(one.id, one.needed, one.state.value) for one in engine.links.tend(1000).unmet]


def test_it_waits_and_runs_when_the_other_has_completed(engine: Engine) -> None:
    first = put(engine)
    second = put(engine, after=(first,))
    assert states(engine, first, second) == ["available", "waiting"]
    who = worker(engine)
    [claim] = take(engine, who)
    assert claim.id == first
    answer = engine.claim(who, QUEUES, 10, [complete(claim)])
    assert [one.id for one in answer.claims] == [second]
    assert record(engine, second).attempt == 1


def test_for_all_of_several(engine: Engine) -> None:
    before = [put(engine) for _ in range(3)]
    last = put(engine, after=(*before, before[0]))
    who = worker(engine)
    claims = take(engine, who)
    for claim in claims[:2]:
        settle(engine, complete(claim))
        assert states(engine, last) == ["waiting"]
    settle(engine, complete(claims[2], b'"c"'))
    assert states(engine, last) == ["available"]


@pytest.mark.parametrize("tends", [False, True])
def test_an_attempt_that_fails_is_no_end(engine: Engine, tends: bool) -> None:
    first = put(engine)
    second = put(engine, after=(first,))
    if tends:
        tend(engine)
    who = worker(engine)
    [claim] = take(engine, who)
    settle(engine, again(claim))
    assert states(engine, first, second) == ["available", "waiting"]
    [claim] = take(engine, who)
    settle(engine, complete(claim))
    assert states(engine, first, second) == ["completed", "available"]


def test_one_that_has_ended_before(engine: Engine) -> None:
    first = put(engine)
    settle(engine, complete(*take(engine, worker(engine))))
    assert states(engine, put(engine, after=(first,))) == ["available"]


@pytest.mark.parametrize("tends", [False, True])
def test_what_needs_the_success_of_one_that_is_given_up_is_cancelled(engine: Engine, tends: bool) -> None:
    first = put(engine)
    second = put(engine, after=(first,))
    third = put(engine, after=(second,))
    whatever = put(engine, after=(first,), needs="end")
    last = put(engine, after=(third,), needs="end")
    if tends:
        assert tend(engine) == []
    [claim] = take(engine, worker(engine))
    settle(engine, give_up(claim))
    assert states(engine, whatever) == ["available"]
    assert tend(engine) == [(second, first, "discarded"), (third, second, "cancelled")]
    assert states(engine, second, third, last) == ["cancelled", "cancelled", "available"]
    assert record(engine, second).reason == f"needed {first}, which was discarded"
    assert record(engine, third).reason == f"needed {second}, which was cancelled"
    assert tend(engine) == []


@pytest.mark.parametrize("how", ["cancel", "discard", "running"])
def test_one_that_was_given_up_by_hand(engine: Engine, how: str) -> None:
    first = put(engine)
    second, third = put(engine, after=(first,)), put(engine, after=(first,), needs="end")
    found = record(engine, first)
    if how == "discard":
        engine.discard(found.number, found.nonce, "no use")
    elif how == "cancel":
        engine.cancel(found.number, found.nonce)
    else:
        settle(engine, cancelled(*take(engine, worker(engine))))
    state = "discarded" if how == "discard" else "cancelled"
    assert tend(engine) == [(second, first, state)]
    assert states(engine, second, third) == ["cancelled", "available"]


def test_one_that_was_given_up_before(engine: Engine) -> None:
    first = put(engine)
    settle(engine, give_up(*take(engine, worker(engine))))
    second, third = put(engine, after=(first,)), put(engine, after=(first,), needs="end")
    assert states(engine, second, third) == ["waiting", "available"]
    assert tend(engine) == [(second, first, "discarded")]


def test_one_that_is_lost_too_often(engine: Engine) -> None:
    first = put(engine)
    second = put(engine, after=(first,))
    take(engine, worker(engine, 0.0))
    assert engine.sweep(1).discarded == 1
    assert tend(engine) == [(second, first, "discarded")]


def test_it_can_be_cancelled_and_discarded_while_it_waits(engine: Engine) -> None:
    first = put(engine)
    second, third = (record(engine, put(engine, after=(first,))) for _ in range(2))
    assert engine.cancel(second.number, second.nonce) is JobState.WAITING
    found = engine.discard(third.number, third.nonce, "no use")
    assert found is not None and found.state is JobState.WAITING
    settle(engine, complete(*take(engine, worker(engine))))
    assert states(engine, second.id, third.id) == ["cancelled", "discarded"]
    assert tend(engine) == []


def test_a_delay_counts_from_the_enqueue(engine: Engine) -> None:
    first = put(engine)
    later, now = put(engine, after=(first,), delay=60.0), put(engine, after=(first,), delay=0.001)
    assert record(engine, later).due_at == pytest.approx(engine.now() + 60, abs=30)
    settle(engine, complete(*take(engine, worker(engine))))
    assert states(engine, later, now) == ["scheduled", "available"]


def test_by_its_place_in_the_same_call_and_by_a_chosen_id(engine: Engine) -> None:
    placed = engine.put_many([job(id="a"), job(after=(-1,)), job(after=(-1, "a"))])
    ids = [one.id for one in placed]
    who = worker(engine)
    for turn in range(3):
        assert states(engine, *ids[turn:]) == ["available", "waiting", "waiting"][: 3 - turn]
        settle(engine, complete(*take(engine, who)))
    assert tend(engine) == []


@pytest.mark.parametrize("before", ["nothing", "job-77", "job-1-0123456789"])
def test_one_that_is_not_there(engine: Engine, before: str) -> None:
    put(engine)
    with pytest.raises(UnknownJob, match=before):
        engine.put_many([job(id="b"), job(after=(before,))])
    assert engine.get("b") is None


def test_a_retry_by_hand_brings_back_what_was_cancelled(engine: Engine) -> None:
    first = put(engine)
    second = put(engine, after=(first,))
    third = put(engine, after=(second,))
    who = worker(engine)
    settle(engine, give_up(*take(engine, who)))
    assert len(tend(engine)) == 2
    its = record(engine, second)
    refused = engine.retry(its.number, its.nonce)
    assert refused is not None and states(engine, second) == ["cancelled"], "what it needs is still given up"
    found = record(engine, first)
    engine.retry(found.number, found.nonce)
    assert tend(engine) == []
    assert states(engine, first, second, third) == ["available", "waiting", "waiting"]
    for _ in range(3):
        settle(engine, complete(*take(engine, who)))
    assert states(engine, first, second, third) == ["completed"] * 3


def test_a_retry_of_many_takes_those_first_that_others_need(engine: Engine) -> None:
    first = put(engine)
    second = put(engine, after=(first,))
    settle(engine, give_up(*take(engine, worker(engine))))
    tend(engine)
    keys = [(found.number, found.nonce) for found in (record(engine, second), record(engine, first))]
    changes = engine.change_many("retry", keys)
    assert {change.number: change.changed for change in changes}[keys[1][0]]
    assert JobState.CANCELLED not in {change.was for change in changes}
    assert states(engine, first, second) == ["available", "waiting"]


def test_one_of_the_same_call_whose_key_is_taken(engine: Engine) -> None:
    one, two = engine.put_many([job(unique="k"), job(unique="k")])
    last = put(engine, after=(two.id,))
    assert [link.number for link in engine.links.before(record(engine, last).number, 9)] == [one.number]


def test_it_comes_back_when_all_that_it_needs_runs_again(engine: Engine) -> None:
    first, other = put(engine), put(engine)
    last = put(engine, after=(first, other))
    who = worker(engine)
    settle(engine, *(give_up(claim) for claim in take(engine, who)))
    assert [one[0] for one in tend(engine)] == [last]
    for number, job_id in enumerate((first, other)):
        found = record(engine, job_id)
        engine.retry(found.number, found.nonce)
        tend(engine)
        assert states(engine, last) == [["cancelled", "waiting"][number]]
    settle(engine, *(complete(claim) for claim in take(engine, who)))
    tend(engine)
    assert states(engine, last) == ["available"]


def test_one_that_is_retried_waits_again(engine: Engine) -> None:
    first = put(engine)
    second = record(engine, put(engine, after=(first,)))
    engine.cancel(second.number, second.nonce)
    engine.retry(second.number, second.nonce)
    assert states(engine, second.id) == ["waiting"]
    settle(engine, complete(*take(engine, worker(engine))))
    tend(engine)
    assert states(engine, second.id) == ["available"]


def test_the_records_of_what_it_waits_for_are_kept(engine: Engine) -> None:
    placed = engine.put_many([job(keep=0.0, id="a"), job(after=(-1,), keep=0.0)])
    later = put(engine, keep=0.0)
    second = put(engine, after=("a", later), keep=0.0)
    tend(engine)
    who = worker(engine)
    first, other = take(engine, who)
    settle(engine, complete(first, b'"one"'))
    settle(engine, complete(other, b'"two"'))
    engine.prune(1000)
    number = record(engine, second).number
    assert [(one.id, one.result) for one in engine.links.inputs(number)] == [("a", b'"one"'), (later, b'"two"')]
    assert [link.state for link in engine.links.before(number, 1)] == ["met"]
    settle(engine, *(complete(claim) for claim in take(engine, who)))
    assert engine.get(placed[1].id) is None and engine.get(second) is None
    assert engine.links.inputs(number) == []


def test_what_failed_is_an_input_with_its_errors(engine: Engine) -> None:
    first = put(engine)
    number = record(engine, put(engine, after=(first,), needs="end")).number
    settle(engine, give_up(*take(engine, worker(engine))))
    [found] = engine.links.inputs(number)
    assert (found.state, found.reason, [error.message for error in found.errors]) == (
        "discarded",
        "no retry left",
        ["no"],
    )


def test_it_is_counted_and_listed(engine: Engine) -> None:
    first = put(engine)
    ids = {put(engine, after=(first,)) for _ in range(3)}
    [row] = engine.stats().queues
    assert (row.available, row.waiting, row.running) == (1, 3, 0)
    [depth] = engine.depths(QUEUES)
    assert (depth.available, depth.waiting, depth.running, depth.scheduled) == (1, 3, 0, 0)
    found = engine.list(JobFilter(frozenset({JobState.WAITING})))
    assert {one.id for one in found} == ids and {one.state for one in found} == {JobState.WAITING}


def test_many_wait_for_one(engine: Engine) -> None:
    first = put(engine)
    for _ in range(6):
        engine.put_many([job(after=(first,))] * 1000)
    settle(engine, complete(*take(engine, worker(engine))))
    for _ in range(20):
        if not engine.links.tend(1000).more and engine.stats().queues[0].waiting == 0:
            break
    [row] = engine.stats().queues
    assert (row.available, row.waiting) == (6000, 0)


def test_it_waits_for_many(engine: Engine) -> None:
    ids = [one.id for one in engine.put_many([NewJob("app.work", b"{}")] * 3000)]
    last = put(engine, after=tuple(ids))
    while engine.links.tend(1000).more:
        pass
    who = worker(engine)
    assert states(engine, last) == ["waiting"]
    claims = take(engine, who, 3000)
    for start in range(0, 3000, 1000):
        assert states(engine, last) == ["waiting"]
        settle(engine, *(complete(claim) for claim in claims[start : start + 1000]))
    assert states(engine, last) == ["available"]
