"""What is put when a job is given up: once, in the transaction that gives it up."""

from __future__ import annotations

import json

import pytest

from steadypool.durable.engine.job_json import kept_for_discard
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter, NewJob
from steadypool.durable.engine.states import JobState

from .steps import again, cancelled, complete, give_up, put, record, take, worker

TELL = NewJob(
    "app.tell",
    '{"order":[1,"ü"]}'.encode(),
    "mail",
    5,
    keep=60.0,
    options=b'{"timeout":3}',
    tags=("alarm",),
)
BOTH = frozenset({"job_id", "reason", "order"})


def told(engine: Engine, who: int) -> list[dict[str, object]]:
    claims = take(engine, who, queues=["mail"])
    assert all((claim.task, claim.options) == ("app.tell", b'{"timeout":3}') for claim in claims)
    engine.settle_many([complete(claim) for claim in claims])
    return [json.loads(claim.payload) for claim in claims]


def test_a_job_that_fails_for_good_has_the_other_put_once(engine: Engine) -> None:
    who = worker(engine)
    put(engine, id='o"ne', on_discarded=kept_for_discard(TELL, BOTH))
    [claim] = take(engine, who)
    engine.settle_many([again(claim)])
    assert told(engine, who) == []
    [claim] = take(engine, who)
    assert not engine.settle_many([give_up(claim, 'it "broke"\n ü')])
    assert engine.settle_many([give_up(claim)])  # a second time it is refused
    [waits] = engine.list(JobFilter(frozenset({JobState.AVAILABLE})))
    assert (waits.queue, waits.priority, waits.tags) == ("mail", 5, ("alarm",))
    assert told(engine, who) == [{"order": [1, "ü"], "job_id": 'o"ne', "reason": 'it "broke"\n ü'}]
    given_up = record(engine, 'o"ne')
    engine.retry(given_up.number, given_up.nonce)  # and once more if it is given up once more
    engine.settle_many([give_up(claim) for claim in take(engine, who)])
    assert len(told(engine, who)) == 1


def test_no_other_end_has_it_put(engine: Engine) -> None:
    who = worker(engine)
    for name in ("completes", "is cancelled", "is cancelled waiting"):
        put(engine, id=name, on_discarded=kept_for_discard(TELL, BOTH))
    one, two = take(engine, who, 2)
    engine.settle_many([complete(one), cancelled(two)])
    engine.cancel_chosen("is cancelled waiting")
    assert told(engine, who) == []


@pytest.mark.parametrize("way", ["by hand", "many by hand", "lost", "unknown"])
def test_however_it_is_given_up(engine: Engine, way: str) -> None:
    who = worker(engine)
    text = kept_for_discard(TELL._replace(payload=b"{}"), frozenset({"job_id"}))
    job_id = put(engine, on_discarded=text)
    found = record(engine, job_id)
    if way == "by hand":
        engine.discard(found.number, found.nonce, "no")
    elif way == "many by hand":
        engine.change_many("discard", [(found.number, found.nonce)], "no")
    elif way == "lost":
        take(engine, engine.register("short", 0.01))
        while not engine.sweep(1).discarded:
            pass
    else:
        engine.set_aside(["default"], [], 10, 0.0)
        while not engine.give_up_unknown(10, "no worker knows it"):
            pass
    assert record(engine, job_id).state is JobState.DISCARDED
    assert told(engine, who) == [{"job_id": job_id}]


def test_what_needs_neither_id_nor_reason(engine: Engine) -> None:
    who = worker(engine)
    put(engine, on_discarded=kept_for_discard(TELL, frozenset({"order"})), keep=0.0)
    put(engine, on_discarded=kept_for_discard(TELL._replace(payload=b"{}", tags=()), frozenset()))
    engine.settle_many([give_up(claim) for claim in take(engine, who)])
    assert told(engine, who) == [{"order": [1, "ü"]}, {}]
