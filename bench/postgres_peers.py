"""The peers on PostgreSQL, made to look alike. Each has its own worker on one event loop, and runs coroutines."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import itertools
import json
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Sequence
from concurrent.futures import Future
from typing import Any

import psycopg

from bench.postgres_jobs import do_async

SLOTS = 64
"""How many jobs each has at work at a time."""
Order = tuple[str, float, str]
"""What a job is to do, its number, and a path to write to."""
_count = itertools.count()
_done = 0


async def run(what: str, number: float, path: str) -> None:
    """A job of a peer's."""
    global _done
    await do_async(what, number, path)
    _done = next(_count) + 1


class Loop:
    """An event loop on a thread, for libraries of asyncio."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True, name="loop").start()

    def run(self, what: Awaitable[Any]) -> Any:
        """Run it, and wait."""
        return asyncio.run_coroutine_threadsafe(_await(what), self.loop).result()

    def start(self, what: Awaitable[Any]) -> None:
        """Run a worker, and do not wait. When it ends by itself, so does the process."""
        asyncio.run_coroutine_threadsafe(_await(what), self.loop).add_done_callback(_worker_ended)


async def _await(what: Awaitable[Any]) -> Any:
    return await what


def _worker_ended(future: Future[Any]) -> None:
    print(f"its worker has ended: {future.exception()!r}", file=sys.stderr, flush=True)
    os._exit(1)


class Peer:
    """One peer, in a process that puts its jobs or works on them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.loop = Loop()
        logging.disable(logging.CRITICAL)  # some tell of each job

    def put(self, orders: Sequence[Order]) -> None:
        """Put them, in one call."""
        self.loop.run(self._put(orders))

    async def _put(self, orders: Sequence[Order]) -> None:
        raise NotImplementedError

    def work(self) -> None:
        """Begin to work."""
        raise NotImplementedError

    def done(self) -> int:
        """How many jobs have run here. That they have is not written down yet."""
        return _done

    def end(self) -> None:
        """Nothing: the process is left at once."""


class Procrastinate(Peer):
    """Its worker claims one job at a time, and keeps a record of each."""

    def __init__(self, url: str) -> None:
        import procrastinate

        super().__init__(url)
        self._app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
        self._task = self._app.task(run, name="work", queue="bench")
        self.loop.run(self._app.open_async())
        with contextlib.suppress(Exception):  # the other side has made them
            self.loop.run(self._app.schema_manager.apply_schema_async())

    async def _put(self, orders: Sequence[Order]) -> None:
        rows = [{"what": what, "number": number, "path": path} for what, number, path in orders]
        await (self._task.defer_async(**rows[0]) if len(rows) == 1 else self._task.batch_defer_async(*rows))

    def work(self) -> None:
        self.loop.start(self._app.run_worker_async(concurrency=SLOTS, install_signal_handlers=False))


class Pgqueuer(Peer):
    """On asyncpg; claims a hundred at a time, and deletes jobs that have ended."""

    def __init__(self, url: str) -> None:
        import asyncpg
        from pgqueuer import AsyncpgDriver, Queries

        super().__init__(url)
        given = psycopg.conninfo.conninfo_to_dict(url)
        opened = asyncpg.connect(host=given["host"], user=given["user"], database=given["dbname"])
        self._driver = AsyncpgDriver(self.loop.run(opened))
        self._queries = Queries(self._driver)
        with contextlib.suppress(Exception):
            self.loop.run(self._queries.install())

    async def _put(self, orders: Sequence[Order]) -> None:
        count = len(orders)
        await self._queries.enqueue(["work"] * count, [json.dumps(order).encode() for order in orders], [0] * count)

    def work(self) -> None:
        from pgqueuer import PgQueuer

        queuer = PgQueuer(self._driver)

        @queuer.entrypoint("work")
        async def work(job: Any) -> None:
            await run(*json.loads(job.payload))

        self.loop.start(queuer.run(batch_size=100))


class Chancy(Peer):
    """Its worker writes what has ended once a second, and keeps a record of each job."""

    def __init__(self, url: str) -> None:
        from chancy import Chancy as App
        from chancy import Queue

        super().__init__(url)
        self._app = App(url)
        self.loop.run(self._app.__aenter__())
        queue = Queue("bench", executor=App.Executor.Async, concurrency=SLOTS, eager_polling=True)
        with contextlib.suppress(Exception):
            self.loop.run(self._app.migrate())
        self.loop.run(self._app.declare(queue))

    async def _put(self, orders: Sequence[Order]) -> None:
        from chancy import Job

        jobs = [
            Job(func="bench.postgres_peers.run", queue="bench", kwargs={"what": what, "number": number, "path": path})
            for what, number, path in orders
        ]
        async for _ in self._app.push_many(jobs):
            pass

    def work(self) -> None:
        self.loop.start(self._work())

    async def _work(self) -> None:
        from chancy import Worker

        async with Worker(self._app, register_signal_handlers=False) as worker:
            await worker.wait_for_shutdown()


class Oban(Peer):
    """Needs Python 3.12. Writes each end by itself, and keeps a record of each job."""

    def __init__(self, url: str) -> None:
        from oban import Oban as App
        from oban import schema, worker

        super().__init__(url)

        @worker(queue="bench")
        class Work:
            async def process(self, job: Any) -> None:
                await run(**job.args)

        async def open_pool() -> Any:
            pool = await App.create_pool(url)
            with contextlib.suppress(Exception):
                await schema.install(pool)
            return pool

        self._work, self._app_of = Work, App
        self._pool = self.loop.run(open_pool())
        self._app = self.loop.run(self._make(None))

    async def _make(self, queues: dict[str, int] | None) -> Any:
        return self._app_of(pool=self._pool, queues=queues)

    async def _put(self, orders: Sequence[Order]) -> None:
        jobs = [self._work.new({"what": what, "number": number, "path": path}) for what, number, path in orders]
        await self._app.enqueue_many(jobs)

    def work(self) -> None:
        app = self.loop.run(self._make({"bench": SLOTS}))
        self.loop.run(app.start())


PEERS: dict[str, type[Peer]] = {
    "procrastinate": Procrastinate,
    "pgqueuer": Pgqueuer,
    "chancy": Chancy,
    "oban": Oban,
}


def why_missing(name: str) -> str | None:
    """Why a peer cannot be measured with this interpreter; ``None`` if it can."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"not installed on Python {sys.version_info.major}.{sys.version_info.minor}"
    return None
