"""Lanes take turns; what is in one is in order; jobs that were not to wait give way."""

from __future__ import annotations

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.states import JobState

from .lanes import STRIPE, counts, gates, in_lane, lanes_of, limit, put_in, take_all, tenant
from .steps import complete, put, record, take, worker


def test_a_lane_waits_for_one_job_of_each_other(engine: Engine) -> None:
    put_in(engine, gates(lane="a"), 30)
    me = worker(engine)
    assert lanes_of(take(engine, me, 3)) == ["a"] * 3
    put_in(engine, gates(lane="b"), 2)
    put_in(engine, gates(lane="c"), 1)
    claims = [lanes_of(take(engine, me, 1)) for _ in range(6)]
    assert claims == [["b"], ["c"], ["a"], ["b"], ["a"], ["a"]]


def test_one_claim_of_many_goes_round(engine: Engine) -> None:
    for name, count in {"a": 50, "b": 1, "c": 3}.items():
        put_in(engine, gates(lane=name), count)
    assert lanes_of(take(engine, worker(engine), 6)) in (["a", "b", "c", "a", "c", "a"], ["a", "b", "c", "a", "c", "c"])


def test_within_a_lane_priority_counts_and_then_the_order(engine: Engine) -> None:
    first, second = put_in(engine, gates(lane="a"), 2)
    [urgent] = put_in(engine, gates(lane="a"), priority=5)
    [other] = put_in(engine, gates(lane="b"))
    claims = take(engine, worker(engine), 10)
    assert [claim.id for claim in claims if claim.id != other] == [urgent, first, second]


def test_with_one_at_a_time_a_lane_is_a_sequence(engine: Engine) -> None:
    limit(engine, running=1)
    ids = put_in(engine, tenant("ann"), 5)
    me, seen = worker(engine), list[str]()
    while claims := take(engine, me):
        [claim] = claims
        seen.append(claim.id)
        engine.settle_many([complete(claim)])
    assert seen == ids


def test_a_closed_lane_holds_up_no_other(engine: Engine) -> None:
    limit(engine, running=1)
    put_in(engine, tenant("a"), 500)
    me = worker(engine)
    assert lanes_of(take_all(engine, me)) == ["a"]
    put_in(engine, tenant("b"))
    assert lanes_of(take_all(engine, me)) == ["b"]


def test_more_closed_lanes_than_one_claim_looks_at(engine: Engine) -> None:
    limit(engine, running=1)
    for name in range(120):
        put_in(engine, tenant(f"{name:03}"), 2)
    me = worker(engine)
    while counts(engine)[0] < 120:
        take(engine, me, 50)
    put_in(engine, tenant("zoe"))
    answer = engine.claim(me, ["default"], 5)
    while not answer.claims:
        assert answer.next_due is not None and answer.next_due < 0.1, "it goes on behind them soon"
        answer = engine.claim(me, ["default"], 5)
    assert lanes_of(list(answer.claims)) == ["zoe"]


def test_neither_those_in_lanes_nor_the_others_starve(engine: Engine) -> None:
    for _ in range(8):
        put(engine)
    put_in(engine, gates(lane="a"), 8)
    me = worker(engine)
    claims = [lane for _ in range(6) for lane in lanes_of(take(engine, me, 1))]
    assert 2 <= claims.count("-") <= 4, claims


def test_two_workers_share_the_lanes(engine: Engine, open_engine: object) -> None:
    other: Engine = open_engine()  # type: ignore[operator]
    for name in "abcd":
        put_in(engine, gates(lane=name), 3)
    mine, theirs = worker(engine), worker(engine)
    claims = [*take_all(engine, mine, 2), *take_all(other, theirs, 2)]
    assert sorted(lanes_of(claims)) == [name for name in "abcd" for _ in range(3)]


def test_a_job_that_is_not_to_wait_ends_as_cancelled(engine: Engine) -> None:
    limit(engine, over="discard", running=1)
    first, *others = put_in(engine, STRIPE, 3)
    me = worker(engine)
    [claim] = take_all(engine, me)
    assert claim.id == first
    assert {record(engine, job_id).state for job_id in others} == {JobState.CANCELLED}
    assert {record(engine, job_id).reason for job_id in others} == {"limit stripe was reached"}
    assert counts(engine) == (1, 0)
    engine.settle_many([complete(claim)])
    [later] = put_in(engine, STRIPE)
    assert [one.id for one in take_all(engine, me)] == [later]


def test_the_latest_replaces_those_that_wait(engine: Engine) -> None:
    limit(engine, over="replace", running=1)
    me = worker(engine)
    put_in(engine, tenant("ann"))
    [claim] = take(engine, me)
    second, third, fourth = put_in(engine, tenant("ann"), 3)
    [bobs] = put_in(engine, tenant("bob"))
    assert [one.id for one in take_all(engine, me)] == [bobs]
    states = [record(engine, job_id).state for job_id in (second, third, fourth)]
    assert states == [JobState.CANCELLED, JobState.CANCELLED, JobState.AVAILABLE]
    assert record(engine, second).reason == "limit stripe was reached, and a later job took its place"
    engine.settle_many([complete(claim)])
    assert [one.id for one in take_all(engine, me)] == [fourth]


def test_a_job_that_gets_other_arguments_moves_to_their_lane(engine: Engine) -> None:
    limit(engine, running=1)
    me = worker(engine)
    put_in(engine, tenant("ann"))
    [_] = take(engine, me)
    [job_id] = put_in(engine, tenant("ann"), unique="key")
    assert take(engine, me) == []
    [placed] = engine.put_many([in_lane(tenant("bob"), unique="key", on_taken="replace")])
    assert (placed.id, placed.enqueued) == (job_id, False)
    [claim] = take(engine, me)
    assert (claim.id, claim.turn) == (job_id, tenant("bob"))
