"""A store that is locked for everybody for longer than a lease: no live worker's job is taken."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager

import pytest

from steadypool import Queue
from tests.durable import app
from tests.durable.engines import EngineKind, file_of
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT, Stage

LEASE = 3.0
LOCKED = 4.5


@contextmanager
def transaction_of_the_users(url: str) -> Iterator[None]:
    """With something slow in it, and without our own lock between processes."""
    with closing(sqlite3.connect(file_of(url), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def hold_for_long(queue: Queue, stage: Stage, lock: AbstractContextManager[None]) -> None:
    """While a worker on threads and one on processes have a job each."""
    handles = [app.act.enqueue(stage.address) for _ in range(2)]
    with ExitStack() as working:
        workers = [working.enter_context(Working(queue, kind, 1, lease=LEASE)) for kind in ("thread", "process")]
        actors = [stage.enter(), stage.enter()]
        workers.append(working.enter_context(Working(queue, lease=LEASE)))  # it would take them
        with lock:
            threading.Event().wait(LOCKED)  # longer than a lease: there is nothing else to wait for
        assert app.add.enqueue(1, 2).result(WAIT) == 3
        threading.Event().wait(LEASE)  # in which somebody would take it
        for actor in actors:
            actor.tell("return")
        for handle in handles:
            handle.result(WAIT)
            assert handle.attempts == 1 and handle.errors == ()
        for worker in workers:
            assert not worker.all("JobsRecovered") and not worker.all("LeaseLost")


@pytest.mark.every_engine
def test_a_live_worker_s_job_is_not_taken(queue: Queue, stage: Stage, engine_kind: EngineKind, url: str) -> None:
    queue.engine.migrate()
    hold_for_long(queue, stage, engine_kind.hold(url))


def test_nor_by_a_transaction_of_the_user_s_own(queue: Queue, stage: Stage, url: str) -> None:
    queue.engine.migrate()
    hold_for_long(queue, stage, transaction_of_the_users(url))


def test_what_a_dead_worker_held_is_taken_all_the_same(queue: Queue) -> None:
    queue.engine.migrate()
    handle = app.add.enqueue(1, 2)
    dead = queue.engine.register("dead", 0.5)
    assert queue.engine.claim(dead, ["default"], 1).claims
    with Working(queue, "thread", lease=LEASE) as working:
        assert handle.result(WAIT) == 3
        assert working.wait_for("JobsRecovered").workers == ("dead",)
