"""Outages and snapshots as long as they are in life: with ``STEADYPOOL_TEST_LONG=1``, which takes some two minutes.

The tests beside this one do the same in proportion, in seconds.
"""

from __future__ import annotations

import itertools
import os
import statistics
import threading
import time
from pathlib import Path

import psycopg
import pytest

from steadypool import Queue
from steadypool.durable.engine.errors import EngineError
from tests.durable import app
from tests.durable.engine.postgres.server import Server
from tests.durable.engine.postgres.test_faults import check_books, enqueue_each
from tests.durable.programs import start_worker
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT

pytestmark = [
    pytest.mark.skipif(os.environ.get("STEADYPOOL_TEST_LONG") != "1", reason="STEADYPOOL_TEST_LONG is not 1"),
    pytest.mark.timeout(180),
]
OUTAGE, SNAPSHOT = 20.0, 60.0


def test_a_server_that_is_away_for_twenty_seconds(own_server: Server, own_queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "ran"
    with Working(own_queue, workers=4) as working:  # with the lease that it has by default
        enqueued = enqueue_each(str(path), range(200))
        own_server.stop()
        began = time.monotonic()
        working.wait_for("EngineFailed")
        threading.Event().wait(OUTAGE)
        with pytest.raises(EngineError):
            app.note.enqueue(str(path), -2)
        own_server.start()
        away = time.monotonic() - began
        working.wait_for("EngineRecovered")
        back = time.monotonic() - began - away
        enqueued |= enqueue_each(str(path), range(200, 400))
        app.note.enqueue(str(path), -1).result(WAIT)
    assert start_worker("--kind", "thread", "--until-empty", "--lease", "1", "--quiet").end() == 0
    check_books(own_queue, path, enqueued | {-1})
    print(f"away for {away:.1f} s; the worker was back {back:.2f} s after the server")


def test_a_snapshot_that_is_held_for_a_minute(queue: Queue, address: str) -> None:
    """As many jobs in its last seconds as in its first: median of the seconds, so that a pause does not decide."""
    done: list[float] = []
    with psycopg.connect(address) as holder, Working(queue, workers=2) as working:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT 1")
        until = time.monotonic() + SNAPSHOT
        for count in itertools.count(1):
            began = time.monotonic()
            queue.enqueue_many(app.add, [(number,) for number in range(500)])
            while working.worker.completed < count * 500:
                threading.Event().wait(0.002)
            done.append(time.monotonic() - began)
            if time.monotonic() > until:
                break
    fifth = len(done) // 5
    first, last = statistics.median(done[:fifth]), statistics.median(done[-fifth:])
    print(
        f"{len(done) * 500:,} jobs in {SNAPSHOT:.0f} s: 500 in {first * 1e3:.0f} ms at first, {last * 1e3:.0f} at last"
    )
    assert last < first * 3  # by what the head of the queue holds at the end, it would be tens of times as long
