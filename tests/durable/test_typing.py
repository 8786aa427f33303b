"""What a type checker says: a comment that ignores an error which is none is an error itself, in `make check`."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

from steadypool import Call, Cron, Every, JobHandle, Queue, Retry, task
from tests.durable import app


def wrong_calls() -> None:
    """Never called."""
    app.add.enqueue("1")  # type: ignore[call-overload]
    app.add.enqueue(1, othr=2)  # type: ignore[call-overload]
    app.add.enqueue()  # type: ignore[call-overload]
    app.add.options(dealy=5)  # type: ignore[call-arg]
    app.add.options(delay="5")  # type: ignore[arg-type]
    app.add.options(priority=None)  # type: ignore[arg-type]
    app.add.delay(1)  # type: ignore[attr-defined]
    Queue().task(timeot=5)  # type: ignore[call-overload]
    Queue().task(retry=3)  # type: ignore[call-overload]
    task(len).options(prio=3)  # type: ignore[call-arg]
    task(len).options(timeout="3")  # type: ignore[arg-type]


async def right_calls(connection: object) -> None:
    """Never called."""
    assert_type(app.add.enqueue(1, other=2), JobHandle[int])
    assert_type(app.add.options(delay=timedelta(minutes=1), id="a").enqueue(1), JobHandle[int])
    assert_type(app.add.enqueue(1, connection=connection), JobHandle[int])
    assert_type(await app.add.enqueue_async(1, connection=connection), JobHandle[int])
    assert_type(await app.add.enqueue_async(1), JobHandle[int])
    assert_type(Queue().task(retry=Retry(3), aliases=["a"])(len).enqueue("abc").result(), int)
    assert_type(app.add.call(1), Call[int])
    assert_type(Queue().put(app.add.call(1)), JobHandle[int])
    Queue().task(schedule=[Cron("0 6 * * *", within=timedelta(hours=1)), Every(days=1, jitter=timedelta(minutes=1))])
    task(len).options(timeout=timedelta(seconds=3), meta={"a": 1})


def test_such_calls_can_be_made() -> None:
    assert app.add.options(delay=timedelta(minutes=1)).enqueue_options.delay == 60.0
