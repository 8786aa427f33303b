"""A fresh store for each test: a copy of a template file of SQLite, or a schema of PostgreSQL that is emptied."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import quote

from steadypool.durable.client.address import TEST_VARIABLE
from steadypool.durable.client.open_queues import Elsewhere
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.url import URL_VARIABLE, check_url
from steadypool.testing.jobs import Jobs


@contextmanager
def job_store(*queues: Queue, url: str | None = None) -> Iterator[Jobs]:
    """A ``with`` block in which *queues* keep their jobs in a fresh store; with none named, all queues of this process.

    It gives the `Jobs` of the block. At its end the queues are what they were, and the store is gone. Processes that
    are started in the block keep the jobs of all of their queues there, too.

    Args:
        queues: those; others go on as they do.
        url: a database of PostgreSQL to make a schema in, for this block. By default the store is a file of SQLite.

    Raises:
        TypeError, ValueError: for what is no queue, or no such address.
        RuntimeError: there is such a block in this process already.
    """
    for queue in queues:
        if not isinstance(queue, Queue):
            raise TypeError(f"job_store takes queues, not {queue!r}")
    if url is not None:
        from steadypool.testing.postgres_store import Schema

        with Schema(_of_postgres(url)) as schema, jobs_at(schema.url, queues or None) as jobs:
            yield jobs
        return
    with (
        tempfile.TemporaryDirectory(prefix="steadypool-test-") as folder,
        new_file(Path(folder)) as place,
        jobs_at(place, queues or None) as jobs,
    ):
        yield jobs


def _of_postgres(url: str) -> str:
    if check_url(url) == "sqlite":
        raise ValueError(f"url is for a database of PostgreSQL, not {url!r}: leave it out for a file of SQLite")
    return url


@contextmanager
def jobs_at(url: str, queues: Iterable[Queue] | None) -> Iterator[Jobs]:
    """A ``with`` block in which queues keep their jobs in the store at *url*, which has tables and no jobs."""
    engine = open_engine(url)
    environment = {URL_VARIABLE: url, TEST_VARIABLE: f"{os.getpid()} {url}"}
    before = {name: os.environ.get(name) for name in environment}
    with Elsewhere(url, queues) as moved:
        os.environ.update(environment)
        try:
            yield Jobs(url, engine, moved)
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            engine.close()


@contextmanager
def new_file(folder: Path) -> Iterator[str]:
    """A ``with`` block in which there is a new store in a file of that folder; it gives the address."""
    path = folder / "jobs.db"
    path.write_bytes(_template())
    try:
        yield f"sqlite:///{quote(str(path))}?synchronous=NORMAL"
    finally:
        for name in ("", "-wal", "-shm", "-lock"):
            Path(f"{path}{name}").unlink(missing_ok=True)
        shutil.rmtree(f"{path}-bells", ignore_errors=True)


@cache
def _template() -> bytes:
    """An empty store, as a file has it. To make one takes as long as to copy it a hundred times."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "template.db")
        engine = open_engine(f"sqlite:///{quote(str(path))}")
        engine.migrate()
        engine.close()
        return path.read_bytes()
