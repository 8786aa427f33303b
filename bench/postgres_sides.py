"""Both sides of each contender on PostgreSQL: who enqueues and who works, each a process of its own.

python -m bench.postgres_sides CONTENDER produce|consume URL JOBS BATCH WORK

It says "ready", waits for a line, does its part, and says how long that took and how much CPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from time import perf_counter, sleep
from typing import Any

import psycopg

from bench.durable_sides import _cpu as cpu

WORKERS = {"nothing": 2, "millisecond": 8}
Side = Callable[[str, int, int, str], Callable[[], None]]
"""Gets ready, and returns what does it."""
at_the_end: list[Callable[[], object]] = []
"""What is to be done when the time has been taken."""
_done = 0
_counting = threading.Lock()


def count_one() -> None:
    """A job has been done."""
    global _done
    with _counting:
        _done += 1


# -- the engine alone: a row and an entry for each job, one statement that settles a hundred and claims the next

RAW_TABLES = """
CREATE TABLE IF NOT EXISTS raw_jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload bytea);
CREATE TABLE IF NOT EXISTS raw_ready (queue int, prio int, id bigint, PRIMARY KEY (queue, prio, id));
CREATE TABLE IF NOT EXISTS raw_leases (worker int PRIMARY KEY, until timestamptz, ids bigint[]);
"""
RAW_PUT = """WITH i AS (INSERT INTO raw_jobs (payload) SELECT * FROM unnest(%b::bytea[]) RETURNING id)
INSERT INTO raw_ready SELECT 0, 0, id FROM i"""
RAW_CLAIM = """WITH r AS (DELETE FROM raw_jobs WHERE id = ANY(%s::bigint[])),
x AS (DELETE FROM raw_leases WHERE worker = 1),
c AS MATERIALIZED (SELECT queue, prio, id FROM raw_ready WHERE queue = 0 ORDER BY prio, id LIMIT 100
                   FOR UPDATE SKIP LOCKED),
d AS (DELETE FROM raw_ready USING c WHERE (raw_ready.queue, raw_ready.prio, raw_ready.id) = (c.queue, c.prio, c.id)
      RETURNING raw_ready.id),
l AS (INSERT INTO raw_leases SELECT 2, now() + interval '30 s', array_agg(id) FROM d HAVING count(*) > 0
      ON CONFLICT (worker) DO UPDATE SET until = excluded.until, ids = excluded.ids)
SELECT j.id, j.payload FROM d JOIN raw_jobs j USING (id)"""


def _raw(url: str) -> psycopg.Connection[Any]:
    connection = psycopg.connect(url, autocommit=True, prepare_threshold=1)
    connection.execute("SELECT pg_advisory_lock(1)")
    connection.execute(RAW_TABLES.encode())
    connection.execute("SELECT pg_advisory_unlock(1)")
    for setting in ("seqscan", "bitmapscan", "sort"):
        connection.execute(f"SET enable_{setting} = off".encode())
    return connection


def produce_raw(url: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    connection = _raw(url)

    def run() -> None:
        for _ in range(0, jobs, batch):
            connection.execute(RAW_PUT, [[b'{"number":12345}'] * batch])

    return run


def consume_raw(url: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    connection = _raw(url)

    def run() -> None:
        done, held = 0, []
        cursor = connection.cursor(binary=True)
        while done < jobs:
            rows = cursor.execute(RAW_CLAIM.encode(), [held]).fetchall()
            done += len(held)
            held = [row[0] for row in rows]
            if not rows:
                sleep(0.001)

    return run


# -- ours


def _ours(url: str) -> Any:
    os.environ["STEADYPOOL_URL"] = url
    from bench import durable_jobs

    durable_jobs.queue.engine.migrate()
    return durable_jobs


def produce_ours(url: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    app = _ours(url)
    task = getattr(app, work)

    def run() -> None:
        if batch == 1:
            for number in range(jobs):
                task.enqueue(number)
        for first in range(0, jobs if batch > 1 else 0, batch):
            app.queue.enqueue_many(task, [(n,) for n in range(first, min(first + batch, jobs))])

    return run


def consume_ours(kind: str) -> Side:
    def consume(url: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
        from steadypool import Worker, WorkerSettings

        app = _ours(url)
        worker = Worker(app.queue, WorkerSettings(kind=kind, workers=WORKERS[work]))
        ready = threading.Event()
        worker.subscribe(lambda event: ready.set())
        thread = threading.Thread(target=worker.run)
        thread.start()
        ready.wait()

        def run() -> None:
            while worker.completed < jobs:
                sleep(0.005)
            at_the_end.append(lambda: (worker.request_drain(0), thread.join()))

        return run

    return consume


# -- the peers: each with its own worker, on one event loop


class Loop:
    """An event loop on a thread, for libraries of asyncio."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, what: Awaitable[Any]) -> Any:
        """Run it, and wait."""
        return asyncio.run_coroutine_threadsafe(_await(what), self.loop).result()

    def start(self, what: Awaitable[Any]) -> None:
        """Run it, and do not wait; it goes when the process does."""
        asyncio.run_coroutine_threadsafe(_await(what), self.loop)


async def _await(what: Awaitable[Any]) -> Any:
    return await what


async def _work(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)
    count_one()


def _until(jobs: int) -> Callable[[], None]:
    def run() -> None:
        while _done < jobs:
            sleep(0.005)

    return run


def _procrastinate(url: str) -> tuple[Loop, Any, Any]:
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name="work", queue="bench")
    async def work(number: int, seconds: float) -> None:
        await _work(seconds)

    loop = Loop()
    loop.run(app.open_async())
    with contextlib.suppress(Exception):  # the other side has made them
        loop.run(app.schema_manager.apply_schema_async())
    return loop, app, work


def produce_procrastinate(url: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    loop, _, task = _procrastinate(url)
    seconds = 0.0 if work == "nothing" else 0.001

    async def put() -> None:
        for first in range(0, jobs, batch):
            rows = [{"number": n, "seconds": seconds} for n in range(first, min(first + batch, jobs))]
            await (task.defer_async(**rows[0]) if batch == 1 else task.batch_defer_async(*rows))

    return lambda: loop.run(put())


def consume_procrastinate(url: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    loop, app, _ = _procrastinate(url)
    loop.start(app.run_worker_async(concurrency=WORKERS[work] * 4, install_signal_handlers=False))
    return _until(jobs)


def _pgqueuer(url: str) -> tuple[Loop, Any]:
    import asyncpg
    from pgqueuer import AsyncpgDriver, Queries

    loop = Loop()
    given = psycopg.conninfo.conninfo_to_dict(url)
    connection = loop.run(_connect(asyncpg, given))
    driver = AsyncpgDriver(connection)
    with contextlib.suppress(Exception):  # the other side has made them
        loop.run(Queries(driver).install())
    return loop, driver


async def _connect(asyncpg: Any, given: dict[str, Any]) -> Any:
    return await asyncpg.connect(host=given["host"], user=given["user"], database=given["dbname"])


def produce_pgqueuer(url: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    from pgqueuer import Queries

    loop, driver = _pgqueuer(url)

    async def put() -> None:
        queries = Queries(driver)
        for _ in range(0, jobs, batch):
            await queries.enqueue([work] * batch, [b'{"number":12345}'] * batch, [0] * batch)

    return lambda: loop.run(put())


def consume_pgqueuer(url: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    from pgqueuer import PgQueuer

    loop, driver = _pgqueuer(url)
    queuer = PgQueuer(driver)
    seconds = 0.0 if work == "nothing" else 0.001

    @queuer.entrypoint(work)
    async def do(job: Any) -> None:
        await _work(seconds)

    loop.start(queuer.run(batch_size=100))
    return _until(jobs)


SIDES: dict[str, tuple[Side, Side]] = {
    "raw engine": (produce_raw, consume_raw),
    "steadypool, threads": (produce_ours, consume_ours("thread")),
    "steadypool, processes": (produce_ours, consume_ours("process")),
    "procrastinate": (produce_procrastinate, consume_procrastinate),
    "pgqueuer": (produce_pgqueuer, consume_pgqueuer),
}


def main(contender: str, side: str, url: str, jobs: str, batch: str, work: str) -> None:
    """One side of one contender."""
    run = SIDES[contender][side == "consume"](url, int(jobs), int(batch), work)
    print("ready", flush=True)
    sys.stdin.readline()
    before = cpu()
    began = perf_counter()
    run()
    figures = {"seconds": perf_counter() - began, "ended": time.time()}
    for end in at_the_end:
        end()
    print(json.dumps({**figures, "cpu": cpu() - before}), flush=True)
    os._exit(0)  # the peers' loops are still running


if __name__ == "__main__":
    main(*sys.argv[1:])
