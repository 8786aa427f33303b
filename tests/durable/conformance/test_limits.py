"""Limits: how many run at one time; a place is held exactly as long as the claim."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from steadypool.durable.engine.limits import NewLimit
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import Claim, JobFilter, Settlement, Verdict
from steadypool.durable.engine.states import JobState
from steadypool.rules.limits import Allowance

from .lanes import (
    SECONDS,
    STRIPE,
    counts,
    gates,
    in_lane,
    lanes_of,
    limit,
    put_in,
    take_all,
    tenant,
)
from .steps import again, cancelled, complete, give_back, give_up, put, record, take, worker
from .test_leases import run_out


def test_no_more_run_than_may(engine: Engine) -> None:
    limit(engine, running=2)
    put_in(engine, STRIPE, 5)
    me, other = worker(engine), worker(engine)
    first = take(engine, me) + take(engine, other)
    assert len(first) == 2 and counts(engine) == (2, 3)
    assert take(engine, me) == take(engine, other) == []
    engine.settle_many([complete(first[0])])
    assert len(take(engine, other)) == 1 and take(engine, me) == []


def test_those_that_have_no_limit_go_by(engine: Engine) -> None:
    limit(engine, running=1)
    put_in(engine, STRIPE, 3)
    for _ in range(3):
        put(engine)
    assert sorted(lanes_of(take(engine, worker(engine)))) == ["", "-", "-", "-"]


def test_one_claim_settles_and_takes_the_place(engine: Engine) -> None:
    limit(engine, running=1)
    put_in(engine, STRIPE, 3)
    me = worker(engine)
    [claim] = take(engine, me)
    for _ in range(2):
        answer = engine.claim(me, ["default"], 5, [complete(claim)], [claim.lease])
        [claim] = answer.claims
    assert counts(engine) == (1, 0)


@pytest.mark.parametrize("end", [complete, again, give_up, give_back, cancelled], ids=lambda end: end.__name__)
def test_a_settlement_gives_the_place_back(engine: Engine, end: Callable[[Claim], Settlement]) -> None:
    limit(engine, running=1)
    put_in(engine, STRIPE, 2)
    me = worker(engine)
    [claim] = take(engine, me)
    assert engine.settle_many([end(claim)]) == frozenset()
    assert counts(engine)[0] == 0
    assert engine.settle_many([end(claim)]) == {(claim.number, claim.lease)}, "and not twice"
    assert len(take(engine, me)) == 1 and counts(engine)[0] == 1


@pytest.mark.parametrize("end", [complete, give_up, cancelled], ids=lambda end: end.__name__)
def test_a_job_that_has_ended_says_which_limits_it_had(engine: Engine, end: Callable[[Claim], Settlement]) -> None:
    [job_id] = put_in(engine, tenant("ann"))
    [claim] = take(engine, worker(engine))
    engine.settle_many([end(claim)])
    assert record(engine, job_id).turn == tenant("ann")
    assert [found.turn for found in engine.list(JobFilter())] == [tenant("ann")]


def test_a_job_between_two_attempts_holds_none(engine: Engine) -> None:
    limit(engine, running=1)
    put_in(engine, STRIPE, 2)
    me = worker(engine)
    [claim] = take(engine, me)
    engine.settle_many([again(claim, delay=60.0)])
    [other] = take(engine, me)
    assert other.number != claim.number


def test_a_dead_holders_place_is_free_with_the_sweep(engine: Engine) -> None:
    limit(engine, running=1)
    put_in(engine, STRIPE, 2)
    dead, me = worker(engine), worker(engine)
    [lost] = take(engine, dead)
    run_out(engine, dead)
    assert take(engine, me) == [] and counts(engine)[0] == 1
    engine.sweep(1000)
    [claim] = take(engine, me)
    assert counts(engine) == (1, 1)
    assert engine.settle_many([complete(lost)]) == {(lost.number, lost.lease)}
    assert counts(engine) == (1, 1), "who comes back late frees nothing"
    assert take(engine, me) == []
    engine.settle_many([complete(claim)])


def test_places_of_claims_that_no_worker_has_heard_of_are_free_with_the_next_reconcile(engine: Engine) -> None:
    limit(engine, running=1)
    put_in(engine, STRIPE)
    me = worker(engine)
    [_] = take(engine, me)
    assert engine.reconcile(me, []).returned == 1
    assert counts(engine) == (0, 1)
    assert len(take(engine, me)) == 1


def test_of_several_limits_all_have_to_let_a_job_through(engine: Engine) -> None:
    limit(engine, "all", running=3)
    limit(engine, "each", running=2)
    for name in "abc":
        put_in(engine, gates(("all", ""), ("each", name)), 3)
    me = worker(engine)
    claims = take_all(engine, me)
    assert sorted(lanes_of(claims)) == ["a", "b", "c"]
    engine.settle_many([complete(claim) for claim in claims])
    claims = take_all(engine, me, 2)
    assert len(claims) == 3 and counts(engine, "all")[0] == counts(engine, "each")[0] == 3


def test_each_key_counts_by_itself(engine: Engine) -> None:
    limit(engine, running=2)
    for name in ("ann", "bob", "cy"):
        put_in(engine, tenant(name), 4)
    claims = take_all(engine, worker(engine))
    assert sorted(lanes_of(claims)) == ["ann", "ann", "bob", "bob", "cy", "cy"]


def test_by_hand_is_over_the_code_and_survives_a_deploy(engine: Engine) -> None:
    limit(engine, running=5)
    engine.limits.set("stripe", "", Allowance(running=2))
    engine.limits.set("stripe", "bob", Allowance(running=1))
    for name in ("ann", "bob"):
        put_in(engine, tenant(name), 6)
    me = worker(engine)
    assert sorted(lanes_of(take_all(engine, me))) == ["ann", "ann", "bob"]
    limit(engine, running=4)  # a deploy
    assert take(engine, me) == []
    assert engine.limits.reset("stripe", "bob")
    assert lanes_of(take_all(engine, me)) == ["bob"]
    assert engine.limits.reset("stripe", None) and not engine.limits.reset("stripe", None)
    assert sorted(lanes_of(take_all(engine, me))) == ["ann", "ann", "bob", "bob"]
    [row] = engine.limits.rows()
    assert (row.name, row.by_hand, row.allowed.running) == ("stripe", False, 4)


def test_what_is_set_by_hand_leaves_the_rest_as_it_is(engine: Engine) -> None:
    limit(engine, running=5, starts=10, per=60.0)
    engine.limits.set("stripe", "", Allowance(starts=20, per=30.0))
    engine.limits.set("stripe", "", Allowance(running=1))
    _, row = engine.limits.rows()
    assert row.by_hand and row.allowed == Allowance(running=1, starts=20, per=30.0)


def test_a_limit_of_none_at_all_closes_the_gate(engine: Engine) -> None:
    limit(engine, running=5)
    [job_id] = put_in(engine, STRIPE)
    engine.limits.set("stripe", "", Allowance(running=0))
    assert take(engine, worker(engine)) == []
    assert record(engine, job_id).held_by == "limit stripe: 0 of 0 running"


def test_a_limit_that_the_code_has_no_more_holds_nothing_back(engine: Engine) -> None:
    limit(engine, running=1)
    put_in(engine, STRIPE, 3)
    me = worker(engine)
    assert len(take_all(engine, me)) == 1
    engine.limits.declare("shop", None, [], [], SECONDS)
    assert take(engine, me) == [], "other workers of the program may have it still"
    engine.limits.declare("other", None, [], [], 0.0)
    assert take(engine, me) == [], "it is not that program's"
    engine.limits.declare("shop", None, [], [], -1.0)
    assert len(take_all(engine, me)) == 2
    assert engine.limits.rows() == []


def test_a_limit_that_is_declared_later_holds_from_the_next_claim_on(engine: Engine) -> None:
    put_in(engine, STRIPE, 4)
    me = worker(engine)
    [_] = take(engine, me, 1)
    limit(engine, running=2)
    assert len(take_all(engine, me)) == 1


def test_a_job_that_is_held_back_says_by_what(engine: Engine) -> None:
    limit(engine, running=1)
    first, second = put_in(engine, tenant("ann"), 2)
    [_] = take(engine, worker(engine))
    found = record(engine, second)
    assert (found.state, found.attempt, found.errors) == (JobState.AVAILABLE, 0, ())
    assert found.held_by == "limit stripe, key 'ann': 1 of 1 running"
    assert record(engine, first).held_by == ""
    assert [one.held_by for one in engine.list(JobFilter())] == [found.held_by, ""]


def test_they_are_counted_and_listed_among_the_available(engine: Engine) -> None:
    ids = {*put_in(engine, STRIPE, 2), put(engine)}
    [queue] = engine.stats().queues
    assert (queue.available, queue.running) == (3, 0)
    [depth] = engine.depths(["default"])
    assert (depth.available, depth.running) == (3, 0)
    assert {one.id for one in engine.list(JobFilter({JobState.AVAILABLE}))} == ids
    assert {one.id for one in engine.find(JobFilter())} == ids


def test_a_delayed_job_has_its_place_in_the_lane_when_it_is_due(engine: Engine) -> None:
    limit(engine, running=1)
    put_in(engine, STRIPE)
    [later] = put_in(engine, STRIPE, delay=1e-6)
    me = worker(engine)
    [claim] = take_all(engine, me)
    assert record(engine, later).state is JobState.AVAILABLE
    engine.settle_many([complete(claim)])
    [claim] = take(engine, me)
    assert claim.id == later


def test_cancelling_and_discarding_take_it_out_of_the_lane(engine: Engine) -> None:
    limit(engine, running=1)
    ids = put_in(engine, STRIPE, 4)
    me = worker(engine)
    [claim] = take(engine, me)
    found = {job_id: record(engine, job_id) for job_id in ids}
    assert engine.cancel(found[ids[1]].number, None) is JobState.AVAILABLE
    discarded = engine.discard(found[ids[2]].number, found[ids[2]].nonce, "by hand")
    assert discarded is not None and discarded.state is JobState.AVAILABLE
    assert counts(engine) == (1, 1)
    assert engine.cancel(claim.number, claim.nonce) is JobState.RUNNING
    assert counts(engine) == (1, 1), "one that runs keeps its place until it has ended"
    engine.settle_many([cancelled(claim)])
    [claim] = take(engine, me)
    assert claim.id == ids[3]


def test_one_that_is_retried_by_hand_is_back_in_its_lane(engine: Engine) -> None:
    limit(engine, running=1)
    ids = put_in(engine, tenant("ann"), 2)
    me = worker(engine)
    [claim] = take(engine, me)
    engine.cancel(record(engine, ids[1]).number, None)
    engine.retry(record(engine, ids[1]).number, record(engine, ids[1]).nonce)
    assert record(engine, ids[1]).held_by and take(engine, me) == []
    engine.settle_many([give_up(claim)])
    engine.retry(claim.number, claim.nonce)
    assert [one.id for one in take_all(engine, me)] == ids[:1]


def test_a_job_without_gates_that_needs_some_is_filed_anew(engine: Engine) -> None:
    limit(engine, running=1)
    job_id = put(engine)
    put_in(engine, STRIPE)
    me = worker(engine)
    claims = {claim.turn is None: claim for claim in take_all(engine, me)}
    engine.settle_many([Settlement(claims[True], Verdict.RETURN, turn=STRIPE)])
    found = record(engine, job_id)
    assert (found.state, found.attempt, found.turn) == (JobState.AVAILABLE, 0, STRIPE)
    assert take(engine, me) == [] and counts(engine) == (1, 1)
    engine.settle_many([complete(claims[False])])
    [claim] = take(engine, me)
    assert claim.turn == STRIPE and claim.token == 2


def test_one_that_no_worker_knows_is_set_aside_and_recalled_to_its_lane(engine: Engine) -> None:
    [job_id] = put_in(engine, tenant("ann"))
    me = worker(engine)
    [claim] = take(engine, me)
    engine.settle_many([Settlement(claim, Verdict.RETURN, delay=60.0, aside=True)])
    assert record(engine, job_id).state is JobState.SCHEDULED and record(engine, job_id).due_at is None
    assert engine.recall(["default"], ["app.work"], 10) == 1
    assert lanes_of(take(engine, me)) == ["ann"]


def test_they_are_claimed_though_jobs_of_their_queue_are_left_to_others(engine: Engine) -> None:
    engine.put_many([in_lane(STRIPE), in_lane(STRIPE)._replace(task="app.other")])
    me = worker(engine)
    engine.claim(me, ["default"], 0)  # as each round of a worker begins
    assert [claim.task for claim in engine.claim_except(me, ["default"], 5, ["app.work"])] == ["app.other"]
    assert engine.claim_except(me, ["default"], 5, ["app.work"]) == ()
    assert [claim.task for claim in take(engine, me)] == ["app.work"]


def test_a_paused_queue_gives_none(engine: Engine) -> None:
    put_in(engine, STRIPE)
    engine.pause("default", True)
    me = worker(engine)
    assert take(engine, me) == []
    engine.pause("default", False)
    assert len(take(engine, me)) == 1


def test_a_worker_that_was_swept_is_given_none(engine: Engine) -> None:
    put_in(engine, STRIPE)
    me = worker(engine)
    run_out(engine, me)
    engine.sweep(1000)
    assert take(engine, me) == []


def test_the_same_program_declares_what_has_changed(engine: Engine) -> None:
    limit(engine, running=1)
    news = [NewLimit("stripe", Allowance(running=2), "discard"), NewLimit("mail", Allowance(starts=1, per=1.0), "wait")]
    engine.limits.declare("shop", "7", ["stripe", "mail"], news, SECONDS)
    mail, stripe = engine.limits.rows()
    assert (mail.name, mail.allowed, mail.app, mail.release) == ("mail", Allowance(starts=1, per=1.0), "shop", "7")
    assert (stripe.allowed, stripe.over) == (Allowance(running=2), "discard")


def test_a_job_that_waits_for_another_goes_to_its_lane_when_that_has_ended(engine: Engine) -> None:
    limit(engine, running=1)
    before = put(engine)
    [placed] = engine.put_many([in_lane(STRIPE, after=(before,))])
    put_in(engine, STRIPE)
    me = worker(engine)
    claims = {claim.id: claim for claim in take_all(engine, me)}
    assert len(claims) == 2 and record(engine, placed.id).state is JobState.WAITING
    engine.settle_many([complete(claims.pop(before))])
    assert record(engine, placed.id).held_by and take(engine, me) == []
    engine.settle_many([complete(claim) for claim in claims.values()])
    assert [claim.id for claim in take_all(engine, me)] == [placed.id]
