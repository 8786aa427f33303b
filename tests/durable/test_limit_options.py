"""``limit=`` and ``lane=`` of durable tasks, and ``queue.limits``: what is taken, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steadypool import JobCancelled, Limit, PayloadRefused, Queue, UnknownLimit
from steadypool.durable.engine.turns import SEPARATOR, Turn
from tests.patience import WAIT


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(f"sqlite:///{tmp_path}/jobs.db", app="shop")


def turn(gates: str, *keys: str) -> Turn:
    return Turn(gates, SEPARATOR.join(keys))


def test_where_a_call_waits(queue: Queue) -> None:
    stripe = queue.limit("stripe", running=5)

    @queue.task(name="sync", limit=[stripe, Limit(running=3, by=("tenant", "full"))], lane="tenant")
    def sync(tenant: int, full: bool = False) -> None: ...

    names = f"stripe{SEPARATOR}sync"
    assert sync.call(42).job.turn == turn(names, "", '["42","False"]', "42")
    assert sync.options(lane="imports").call(42).job.turn == turn(names, "", '["42","False"]', "imports")
    assert sync.options(priority=3).call(42, full=True).job.turn == turn(names, "", '["42","True"]', "42")
    sync.enqueue(1)
    assert sync.enqueue_json('{"tenant": 7}').record().turn == turn(names, "", '["7","False"]', "7")
    [handle] = queue.enqueue_many(sync, [(9,)])
    assert handle.record().turn == turn(names, "", '["9","False"]', "9")
    queue.close()


def test_an_empty_key_is_a_key(queue: Queue) -> None:
    task = queue.task(name="t", limit=Limit(running=1, by="name"), lane="name")(lambda name: None)
    assert task.call("").job.turn == turn("t", '""', '""')
    assert task.call(f"a{SEPARATOR}b").job.turn == turn("t", "a\\x1fb", "a\\x1fb")


def test_a_call_takes_its_turn_along(queue: Queue) -> None:
    from steadypool import Call

    task = queue.task(name="t", limit=Limit(running=1, by="name"))(lambda name: None)
    call = task.call("ann")
    assert Call.from_json(call.to_json()) == call


@pytest.mark.parametrize(
    ("mistake", "error", "said"),
    [
        (lambda q: q.task(name="t", limit=5)(lambda a: a), TypeError, "limit must be a Limit"),
        (lambda q: q.task(name="t", limit=Limit(running=1, by="b"))(lambda a: a), TypeError, "no such parameter"),
        (lambda q: q.task(name="t", lane="b")(lambda a: a), TypeError, "no such parameter"),
        (lambda q: q.task(name="t")(lambda a: a).options(limit=Limit(running=1)), TypeError, "@queue.task"),
        (lambda q: q.limit("stripe", running=6), ValueError, "says something else"),
        (lambda q: q.task(name="t", limit=Limit("stripe", running=9))(lambda a: a), ValueError, "says something else"),
        (lambda q: q.limit("a\0b", running=1), ValueError, "every store can keep"),
        (lambda q: q.limit("a" + SEPARATOR, running=1), ValueError, "the name of a limit"),
        (lambda q: q.limits.set("stripe"), ValueError, "needs something to set"),
        (lambda q: q.limits.set("stripe", running=-1), ValueError, "running must be 0 or more"),
        (lambda q: q.limits.set("stripe", running=2**31), ValueError, "running must be 2,147,483,647 or less"),
        (lambda q: q.limits.set("stripe", starts=2**31, per=1), ValueError, "2,147,483,647 or less"),
        (lambda q: q.limit("big", running=2**31), ValueError, r"Limit\(running\) must be 2,147,483,647 or less"),
        (lambda q: q.limits.set("stripe", key=42, running=3), ValueError, "has no keys"),
        (lambda q: q.limits.set("stripe", starts=3), ValueError, "needs per, too"),
        (lambda q: q.limits.set("stripe", burst=3), ValueError, "give starts and per, too"),
        (lambda q: q.limits.set("each", key=object(), running=3), TypeError, "key must be"),
        (lambda q: q.limits.set("strip", running=3), UnknownLimit, "did you mean 'stripe'"),
        (lambda q: q.limits.reset("nothing"), UnknownLimit, "there is no limit"),
    ],
)
def test_mistakes(queue: Queue, mistake: Callable[[Queue], Any], error: type[Exception], said: str) -> None:
    queue.engine.migrate()
    queue.limit("stripe", running=5)
    queue.limit("each", running=5, by="tenant")
    with pytest.raises(error, match=said):
        mistake(queue)
    queue.close()


def test_an_argument_that_has_no_text_is_refused_when_it_is_enqueued(queue: Queue) -> None:
    task = queue.task(name="t", limit=Limit(running=1, by="what"))(lambda what: None)
    with pytest.raises(PayloadRefused, match="no text that stays the same"):
        task.enqueue({"a": 1})


def test_a_limit_may_be_set_before_any_worker_has_declared_it(queue: Queue) -> None:
    queue.engine.migrate()
    queue.limit("stripe", running=5)
    queue.limits.set("stripe", running=2)
    [info] = queue.limits.list()
    assert (info.running, info.in_code["running"], info.by_hand) == (2, 5, True)
    queue.close()


def test_a_module_that_runs_again_replaces_its_limits(queue: Queue) -> None:
    source = """
shared = queue.limit("shared", running={0})
@queue.task(name="t", limit=[shared, Limit(running={0})])
def t(): ...
"""
    for running in (1, 2):
        space = {"queue": queue, "Limit": Limit, "__name__": "shop", "__file__": "/shop.py"}
        exec(compile(source.format(running), "/shop.py", "exec"), space)
    assert {name: limit.running for name, limit in queue.declared_limits.items()} == {"shared": 2, "t": 2}


def test_a_chain_whose_keys_are_known_when_it_is_put(queue: Queue) -> None:
    from steadypool import Result

    fetch = queue.task(name="fetch")(lambda url: [url])
    store = queue.task(name="store", limit=Limit(running=1, by="tenant"))(lambda pages, tenant=1: pages)
    chain = queue.chain(fetch.call("a"), store.call(Result, tenant=7))
    assert chain[-1].record().turn == turn("store", "7", "")
    by_result = queue.task(name="other", limit=Limit(running=1, by="pages"))(lambda pages: pages)
    with pytest.raises(PayloadRefused, match="not known when this one is put"):
        by_result.call(Result)
    queue.close()


def test_a_task_that_a_pool_runs_keeps_its_limits(queue: Queue) -> None:
    from steadypool import ThreadPool

    task = queue.task(name="t", limit=Limit(running=1, over="discard"))(lambda stop: stop.wait(WAIT) if stop else True)
    with ThreadPool(2) as pool:
        stop = threading.Event()
        first = pool.submit(task, stop)
        with pytest.raises(JobCancelled):
            pool.submit(task.options(priority=1), None).result(WAIT)
        stop.set()
        assert first.result(WAIT)
