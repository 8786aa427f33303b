"""Rates: how many may start in a time, by the engine's clock."""

from __future__ import annotations

import pytest

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import Settlement, Verdict
from steadypool.rules.limits import Allowance
from steadypool.testing import EngineKind

from .lanes import STRIPE, limit, put_in, take_all, tenant
from .steps import QUEUES, again, complete, give_back, record, take, worker


@pytest.fixture(autouse=True)
def _by_the_owner(engine_kind: EngineKind) -> None:
    if not engine_kind.is_owner:
        pytest.skip("the clock is moved by the owner of the tables")


def starts(engine: Engine, who: int) -> int:
    """Start, and end, as many as may."""
    claims = take_all(engine, who)
    engine.settle_many([complete(claim) for claim in claims])
    return len(claims)


def test_a_full_bucket_and_then_one_by_one(engine: Engine) -> None:
    limit(engine, starts=6, per=600.0)
    put_in(engine, STRIPE, 20)
    me = worker(engine)
    assert starts(engine, me) == 6
    assert starts(engine, me) == 0
    engine.move_clock(101.0)
    assert starts(engine, me) == 1
    engine.move_clock(600.0)
    assert starts(engine, me) == 6


def test_a_burst_of_one_spaces_them_evenly(engine: Engine) -> None:
    limit(engine, starts=6, per=600.0, burst=1)
    put_in(engine, STRIPE, 20)
    me, seen = worker(engine), 0
    for _ in range(10):
        seen += starts(engine, me)
        engine.move_clock(60.0)
    assert seen <= 6 + 1


def test_a_closed_gate_says_when_it_opens(engine: Engine) -> None:
    limit(engine, starts=1, per=300.0)
    [_, held] = put_in(engine, STRIPE, 2)
    me = worker(engine)
    assert starts(engine, me) == 1
    answer = engine.claim(me, QUEUES, 5)
    assert answer.claims == () and answer.next_due is not None and 200.0 < answer.next_due <= 300.0
    assert record(engine, held).held_by.startswith("limit stripe: 1 start in 300 s, the next in ")


def test_an_attempt_that_is_given_back_gives_its_start_back(engine: Engine) -> None:
    limit(engine, starts=2, per=600.0)
    put_in(engine, STRIPE, 4)
    me = worker(engine)
    first = take_all(engine, me)
    engine.settle_many([give_back(claim) for claim in first])
    assert len(take_all(engine, me)) == 2
    assert take_all(engine, me) == []


def test_a_retry_and_a_snooze_have_started(engine: Engine) -> None:
    limit(engine, starts=2, per=600.0)
    put_in(engine, STRIPE, 4)
    me = worker(engine)
    one, other = take_all(engine, me)
    engine.settle_many([again(one), Settlement(other, Verdict.RETURN, delay=1e-3)])
    assert take_all(engine, me) == []


def test_each_key_has_its_own_rate(engine: Engine) -> None:
    limit(engine, starts=1, per=600.0)
    for name in "ab":
        put_in(engine, tenant(name), 3)
    me = worker(engine)
    assert starts(engine, me) == 2
    put_in(engine, tenant("c"))
    assert starts(engine, me) == 1


def test_running_and_starts_together(engine: Engine) -> None:
    limit(engine, running=1, starts=2, per=600.0)
    put_in(engine, STRIPE, 5)
    me = worker(engine)
    [first] = take_all(engine, me)
    engine.settle_many([complete(first)])
    [second] = take_all(engine, me)
    engine.settle_many([complete(second)])
    assert take(engine, me) == []
    engine.move_clock(301.0)
    assert len(take_all(engine, me)) == 1


def test_what_gates_remember_is_forgotten_once_it_says_nothing(engine: Engine) -> None:
    limit(engine, starts=1, per=60.0)
    put_in(engine, STRIPE, 3)
    me = worker(engine)
    assert starts(engine, me) == 1
    engine.prune(100)
    assert starts(engine, me) == 0, "it is needed still"
    engine.move_clock(300.0)
    engine.prune(100)
    assert starts(engine, me) == 1


def test_a_faster_rate_does_not_wait_for_what_the_slower_one_has_made_due(engine: Engine) -> None:
    limit(engine, starts=1, per=3600.0)
    put_in(engine, STRIPE, 20)
    me = worker(engine)
    assert starts(engine, me) == 1 and starts(engine, me) == 0
    engine.limits.set("stripe", "", Allowance(starts=10, per=100.0))
    answer = engine.claim(me, QUEUES, 5)
    assert answer.claims == () and answer.next_due is not None and answer.next_due <= 10.0
    engine.move_clock(5.0)
    assert starts(engine, me) == 0
    engine.move_clock(5.1)
    assert starts(engine, me) == 1
    engine.move_clock(100.0)
    assert starts(engine, me) == 10
    engine.limits.reset("stripe", None)
    assert starts(engine, me) == 0


def test_a_clock_that_is_set_back_closes_no_gate_for_longer_than_its_rate(engine: Engine) -> None:
    limit(engine, starts=2, per=60.0)
    put_in(engine, STRIPE, 5)
    me = worker(engine)
    assert starts(engine, me) == 2
    engine.move_clock(-86400.0)
    assert starts(engine, me) == 0
    engine.move_clock(30.1)
    assert starts(engine, me) == 1
