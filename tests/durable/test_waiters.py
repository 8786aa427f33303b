"""Many threads that wait for results: one listener, and one connection for news, for all of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from steadypool import Queue
from steadypool.durable.client.ends import Ends
from tests.durable import app
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT, Stage


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(150) as threads:
        yield threads


@pytest.mark.every_engine
def test_a_crowd_of_waiters_gets_its_results(queue: Queue, crowd: ThreadPoolExecutor) -> None:
    handles = app.queue.enqueue_many(app.add, [(number, 1) for number in range(150)])
    results = [crowd.submit(handle.result, WAIT) for handle in handles]
    with Working(queue):
        assert [result.result() for result in results] == list(range(1, 151))
    assert not queue.ends._waiters


@pytest.mark.every_engine
def test_whoever_leads_may_stop_waiting_and_another_leads(queue: Queue, stage: Stage) -> None:
    first, second = app.act.enqueue(stage.address), app.act.enqueue(stage.address)
    with ThreadPoolExecutor(2) as threads:
        impatient = threads.submit(first.result, 0.2)
        patient = threads.submit(second.result, WAIT)
        with pytest.raises(TimeoutError):
            impatient.result()
        with Working(queue):
            for _ in range(2):
                stage.enter().tell("return")
            assert patient.result() == "actor"


@pytest.mark.every_engine
def test_an_end_is_news_to_all_that_wait_for_it(queue: Queue, stage: Stage, crowd: ThreadPoolExecutor) -> None:
    handle = app.act.enqueue(stage.address)
    results = [crowd.submit(handle.result, WAIT) for _ in range(20)]
    with Working(queue):
        stage.enter().tell("return")
        assert {result.result() for result in results} == {"actor"}


@pytest.mark.every_engine
def test_a_waiter_whose_look_fails_hands_the_lead_on(queue: Queue) -> None:
    handle = app.add.enqueue(1)
    ends = Ends(queue.engine)
    entered, over = threading.Event(), threading.Event()

    def lead() -> None:
        with ends.of(handle._key) as waiter:
            ends._leads(waiter)
            entered.set()
            over.wait(WAIT)

    thread = threading.Thread(target=lead)
    thread.start()
    entered.wait(WAIT)
    with ends.of(handle._key) as waiter:
        handle.cancel()
        over.set()
        waiter.wait(WAIT)
    thread.join()
    assert handle.outcome is not None and ends._leader is None
