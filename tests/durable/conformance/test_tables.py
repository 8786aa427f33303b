"""Tables, news, and the end of an engine object."""

from __future__ import annotations

import threading
import time

import pytest

from steadypool.durable.engine.protocol import Engine

from .steps import complete, job, put, take, worker


@pytest.mark.empty_store
def test_migrating_says_what_it_would_do_and_does_it_once(open_engine: object) -> None:
    engine: Engine = open_engine()  # type: ignore[operator]
    before = engine.schema()
    assert before.found == 0 and before.wanted > 0 and before.pending
    assert engine.migrate().pending == before.pending
    assert engine.schema().found == before.wanted and engine.schema().pending == ()
    put(engine)
    assert engine.migrate().pending == ()
    assert len(take(engine, worker(engine))) == 1


@pytest.mark.empty_store
def test_many_may_migrate_at_once(open_engine: object) -> None:
    engines = [open_engine() for _ in range(4)]  # type: ignore[operator]
    did: list[int] = []
    threads = [threading.Thread(target=lambda e=engine: did.append(len(e.migrate().pending))) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(did) == 4 and sorted(did)[:3] == [0, 0, 0] and sorted(did)[3] > 0


def heard(listener: object, seconds: float = 30.0) -> float:
    """How long the listener waited, at most *seconds*."""
    began = time.monotonic()
    listener.wait(seconds)  # type: ignore[attr-defined]
    return time.monotonic() - began


def test_work_is_told_to_a_listener_in_another_engine_object(engine: Engine, open_engine: object) -> None:
    listener = open_engine().listener("work")  # type: ignore[operator]
    timer = threading.Timer(0.05, lambda: put(engine))
    timer.start()
    assert heard(listener) < 20
    timer.join()
    listener.close()


def test_news_that_came_before_the_wait_end_it_at_once(engine: Engine, open_engine: object) -> None:
    listener = open_engine().listener("work")  # type: ignore[operator]
    put(engine)
    assert heard(listener) < 20
    listener.close()


def test_ends_are_told(engine: Engine, open_engine: object) -> None:
    put(engine)
    claims = take(engine, worker(engine))
    listener = open_engine().listener("ends")  # type: ignore[operator]
    engine.settle_many([complete(claim) for claim in claims])
    assert heard(listener) < 20
    listener.close()


def test_a_cancel_of_a_running_job_is_told_to_its_worker(engine: Engine, open_engine: object) -> None:
    put(engine)
    [claim] = take(engine, worker(engine))
    listener = open_engine().listener("work")  # type: ignore[operator]
    engine.cancel(claim.number, claim.nonce)
    assert heard(listener) < 20
    listener.close()


def test_a_listener_can_be_woken_before_and_during_its_wait(engine: Engine) -> None:
    listener = engine.listener("work")
    listener.wake()
    assert heard(listener) < 20
    timer = threading.Timer(0.05, listener.wake)
    timer.start()
    assert heard(listener) < 20
    timer.join()
    listener.close()
    listener.close()
    listener.wake()


def test_a_listener_waits_no_longer_than_it_is_told(engine: Engine) -> None:
    listener = engine.listener("work")
    heard(listener, 0.0)
    assert heard(listener, 0.05) < 20
    listener.close()


def test_a_closed_engine_opens_again(engine: Engine) -> None:
    put(engine)
    engine.close()
    engine.close()
    engine.put_many([job()])
    assert len(take(engine, worker(engine))) == 2


def test_a_listener_is_woken_without_a_job(engine: Engine, open_engine: object) -> None:
    listener = open_engine().listener("work")  # type: ignore[operator]
    timer = threading.Timer(0.05, engine.wake)
    timer.start()
    assert heard(listener) < 20
    timer.join()
    listener.close()
