"""One job of a key at a time, beside the peers: 1,000 jobs that do nothing, of 50 keys, one worker of 10 slots.

Each side is a process on a database of its own. It puts the jobs, starts its worker, and says how many jobs a second
were done from then on, and the most of one key that ran at once. Each side has one turn in a round.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import random
import statistics
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import version
from time import perf_counter
from typing import Any, Protocol

from bench import postgres_peers
from bench.postgres_peers import why_missing
from bench.postgres_runs import SETTINGS
from bench.rounds import Effort
from bench.tables import Table
from tests.durable.engine.postgres import server

JOBS, KEYS, SLOTS = 1_000, 50, 10
MOST_SECONDS = 60
Key = str
_running: collections.Counter[Key] = collections.Counter()
_most = 0
_left = threading.Semaphore(0)


class Side(Protocol):
    """One contender: it puts jobs of these keys, and begins to work."""

    def put_keys(self, keys: Sequence[Key]) -> None: ...

    def work(self) -> None: ...


async def of_key(key: Key) -> None:
    """What each job does: let others run, and count."""
    global _most
    _running[key] += 1
    _most = max(_most, _running[key])
    await asyncio.sleep(0)
    _running[key] -= 1
    _left.release()


class Ours:
    """`Limit(running=1, by="key")`, or none."""

    def __init__(self, url: str, limited: bool) -> None:
        from steadypool import Limit, Queue

        self._queue = Queue(url)
        self._queue.engine.migrate()
        decorate = self._queue.task(limit=Limit(running=1, by="key")) if limited else self._queue.task
        self._task: Any = decorate(of_key)

    def put_keys(self, keys: Sequence[Key]) -> None:
        self._queue.enqueue_many(self._task, [(key,) for key in keys])

    def work(self) -> None:
        from steadypool import Worker, WorkerSettings

        worker = Worker(self._queue, WorkerSettings(kind="async", workers=SLOTS))
        threading.Thread(target=worker.run, daemon=True).start()


class Procrastinate(postgres_peers.Procrastinate):
    """``lock=key``."""

    def __init__(self, url: str, limited: bool) -> None:
        super().__init__(url)
        self._limited = limited
        self._of_key = self._app.task(of_key, name="of_key", queue="bench")

    def put_keys(self, keys: Sequence[Key]) -> None:
        self.loop.run(self._put_each(keys))

    async def _put_each(self, keys: Sequence[Key]) -> None:
        for key in keys:
            await self._of_key.configure(lock=key if self._limited else None).defer_async(key=key)

    def work(self) -> None:
        self.loop.start(self._app.run_worker_async(concurrency=SLOTS, install_signal_handlers=False))


class Pgqueuer(postgres_peers.Pgqueuer):
    """An entrypoint for each key, with ``concurrency_limit=1``: it counts by entrypoint, and by nothing else."""

    def __init__(self, url: str, limited: bool) -> None:
        super().__init__(url)
        self._limited = limited

    def put_keys(self, keys: Sequence[Key]) -> None:
        count = len(keys)
        payloads = [key.encode() for key in keys]
        self.loop.run(self._queries.enqueue(list(keys), payloads, [0] * count))

    def work(self) -> None:
        from pgqueuer import PgQueuer

        queuer = PgQueuer(self._driver)

        async def work(job: Any) -> None:
            await of_key(job.payload.decode())

        for number in range(KEYS):
            queuer.entrypoint(str(number), concurrency_limit=int(self._limited))(work)
        # Its cap must be twice the batch.
        self.loop.start(queuer.run(batch_size=SLOTS // 2, max_concurrent_tasks=SLOTS))


SIDES: dict[str, Any] = {"steadypool": Ours, "procrastinate": Procrastinate, "pgqueuer": Pgqueuer}


def limit_peers(effort: Effort) -> Table:
    """The table, on a server of its own."""
    server._shared = server.Server(**SETTINGS).start()
    try:
        return _measure(effort)
    finally:
        server.remove_shared_server()


def _measure(effort: Effort) -> Table:
    names = [name for name in SIDES if name == "steadypool" or not why_missing(name)]
    found: dict[tuple[str, bool], list[tuple[float, int]]] = collections.defaultdict(list)
    for _ in range(1 if effort.quick else 3):
        for name in names:
            for limited in (False, True):
                found[name, limited].append(_run(name, limited))
    rows = [_row(name, found[name, False], found[name, True]) for name in names]
    columns = ("", "jobs/s, no limit", "jobs/s, one of a key", "most of a key at once, no limit", "with it")
    return Table("limit-peers", TITLE, columns, rows, {name: found[name, True] for name in names}, NOTE)


TITLE = f"PostgreSQL: one job of a key at a time, {JOBS:,} jobs of {KEYS} keys"
NOTE = (
    f"One worker of {SLOTS} slots on an event loop, jobs that do nothing, from its start to the end of the last job; "
    "medians of interleaved rounds. Each job lets the others of its loop run once. Keys come in a shuffled order. "
    "Steadypool: `Limit(running=1, by=...)`. procrastinate: `lock=`. pgqueuer has no limit by key: its jobs have an "
    "entrypoint for each key, with `concurrency_limit=1`."
)


def _row(name: str, free: list[tuple[float, int]], limited: list[tuple[float, int]]) -> tuple[str, ...]:
    rates = (f"{statistics.median(rate for rate, _ in found):,.0f}" for found in (free, limited))
    title = name if name == "steadypool" else f"{name} {version(name)}"
    return (title, *rates, *(str(max(most for _, most in found)) for found in (free, limited)))


def _run(name: str, limited: bool) -> tuple[float, int]:
    """Jobs a second, and the most of a key at once."""
    with server.database() as url:
        command = [sys.executable, "-m", "bench.limit_peers", name, str(int(limited)), url]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    rate, most = json.loads(done.stdout.splitlines()[-1])
    return rate, most


def _main(name: str, limited: str, url: str) -> None:
    side: Side = SIDES[name](url, limited == "1")
    keys = [str(number % KEYS) for number in range(JOBS)]
    random.Random(1).shuffle(keys)
    side.put_keys(keys)
    began = perf_counter()
    side.work()
    for number in range(JOBS):
        if not _left.acquire(timeout=MOST_SECONDS):
            raise RuntimeError(f"{name}: {number} of {JOBS} jobs done, and no other for {MOST_SECONDS} s")
    print(json.dumps([JOBS / (perf_counter() - began), _most]), flush=True)
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
