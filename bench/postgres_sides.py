"""One process of a contender on PostgreSQL: who puts jobs, or who works on them.

python -m bench.postgres_sides CONTENDER produce|consume|serve|send URL [WHAT JOBS BATCH TALLY PLACE AHEAD]

Each says "ready" and waits for a line. *produce* puts so many jobs, no more than *ahead* before those that are done;
*consume* works until that many are done by all who share the tally; both say how long that took, and how much CPU.
*serve* works until it is killed. *send* puts what standard input asks for, a line of JSON at a time.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import psutil
import psycopg

from bench.postgres_peers import PEERS, SLOTS, Order
from bench.tally import Tally

RAW = "raw engine"
KINDS = {"steadypool, threads": "thread", "steadypool, processes": "process", "steadypool, asyncio": "async"}
AT_A_TIME = {"thread": {"nothing": 2, "forgotten": 2}, "process": {"nothing": 2, "forgotten": 2}}
"""How many jobs each of our kinds has at work, where that is not `MANY`: who waits for nothing needs no more."""
MANY = {"thread": SLOTS, "process": 8, "async": 200}
RAW_BATCH = 100
TICK = 0.002


class Contender(Protocol):
    """The contender that is measured, in one process."""

    def put(self, orders: Sequence[Order]) -> None:
        """Put these jobs, in one call."""

    def work(self) -> None:
        """Begin to work, and return."""

    def done(self) -> int:
        """How many jobs are done by now, here."""

    def end(self) -> None:
        """Work no more."""


# -- the engine alone: a row and an entry for each job, one statement that settles a hundred and claims the next

RAW_TABLES = """
CREATE TABLE IF NOT EXISTS raw_jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload bytea);
CREATE TABLE IF NOT EXISTS raw_ready (queue int, prio int, id bigint, PRIMARY KEY (queue, prio, id));
CREATE TABLE IF NOT EXISTS raw_leases (worker int PRIMARY KEY, until timestamptz, ids bigint[]);
"""
RAW_PUT = """WITH i AS (INSERT INTO raw_jobs (payload) SELECT * FROM unnest(%b::bytea[]) RETURNING id)
INSERT INTO raw_ready SELECT 0, 0, id FROM i"""
RAW_CLAIM = """WITH r AS (DELETE FROM raw_jobs WHERE id = ANY(%s::bigint[])),
x AS (DELETE FROM raw_leases WHERE worker = -%s),
c AS MATERIALIZED (SELECT queue, prio, id FROM raw_ready WHERE queue = 0 ORDER BY prio, id LIMIT 100
                   FOR UPDATE SKIP LOCKED),
d AS (DELETE FROM raw_ready USING c WHERE (raw_ready.queue, raw_ready.prio, raw_ready.id) = (c.queue, c.prio, c.id)
      RETURNING raw_ready.id),
l AS (INSERT INTO raw_leases SELECT %s, now() + interval '30 s', array_agg(id) FROM d HAVING count(*) > 0
      ON CONFLICT (worker) DO UPDATE SET until = excluded.until, ids = excluded.ids)
SELECT j.id, j.payload FROM d JOIN raw_jobs j USING (id)"""


class Raw:
    """SQL alone: nothing is run."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=1)
        self._connection.execute("SELECT pg_advisory_lock(1)")
        self._connection.execute(RAW_TABLES.encode())
        self._connection.execute("SELECT pg_advisory_unlock(1)")
        for setting in ("seqscan", "bitmapscan", "sort"):
            self._connection.execute(f"SET enable_{setting} = off".encode())
        self._done = 0
        self._ends = False

    def put(self, orders: Sequence[Order]) -> None:
        self._connection.execute(RAW_PUT, [[b'{"number":12345}'] * len(orders)])

    def work(self) -> None:
        threading.Thread(target=self._work, name="loop", daemon=True).start()

    def _work(self) -> None:
        held: list[int] = []
        cursor = self._connection.cursor(binary=True)
        while not self._ends:
            rows = cursor.execute(RAW_CLAIM.encode(), [held, os.getpid(), os.getpid()]).fetchall()
            self._done += len(held)
            held = [row[0] for row in rows]
            if not rows:
                time.sleep(0.001)

    def done(self) -> int:
        return self._done

    def end(self) -> None:
        self._ends = True


class Ours:
    """`steadypool work`, of one kind."""

    def __init__(self, kind: str, what: str, url: str) -> None:
        os.environ["STEADYPOOL_URL"] = url
        from bench import postgres_jobs

        self._jobs = postgres_jobs
        self._kind = kind
        self._slots = AT_A_TIME.get(kind, {}).get(what, MANY[kind])
        self._worker: Any = None
        self._thread: threading.Thread | None = None
        postgres_jobs.queue.engine.migrate()

    def put(self, orders: Sequence[Order]) -> None:
        task = getattr(self._jobs, orders[0][0] + ("_async" if self._kind == "async" else ""))
        if len(orders) == 1:
            task.enqueue(*orders[0][1:])
        else:
            self._jobs.queue.enqueue_many(task, [order[1:] for order in orders])

    def work(self) -> None:
        from steadypool import Worker, WorkerSettings

        self._worker = Worker(self._jobs.queue, WorkerSettings(kind=self._kind, workers=self._slots, name="bench"))
        ready = threading.Event()
        self._worker.subscribe(lambda event: ready.set())
        self._thread = threading.Thread(target=self._worker.run)
        self._thread.start()
        ready.wait()

    def done(self) -> int:
        return int(self._worker.completed)

    def end(self) -> None:
        self._worker.request_drain(0)
        if self._thread is not None:
            self._thread.join()


def contender(name: str, what: str, url: str) -> Contender:
    """By its name."""
    if name == RAW:
        return Raw(url)
    return Ours(KINDS[name], what, url) if name in KINDS else PEERS[name](url)


# -- what such a process does


@dataclass
class Part:
    """What is to be done, as it stands in the arguments."""

    who: Contender
    what: str
    jobs: int
    batch: int
    tally: Tally
    place: int
    ahead: int

    def produce(self) -> None:
        """Put all."""
        for first in range(0, self.jobs, self.batch):
            while self.ahead and first - self.tally.total() > self.ahead:
                time.sleep(TICK)
            self.who.put([(self.what, n, "") for n in range(first, min(first + self.batch, self.jobs))])

    def consume(self) -> None:
        """Until all are done."""
        while self.tally.total() < self.jobs:
            time.sleep(TICK)
            self.tally.write(self.place, self.who.done())


def threads() -> dict[str, float]:
    """Seconds of CPU by the name of the thread, those of one name together; and of child processes."""
    names = {thread.native_id: thread.name.partition("_")[0] for thread in threading.enumerate()}
    found: dict[str, float] = {}
    me = psutil.Process()
    for thread in me.threads():
        if thread.id in names and thread.id != me.pid:
            name = names[thread.id]
            found[name] = found.get(name, 0.0) + thread.user_time + thread.system_time
    found["others"] = time.process_time() - sum(found.values())  # exact, where a thread's is in hundredths
    found["children"] = sum(sum(child.cpu_times()[:2]) for child in me.children(recursive=True))
    return found


def timed(run: Callable[[], None], end: Callable[[], None]) -> None:
    """Do it at the word, and say what it took."""
    before = threads()
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    run()
    figures = {"seconds": time.perf_counter() - began, "ended": time.time()}
    cpu = {name: seconds - before.get(name, 0.0) for name, seconds in threads().items()}
    end()
    print(json.dumps({**figures, "cpu": cpu}), flush=True)


def send(who: Contender) -> None:
    """Put what each line says."""
    print("ready", flush=True)
    for line in sys.stdin:
        what, numbers, path = json.loads(line)
        who.put([(what, time.time() if number is None else number, path) for number in numbers])
        print("sent", flush=True)


def serve(who: Contender) -> None:
    """Work, until this process is ended, or our standard input: it is not needed then."""
    who.work()
    print("ready", flush=True)
    sys.stdin.read()


def main(name: str, side: str, url: str, what: str = "", *numbers: str) -> None:
    """One side of one contender."""
    who = contender(name, what, url)
    if side in ("send", "serve"):
        partial({"send": send, "serve": serve}[side], who)()
    else:
        jobs, batch, path, place, ahead = numbers
        part = Part(who, what, int(jobs), int(batch), Tally(path), int(place), int(ahead))
        if side == "consume":
            who.work()
        timed(part.produce if side == "produce" else part.consume, who.end if side == "consume" else _nothing)
    leave()


def leave() -> None:
    """At once, whatever the peers' loops and processes still do."""
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(0)


def _nothing() -> None:
    pass


if __name__ == "__main__":
    main(*sys.argv[1:])
