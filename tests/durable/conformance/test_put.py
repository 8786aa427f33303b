"""Putting: ids, order, delays, keys."""

from __future__ import annotations

import threading

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.states import JobState

from .steps import complete, give_up, job, put, record, take, worker


def test_what_was_put_is_there_for_another_engine_object(engine: Engine, open_engine: object) -> None:
    job_id = put(engine, task="app.mail", payload=b'{"a":["x"]}', queue="mail", priority=3)
    found = record(open_engine(), job_id)  # type: ignore[operator]
    assert (found.task, found.payload, found.queue, found.priority) == ("app.mail", b'{"a":["x"]}', "mail", 3)
    assert found.state is JobState.AVAILABLE and found.attempt == 0 and found.errors == ()


def test_numbers_grow_and_are_never_given_again(engine: Engine) -> None:
    placed = engine.put_many([job(keep=0.0) for _ in range(3)])
    numbers = [one.number for one in placed]
    assert numbers == sorted(set(numbers))
    assert [one.id for one in placed] == [f"job-{one.number}-{one.nonce:010x}" for one in placed]
    who = worker(engine)
    engine.settle_many([complete(claim) for claim in take(engine, who)])
    [after] = engine.put_many([job()])
    assert after.number > max(numbers)


def test_nothing_put_is_nothing_done(engine: Engine) -> None:
    assert engine.put_many([]) == []


def test_the_highest_priority_goes_first_and_then_the_earliest(engine: Engine) -> None:
    low, first, second, high = (put(engine, priority=p) for p in (-1, 0, 0, 5))
    assert [claim.id for claim in take(engine, worker(engine))] == [high, first, second, low]


def test_a_delayed_job_waits(engine: Engine) -> None:
    late, now = put(engine, delay=3600.0), put(engine)
    who = worker(engine)
    answer = engine.claim(who, ["default"], 10)
    assert [claim.id for claim in answer.claims] == [now]
    assert answer.next_due is not None and 3500 < answer.next_due <= 3600
    found = record(engine, late)
    assert found.state is JobState.SCHEDULED and found.due_at is not None and found.due_at > engine.now()


def test_a_moment_that_has_passed_is_now(engine: Engine) -> None:
    job_id = put(engine, at=engine.now() - 10)
    assert record(engine, job_id).state is JobState.AVAILABLE
    assert [claim.id for claim in take(engine, worker(engine))] == [job_id]


def test_a_delay_that_has_passed_makes_available(engine: Engine) -> None:
    job_id = put(engine, at=engine.now() + 0.05)
    who, listener = worker(engine), engine.listener("work")
    claims = take(engine, who)
    while not claims:
        listener.wait(engine.claim(who, ["default"], 0).next_due or 0.0)
        claims = take(engine, who)
    listener.close()
    assert [claim.id for claim in claims] == [job_id]


def test_an_id_that_is_taken_names_the_job_that_has_it(engine: Engine) -> None:
    [first] = engine.put_many([job(id="order-42")])
    [second, other] = engine.put_many([job(id="order-42"), job()])
    assert first.enqueued and not second.enqueued and other.enqueued
    assert (second.number, second.id) == (first.number, "order-42")
    assert len(take(engine, worker(engine))) == 2


def test_an_id_stays_taken_while_the_job_is_known(engine: Engine) -> None:
    put(engine, id="order-42")
    engine.settle_many([complete(claim) for claim in take(engine, worker(engine))])
    assert record(engine, "order-42").state is JobState.COMPLETED
    assert not engine.put_many([job(id="order-42")])[0].enqueued


def test_an_id_is_free_again_when_the_job_is_forgotten(engine: Engine) -> None:
    put(engine, id="order-42", keep=0.0)
    engine.settle_many([complete(claim) for claim in take(engine, worker(engine))])
    assert engine.get("order-42") is None
    assert engine.put_many([job(id="order-42")])[0].enqueued


def test_a_unique_key_holds_while_the_job_waits_or_runs(engine: Engine) -> None:
    first = put(engine, unique="k")
    assert engine.put_many([job(unique="k")])[0].id == first
    [claim] = take(engine, worker(engine))
    assert not engine.put_many([job(unique="k")])[0].enqueued
    engine.settle_many([complete(claim)])
    assert engine.put_many([job(unique="k")])[0].enqueued


def test_a_unique_key_is_the_task_s_own(engine: Engine) -> None:
    put(engine, unique="k")
    assert engine.put_many([job("app.other", unique="k")])[0].enqueued


def test_a_unique_key_is_given_back_by_whatever_ends_the_job(engine: Engine) -> None:
    for end in (engine.cancel, lambda number, nonce: engine.discard(number, nonce, "no")):
        [placed] = engine.put_many([job(unique="k")])
        assert placed.enqueued
        end(placed.number, placed.nonce)
    put(engine, unique="k")
    engine.settle_many([give_up(claim) for claim in take(engine, worker(engine))])
    assert engine.put_many([job(unique="k")])[0].enqueued


def test_a_unique_key_may_hold_for_a_period_whether_or_not_the_job_has_ended(engine: Engine) -> None:
    first = put(engine, unique="k", unique_for=3600.0)
    engine.settle_many([complete(claim) for claim in take(engine, worker(engine))])
    [again] = engine.put_many([job(unique="k")])
    assert not again.enqueued and again.id == first


def test_a_period_ends(engine: Engine) -> None:
    put(engine, unique="k", unique_for=0.001)
    until = engine.now() + 0.001
    while engine.now() <= until:
        pass
    assert engine.put_many([job(unique="k")])[0].enqueued


def test_one_call_may_hold_the_same_key_twice(engine: Engine) -> None:
    one, two = engine.put_many([job(unique="k"), job(unique="k")])
    assert one.enqueued and not two.enqueued and one[:3] == two[:3]
    assert len(take(engine, worker(engine))) == 1


def test_one_call_may_name_the_same_id_twice(engine: Engine) -> None:
    one, two, last = engine.put_many([job(id="a"), job(id="a", unique="k", on_taken="replace"), job(unique="k")])
    assert one.enqueued and not two.enqueued and one[:3] == two[:3]
    assert last.enqueued and len(take(engine, worker(engine))) == 2


def test_many_threads_and_one_key_make_one_job(open_engine: object) -> None:
    open_engine().migrate()  # type: ignore[operator]
    engines = [open_engine() for _ in range(4)]  # type: ignore[operator]
    placed: list[bool] = []

    def race(engine: Engine) -> None:
        placed.extend(engine.put_many([job(unique="k", id="i")])[0].enqueued for _ in range(5))

    threads = [threading.Thread(target=race, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert placed.count(True) == 1 and len(placed) == 20


def test_what_a_job_was_given_comes_with_its_claim(engine: Engine) -> None:
    put(engine, payload=b'{"k":{"x":1}}', options=b'{"timeout":5}', total_timeout=100.0, id="mine")
    [claim] = take(engine, worker(engine))
    assert (claim.payload, claim.options, claim.id) == (b'{"k":{"x":1}}', b'{"timeout":5}', "mine")
    assert claim.expires_in is not None and 50 < claim.expires_in <= 100
    assert (claim.attempt, claim.token, claim.crashes, claim.losses) == (1, 1, 0, 0)
