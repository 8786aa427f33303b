"""Code of the user's that hangs where the pool calls it: every other job keeps its limit, and a drain ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steadypool import JobTimeout, Outcome, Retry, task
from tests.pools.contract import hangs, jobs
from tests.pools.contract.stage import WAIT, Stage

pytestmark = pytest.mark.differs_on("asyncio", "what blocks the loop holds everything up")


@pytest.fixture(autouse=True)
def over() -> Iterator[None]:
    """What hangs goes on when the test is over."""
    hangs.GATE.clear()
    hangs.ENTERED.clear()
    yield
    hangs.GATE.set()


@pytest.fixture
def pool(make_pool: Callable[..., Any]) -> Any:
    return make_pool(3, cancel_grace=0.05)


def check_others(pool: Any, stage: Stage) -> None:
    """Another job of the pool keeps its limit, and a drain with a limit ends."""
    # It is not waited for on the stage: on a busy machine it may be killed before it has come there.
    other = pool.submit(task(jobs.act, timeout=0.1), stage.address, "other")
    assert isinstance(other.exception(WAIT), JobTimeout)
    stage.start(pool)
    assert pool.drain(0.1).stats.balanced
    assert not hangs.GATE.is_set()
    hangs.GATE.set()


def test_the_repr_of_an_argument(pool: Any, stage: Stage) -> None:
    futures = [pool.submit(task(hangs.act, timeout=0.1), stage.address, hangs.Shown()) for _ in range(2)]
    for future in futures:
        assert isinstance(future.exception(WAIT), JobTimeout)
    assert "not shown" in str(pool.errors()[0].arguments), pool.errors()
    check_others(pool, stage)


def test_show_arguments(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(3, cancel_grace=0.05, show_arguments=lambda *_: hangs.hold() or "")
    assert isinstance(pool.submit(jobs.fail, "x").exception(WAIT), ValueError)
    check_others(pool, stage)


def test_the_text_of_an_error(pool: Any, stage: Stage) -> None:
    assert isinstance(pool.submit(hangs.fail, "described").exception(WAIT), hangs.Described)
    assert "not shown" in pool.errors()[0].message
    assert isinstance(pool.submit(hangs.fail, "described").exception(WAIT), hangs.Described)
    check_others(pool, stage)


def test_loading_a_result_or_an_error(pool: Any, stage: Stage, kind: Any) -> None:
    if kind.name == "threads":
        pytest.skip("nothing is loaded there")
    limited = pool.submit(task(hangs.give, timeout=0.2), "arrives")
    endless = pool.submit(hangs.give, "arrives")
    failing = pool.submit(hangs.fail, "arrives")
    assert isinstance(limited.exception(WAIT), JobTimeout)
    # What comes behind is not held up by it.
    assert isinstance(pool.submit(jobs.fail, "x").exception(WAIT), ValueError)
    check_others(pool, stage)
    assert (endless.outcome, failing.outcome) == (Outcome.INTERRUPTED, Outcome.INTERRUPTED)


def test_the_finalizer_of_an_argument(pool: Any, stage: Stage) -> None:
    stage.occupy(pool, 3)
    waiting = pool.submit(task(hangs.take, total_timeout=0.05), hangs.Freed())
    assert isinstance(waiting.exception(WAIT), JobTimeout)
    assert hangs.ENTERED.wait(WAIT)
    assert pool.drain(0.1).stats.balanced
    hangs.GATE.set()


def test_what_retry_names(pool: Any, stage: Stage) -> None:
    future = pool.submit(task(jobs.fail, retry=Retry(3, on=hangs.Asked, backoff=0)), "x")
    error = future.exception(WAIT)
    assert isinstance(error, ValueError) and "Retry.on" in error.__notes__[0]
    check_others(pool, stage)


def test_the_name_of_a_callable(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(3, cancel_grace=0.05)
    assert isinstance(pool.submit(hangs.Named()).exception(WAIT), ValueError)
    check_others(pool, stage)


def test_a_sink(pool: Any, stage: Stage, kind: Any) -> None:
    if kind.name == "threads":
        pytest.skip("a worker thread tells the sinks of its own jobs itself")
    pool.subscribe(lambda event: hangs.hold() if event.at and type(event).__name__ == "JobFailed" else None)
    assert isinstance(pool.submit(jobs.fail, "x").exception(WAIT), ValueError)
    check_others(pool, stage)


class Handler(logging.Handler):
    """A log handler that hangs."""

    def emit(self, record: logging.LogRecord) -> None:
        hangs.hold()


def test_a_log_handler(make_pool: Callable[..., Any], stage: Stage) -> None:
    handler = Handler()
    logging.getLogger("steadypool").addHandler(handler)
    try:
        pool = make_pool(3, cancel_grace=0.05)
        stage.occupy(pool, 3)
        pool.submit(task(jobs.nothing, total_timeout=0.05))  # its future is let go of, and nobody looks at it
        assert hangs.ENTERED.wait(WAIT)
        assert pool.drain(0.1).stats.balanced
    finally:
        logging.getLogger("steadypool").removeHandler(handler)


def test_a_done_callback_that_hangs_holds_up_no_other(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, cancel_grace=0.05)
    called = threading.Event()
    before = stage.occupy(pool, 2)
    first = pool.submit(task(jobs.act, timeout=0.1), stage.address, "first")
    second = pool.submit(task(jobs.act, timeout=0.1), stage.address, "second")
    first.add_done_callback(lambda future: hangs.hold())  # before it begins: else this thread might call it
    second.add_done_callback(lambda future: called.set())
    for _, actor in before:
        actor.tell("return")
    assert called.wait(WAIT)
    check_others(pool, stage)
