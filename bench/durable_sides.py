"""Both sides of each contender: who enqueues and who works, each a process of its own.

python -m bench.durable_sides CONTENDER produce|consume FOLDER JOBS BATCH WORK

It says "ready", waits for a line, does its part, and says how long that took and how much CPU.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from time import perf_counter, sleep
from typing import Any

WORKERS = 2
SLEEPERS = 16
"""Workers for jobs that wait for a millisecond: enough for none of the contenders to be held up by their number."""
RAW_BATCH = 100
at_the_end: list[Callable[[], object]] = []
"""What is to be done when the time has been taken."""
Side = Callable[[str, int, int, str], Callable[[], None]]
"""Gets ready, and returns what does it."""


SIXTEEN = "sixteen threads"
"""Instead of a kind of work: nothing, enqueued one by one on so many threads."""


def by_sixteen(put: Callable[[int], object], jobs: int) -> None:
    """Have sixteen threads put them."""

    def run(first: int) -> None:
        for number in range(first, jobs, 16):
            put(number)

    threads = [threading.Thread(target=run, args=(first,)) for first in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- the engine alone: one row, one claim by lease, one deletion for each job; batches of a hundred


def _raw(folder: str) -> tuple[sqlite3.Connection, int]:
    connection = sqlite3.connect(f"{folder}/raw.db", isolation_level=None, timeout=30)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000", "cache_size=-16384"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.executescript(
        "CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, payload BLOB);"
        "CREATE TABLE IF NOT EXISTS ready (queue, prio, id, PRIMARY KEY (queue, prio, id)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS leases (id INTEGER PRIMARY KEY, until, ids TEXT)"
    )
    return connection, os.open(f"{folder}/raw.lock", os.O_RDWR | os.O_CREAT)


def produce_raw(folder: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    connection, lock = _raw(folder)

    def run() -> None:
        for first in range(1, jobs + 1, batch):
            numbers = range(first, min(first + batch, jobs + 1))
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO jobs VALUES (?, ?)", [(n, b'{"number":12345}') for n in numbers])
            connection.executemany("INSERT INTO ready VALUES (0, 0, ?)", [(n,) for n in numbers])
            connection.execute("COMMIT")
            fcntl.flock(lock, fcntl.LOCK_UN)

    return run


def consume_raw(folder: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    connection, lock = _raw(folder)

    def run() -> None:
        done, held = 0, []
        while done < jobs:
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM jobs WHERE id = ?", held)
            connection.execute("DELETE FROM leases")
            done += len(held)
            rows = connection.execute(
                "SELECT r.id, j.payload FROM ready r JOIN jobs j ON j.id = r.id "
                f"WHERE queue = 0 ORDER BY prio, r.id LIMIT {RAW_BATCH}"
            ).fetchall()
            held = [(number,) for number, _ in rows]
            if held:
                connection.execute("DELETE FROM ready WHERE queue = 0 AND id BETWEEN ? AND ?", (*held[0], *held[-1]))
                connection.execute("INSERT INTO leases VALUES (1, 0, ?)", (json.dumps(held),))
            connection.execute("COMMIT")
            fcntl.flock(lock, fcntl.LOCK_UN)
            if not held:
                sleep(0.0005)  # or it would take the lock again before the producer, which it waits for, can

    return run


# -- ours


def _ours(folder: str) -> Any:
    os.environ["STEADYPOOL_URL"] = f"sqlite:///{folder}/ours.db"
    from bench import durable_jobs

    durable_jobs.queue.engine.migrate()
    return durable_jobs


def produce_ours(folder: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    app = _ours(folder)
    task = getattr(app, "nothing" if work == SIXTEEN else work)

    def run() -> None:
        if work == SIXTEEN:
            by_sixteen(task.enqueue, jobs)
        elif batch == 1:
            for number in range(jobs):
                task.enqueue(number)
        else:
            for first in range(0, jobs, batch):
                app.queue.enqueue_many(task, [(n,) for n in range(first, min(first + batch, jobs))])

    return run


def _consume_ours(kind: str) -> Side:
    def consume(folder: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
        from steadypool import Worker, WorkerSettings

        app = _ours(folder)
        worker = Worker(app.queue, WorkerSettings(kind=kind, workers=WORKERS if work == "nothing" else SLEEPERS))
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


# -- huey: its own consumer, with threads


def _huey(folder: str) -> tuple[Any, Any]:
    from huey import SqliteHuey

    huey = SqliteHuey("bench", filename=f"{folder}/huey.db", fsync=True, results=False)

    @huey.task()
    def work(number: int, seconds: float) -> int:
        if seconds:
            sleep(seconds)
        _count()
        return number

    return huey, work


_done = 0
_counting = threading.Lock()


def _count() -> None:
    global _done
    with _counting:
        _done += 1


def produce_huey(folder: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    _, task = _huey(folder)
    seconds = 0.001 if work == "millisecond" else 0.0

    def run() -> None:
        if work == SIXTEEN:
            by_sixteen(lambda number: task(number, seconds), jobs)
            return
        for number in range(jobs):
            task(number, seconds)

    return run


def consume_huey(folder: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    huey, _ = _huey(folder)
    workers = WORKERS if work == "nothing" else SLEEPERS
    consumer = huey.create_consumer(workers=workers, periodic=False, initial_delay=0.001)

    def run() -> None:
        consumer.start()
        while _done < jobs:
            sleep(0.005)
        at_the_end.append(consumer.stop)

    return run


# -- litequeue: a queue without workers; a loop that takes and marks one at a time


def _litequeue(folder: str) -> Any:
    from litequeue import LiteQueue

    queue = LiteQueue(f"{folder}/lite.db", timeout=30)
    queue.conn.execute("PRAGMA synchronous = FULL")
    return queue


def produce_litequeue(folder: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    queue = _litequeue(folder)

    def run() -> None:
        for number in range(jobs):
            queue.put(json.dumps({"number": number}))

    return run


def consume_litequeue(folder: str, jobs: int, batch: int, work: str) -> Callable[[], None]:
    queue = _litequeue(folder)
    seconds = 0.0 if work == "nothing" else 0.001

    def run() -> None:
        done = 0
        while done < jobs:
            message = queue.pop()
            if message is None:
                sleep(0.0005)
                continue
            json.loads(message.data)
            if seconds:
                sleep(seconds)
            queue.done(message.message_id)
            done += 1

    return run


SIDES: dict[str, tuple[Side, Side]] = {
    "raw engine": (produce_raw, consume_raw),
    "steadypool, threads": (produce_ours, _consume_ours("thread")),
    "steadypool, processes": (produce_ours, _consume_ours("process")),
    "huey, threads": (produce_huey, consume_huey),
    "litequeue, one loop": (produce_litequeue, consume_litequeue),
}


# -- workers that write a line for each job, and enqueuers that say what they have enqueued, to be killed


GRACE = 1.5
"""Seconds that a worker has to end after SIGTERM."""


def serve_ours(folder: str, path: str) -> None:
    app = _ours(folder)
    app.queue.work(kind="process", workers=WORKERS, on_signals=True, drain_timeout=GRACE, cancel_grace=0.2)


def serve_huey(folder: str, path: str) -> None:
    huey, _ = _lines_of_huey(folder)
    huey.create_consumer(workers=WORKERS, periodic=False, initial_delay=0.001).run()


def serve_litequeue(folder: str, path: str) -> None:
    from bench.durable_jobs import write_line

    queue = _litequeue(folder)
    while True:
        message = queue.pop()
        if message is None:
            sleep(0.0005)
            continue
        job = json.loads(message.data)
        sleep(job["seconds"])
        write_line(path, job["number"])
        queue.done(message.message_id)


def put_ours(folder: str, path: str, seconds: float) -> Put:
    app = _ours(folder)
    return lambda number: app.line.enqueue(path, number, seconds)


def put_huey(folder: str, path: str, seconds: float) -> Put:
    _, line = _lines_of_huey(folder)
    return lambda number: line(path, number, seconds)


def put_litequeue(folder: str, path: str, seconds: float) -> Put:
    queue = _litequeue(folder)
    return lambda number: queue.put(json.dumps({"number": number, "seconds": seconds}))


def _lines_of_huey(folder: str) -> tuple[Any, Any]:
    from huey import SqliteHuey

    from bench.durable_jobs import write_line

    huey = SqliteHuey("faults", filename=f"{folder}/huey.db", fsync=True, results=False)

    @huey.task(retries=3)
    def line(path: str, number: int, seconds: float) -> None:
        sleep(seconds)
        write_line(path, number)

    return huey, line


Serve = Callable[[str, str], None]
Put = Callable[[int], object]
SERVERS: dict[str, tuple[Serve, Callable[[str, str, float], Put]]] = {
    "steadypool, processes": (serve_ours, put_ours),
    "huey, threads": (serve_huey, put_huey),
    "litequeue, one loop": (serve_litequeue, put_litequeue),
}


def put_all(contender: str, folder: str, path: str, jobs: str, seconds: str, first: str) -> None:
    """Enqueue so many, numbered from *first*, and say each once it is."""
    put = SERVERS[contender][1](folder, path, float(seconds))
    for number in range(int(first), int(first) + int(jobs)):
        put(number)
        print(number, flush=True)


def main(contender: str, side: str, folder: str, jobs: str, batch: str, work: str) -> None:
    """One side of one contender."""
    run = SIDES[contender][side == "consume"](folder, int(jobs), int(batch), work)
    print("ready", flush=True)
    sys.stdin.readline()
    before = _cpu()
    began = perf_counter()
    run()
    figures = {"seconds": perf_counter() - began, "ended": time.time()}
    for end in at_the_end:
        end()
    print(json.dumps({**figures, "cpu": _cpu() - before}), flush=True)


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    if sys.argv[2] == "serve":
        SERVERS[sys.argv[1]][0](*sys.argv[3:])
    elif sys.argv[2] == "put":
        put_all(sys.argv[1], *sys.argv[3:])
    else:
        main(*sys.argv[1:])
