"""Where is it stuck: `dump`, on request and on a signal."""

from __future__ import annotations

import io
import logging
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Actor, Stage
from tests.pools.contract.test_queue import in_thread

pytestmark = pytest.mark.usefixtures("patient_stacks")


def test_every_running_job_with_its_stack(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(2, name="busy")
    actors = [stage.start(pool, fn=task(jobs.act, id=name, name="the actor"))[1] for name in ("a", "b")]
    waiting = pool.submit(jobs.nothing)
    text = pool.dump()
    assert text.splitlines()[0] == "pool 'busy' is open, runs 2, 1 wait:"
    for job_id in ("a", "b"):
        (part,) = [part for part in text.split("\n  ") if part.startswith(f"{job_id} the actor for ")]
        assert "asked to stop" not in part.partition("\n")[0]
    assert text.count("in act\n") == 2
    for actor in actors:
        actor.tell("return")
    waiting.result(WAIT)


def test_a_pool_that_runs_nothing_says_so(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1, name="idle")
    assert pool.dump() == "pool 'idle' is open, runs nothing\n"
    pool.submit(jobs.nothing).result(WAIT)
    pool.drain(WAIT)
    assert pool.dump() == "pool 'idle' is closed, runs nothing\n"


def test_a_job_that_was_told_to_stop_is_there_with_the_same_stack(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=30)
    late, actor = timed_out_at_rest(pool, stage)
    error = late.exception(0)
    text = pool.dump()
    assert f"  {late.job_id} slow for " in text and "s, asked to stop (timeout)\n" in text
    for line in error.stack.rstrip().splitlines():
        assert f"    {line}\n" in text
    actor.tell("return")
    pool.submit(jobs.nothing).result(WAIT)
    assert "runs nothing" in pool.dump()


WAITS_IN = ("readinto", "_read_line")
"""The functions in which `jobs.act` and its asynchronous twin wait for orders."""


def timed_out_at_rest(pool: Any, stage: Stage) -> tuple[Any, Actor]:
    """A job that waited for its orders when its time was up. A busy machine takes longer to bring it there."""
    for limit in (0.05, 0.5, 5.0):
        late, actor = stage.start(pool, fn=task(jobs.act, name="slow", timeout=limit))
        stack = late.exception(WAIT).stack
        if any(f"in {function}\n" in stack for function in WAITS_IN):
            return late, actor
        actor.tell("return")
    raise AssertionError("the job never came to where it waits")


def test_dumps_while_jobs_come_and_go(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2, queue_size=1000)
    futures = [pool.submit(jobs.same, number) for number in range(500)]
    while not all(future.done() for future in futures):
        assert pool.dump().startswith(f"pool '{pool.name}' is open, runs ")


@pytest.fixture
def dumps() -> queue.Queue[str]:
    """What was dumped."""
    return queue.Queue()


def test_a_signal_dumps(pool: Any, stage: Stage, dumps: queue.Queue[str]) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    _, actor = stage.start(pool)
    with pool.dump_on_signal(to=dumps.put):
        for _ in range(2):
            signal.raise_signal(signal.SIGUSR1)
            assert "in act" in dumps.get(timeout=WAIT)
    assert dumps.empty()
    assert signal.getsignal(signal.SIGUSR1) is before
    actor.tell("return")


def test_a_dump_that_was_asked_for_is_there_after_the_block(pool: Any) -> None:
    file = io.StringIO()
    with pool.dump_on_signal(signal.SIGUSR2, to=file):
        signal.raise_signal(signal.SIGUSR2)
    assert file.getvalue() == f"pool '{pool.name}' is open, runs nothing\n"


def test_it_goes_to_standard_error(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with pool.dump_on_signal(signal.SIGUSR2):
        signal.raise_signal(signal.SIGUSR2)
    assert "runs nothing" in file.getvalue()


def test_it_comes_though_the_main_thread_is_held_up(pool: Any) -> None:
    dumped = threading.Lock()
    dumped.acquire()
    sleeper = threading.Event()
    other = threading.Thread(target=sleeper.wait, daemon=True)
    other.start()
    with pool.dump_on_signal(to=lambda text: dumped.release()):
        # To a thread whose waiting it interrupts, not to the main thread, which goes on waiting for its lock.
        threading.Timer(0.05, signal.pthread_kill, [other.ident, signal.SIGUSR1]).start()
        assert dumped.acquire(timeout=WAIT)
    sleeper.set()


def test_beside_a_drain_on_signal_and_another_pool(make_pool: Callable[..., Any], dumps: queue.Queue[str]) -> None:
    one, other = make_pool(1, name="one"), make_pool(1, name="other")
    with one.dump_on_signal(to=dumps.put), other.dump_on_signal(signal.SIGUSR2, to=dumps.put):
        with one.dump_on_signal(signal.SIGHUP, to=dumps.put):
            signal.raise_signal(signal.SIGUSR2)
            assert "'other'" in dumps.get(timeout=WAIT)
        signal.raise_signal(signal.SIGUSR1)
        assert "'one'" in dumps.get(timeout=WAIT)
    assert dumps.empty()
    assert signal.set_wakeup_fd(-1) == -1


def test_what_cannot_be_written_is_logged_and_does_no_harm(
    pool: Any, dumps: queue.Queue[str], caplog: pytest.LogCaptureFixture
) -> None:
    def write(text: str) -> None:
        dumps.put(text)
        raise OSError("the disk is full")

    with caplog.at_level(logging.ERROR, "steadypool"), pool.dump_on_signal(to=write):
        for _ in range(2):
            signal.raise_signal(signal.SIGUSR1)
            dumps.get(timeout=WAIT)
    assert "could not be written" in caplog.text and "the disk is full" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "error"), [((signal.SIGUSR1, 3), TypeError), ((99,), ValueError), (("USR1",), ValueError)]
)
def test_what_makes_no_sense_is_told_at_once(pool: Any, arguments: Any, error: type[Exception]) -> None:
    number, *to = arguments
    with pytest.raises(error):
        pool.dump_on_signal(number, **({"to": to[0]} if to else {}))


def test_what_cannot_be_caught_leaves_nothing_behind(pool: Any) -> None:
    with pytest.raises(OSError):
        pool.dump_on_signal(signal.SIGKILL).__enter__()
    assert signal.set_wakeup_fd(-1) == -1


def test_off_the_main_thread_it_says_what_to_do(pool: Any) -> None:
    thread, ended = in_thread(lambda: pool.dump_on_signal().__enter__())
    thread.join(WAIT)
    assert isinstance(ended[0], RuntimeError) and "pool.dump()" in str(ended[0])
