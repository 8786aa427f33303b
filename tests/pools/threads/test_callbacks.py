"""Done-callbacks that misbehave cost nobody a worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def leave(_: Any) -> None:
    """Raise `SystemExit`."""
    raise SystemExit(3)


def test_an_exit_in_a_callback_on_a_worker(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    future, actor = stage.start(pool)
    future.add_done_callback(leave)
    after = threading.Event()
    future.add_done_callback(lambda _: after.set())
    actor.tell("return")
    assert future.result(WAIT) == "actor"
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    assert after.wait(WAIT / 4)
    assert pool.drain(WAIT / 4).ok


def test_an_exit_in_a_callback_of_a_timed_out_job(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=5)
    called = threading.Event()
    before = stage.occupy(pool, 2)
    first = pool.submit(task(jobs.act, timeout=0.05), stage.address)
    first.add_done_callback(leave)  # before it begins: else this thread might call it
    for _, actor in before:
        actor.tell("return")
    one = stage.enter()
    first.exception(WAIT)
    one.tell("return")
    second, other = stage.start(pool, fn=task(jobs.act, timeout=0.05))
    second.add_done_callback(lambda _: called.set())
    second.exception(WAIT)
    assert called.wait(WAIT / 4)
    other.tell("return")
