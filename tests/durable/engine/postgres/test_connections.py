"""How many connections a process takes, as docs/growing.md counts them."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from steadypool import Queue
from steadypool.durable.engine.open import open_engine
from steadypool.durable.worker.heartbeat import Heartbeat
from tests.durable import app
from tests.durable.engine.postgres.sockets import connections_like
from tests.durable.programs import ROOT, start_worker
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT

COUNTED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend'"
)
PAUSE = threading.Event()


class Counter:
    """Counts the sessions of one database."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def now(self) -> int:
        [count] = self._connection.execute(COUNTED).fetchone() or (0,)
        return int(count)

    def settles_at(self, wanted: int) -> bool:
        """Whether it comes to that, and stays so for a while."""
        until, since = monotonic() + WAIT, monotonic()
        while monotonic() < until:
            if self.now() != wanted:
                since = monotonic()
            elif monotonic() - since > 1.0:
                return True
            PAUSE.wait(0.05)
        return False


@pytest.fixture
def counter(address: str) -> Iterator[Counter]:
    with psycopg.connect(address, autocommit=True) as connection:
        yield Counter(connection)


@pytest.fixture(scope="module")
def documented() -> dict[str, int]:
    text = (Path(ROOT) / "docs" / "growing.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (\d+) \|$", text.partition("<!-- connections -->")[2].partition("\n\n")[0], re.M)
    return {what: int(count) for what, count in rows}


def test_a_process_that_enqueues_and_one_that_looks(queue: Queue, counter: Counter, documented: dict[str, int]) -> None:
    handle = app.add.enqueue(1)
    assert counter.settles_at(documented["that enqueues"])
    handle.cancel()
    assert counter.settles_at(2)
    queue.close()
    assert handle.outcome is not None
    assert counter.settles_at(1)


def test_a_crowd_of_threads_that_wait(queue: Queue, counter: Counter, documented: dict[str, int]) -> None:
    handles = app.queue.enqueue_many(app.add, [(number,) for number in range(150)])
    with ThreadPoolExecutor(150) as threads:
        results = [threads.submit(handle.result, WAIT) for handle in handles]
        assert counter.settles_at(documented["that does both"])
        with Working(queue):
            assert [result.result() for result in results] == list(range(150))
    assert documented["that looks at jobs or waits for results, from however many threads and asyncio tasks"] == 2


def test_a_crowd_of_asyncio_tasks_that_wait(queue: Queue, counter: Counter, documented: dict[str, int]) -> None:
    ids = [handle.id for handle in app.queue.enqueue_many(app.add, [(number,) for number in range(1000)])]
    queue.close()  # the connection that has enqueued

    async def wait_for_all() -> list[int]:
        handles = [await queue.get_async(id) for id in ids]
        waiting = asyncio.gather(*[handle.result_async(WAIT) for handle in handles])
        threads = threading.active_count()
        assert await asyncio.to_thread(counter.settles_at, 2)
        assert threading.active_count() <= threads + 2  # the one that leads, and that of the line above
        with Working(queue):
            return await waiting

    assert asyncio.run(wait_for_all()) == list(range(1000))
    assert documented["that looks at jobs or waits for results, from however many threads and asyncio tasks"] == 2


@pytest.mark.parametrize("kind", ["thread", "async", "process"])
def test_a_worker(queue: Queue, counter: Counter, documented: dict[str, int], kind: str) -> None:
    worker = start_worker("--kind", kind, "--lease", "1")
    worker.read_until("is ready")
    assert counter.settles_at(documented["a worker, the helper that renews its lease included"])
    worker.kill()


def test_a_lease_takes_one_connection(address: str) -> None:
    """That of the helper, from the moment on when it has one."""
    with closing(open_engine(address)) as engine, psycopg.connect(address) as other:
        worker = engine.register("it", 60.0)
        before = connections_like(other.fileno())
        heartbeat = Heartbeat(address, 60.0, True, print)
        heartbeat.start(worker)
        try:
            assert connections_like(other.fileno()) == before
        finally:
            heartbeat.stop(WAIT)


def test_a_worker_whose_jobs_enqueue_and_wait(queue: Queue, counter: Counter, documented: dict[str, int]) -> None:
    worker = start_worker("--kind", "thread", "--lease", "1")
    worker.read_until("is ready")
    app.enqueue_more.enqueue(1)
    queue.close()
    assert counter.settles_at(documented["a worker on threads or asyncio whose jobs enqueue"])
    app.parent.enqueue(1)  # for a job that no worker takes
    queue.close()
    assert counter.settles_at(documented["... and wait for results"])
    worker.kill()
