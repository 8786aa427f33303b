"""The kinds of engine that the conformance suite runs on: one row each. A new engine adds its row here."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.protocol import Engine
from tests.durable.engine.postgres import server


@contextmanager
def hold_file_lock(url: str) -> Iterator[None]:
    lock = os.open(f"{file_of(url)}-lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def remove_file(url: str) -> None:
    file = file_of(url)
    for name in (file, *file.parent.glob(f"{file.name}-*")):
        if name.is_file():
            name.unlink()


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///").partition("?")[0])


@contextmanager
def hold_table_locks(url: str) -> Iterator[None]:
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE steadypool.jobs, steadypool.workers IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


@contextmanager
def remember_file(url: str) -> Iterator[Callable[[], None]]:
    """As `.backup` and `.restore` of SQLite's shell do it, under the feet of whoever has the file open.

    In a process of its own: one must not open a file with both libraries.
    """
    copy = "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))"
    file = file_of(url)
    kept = file.with_name("kept")
    subprocess.run([sys.executable, "-c", copy, file, kept], check=True)

    def go_back() -> None:
        subprocess.run([sys.executable, "-c", copy, kept, file], check=True)

    yield go_back


@contextmanager
def remember_tables(url: str) -> Iterator[Callable[[], None]]:
    """What a replica knows that has not heard of the latest commits; the sequence, too."""
    owner = server.in_database(server.admin_url(), urlsplit(url).path[1:])
    with psycopg.connect(owner, autocommit=True) as connection:
        for table in server.TABLES:
            connection.execute(f"CREATE TABLE public.old_{table} AS TABLE steadypool.{table}")
        [given] = connection.execute("SELECT last_value, is_called FROM steadypool.job_numbers").fetchall()

        def go_back() -> None:
            with connection.transaction():
                for table in server.TABLES:
                    connection.execute(f"DELETE FROM steadypool.{table}")
                    connection.execute(
                        f"INSERT INTO steadypool.{table} OVERRIDING SYSTEM VALUE SELECT * FROM public.old_{table}"
                    )
                connection.execute("SELECT setval('steadypool.job_numbers', %s, %s)", given)

        yield go_back
        for table in server.TABLES:
            connection.execute(f"DROP TABLE public.old_{table}")


def log_of_file(url: str) -> object:
    """Changes with each commit that writes; a file is not opened for it, since to close it would drop locks."""
    found = os.stat(f"{file_of(url)}-wal")
    return found.st_size, found.st_mtime_ns


def last_transaction(url: str) -> object:
    """Changes with each transaction that writes, whoever's it is on that server."""
    with psycopg.connect(server.admin_url(), autocommit=True) as connection:
        return connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())").fetchall()


def drop_tables(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA steadypool CASCADE")


@contextmanager
def sqlite_file(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/jobs.db?synchronous=NORMAL"


@contextmanager
def sqlite_file_by_apsw(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/jobs.db?synchronous=NORMAL&driver=apsw"


@contextmanager
def postgres_database(_: Path) -> Iterator[str]:
    with server.database() as url:
        yield url


@contextmanager
def postgres_with_tables(_: Path) -> Iterator[str]:
    with server.clean_database() as url:
        yield url


@contextmanager
def postgres_as_worker(_: Path) -> Iterator[str]:
    """As a user who has the rights of a worker and no others, and as if a pooler in transaction mode were in between.

    Nothing is prepared then, and nothing listened to.
    """
    with server.clean_database() as url:
        yield f"{server.in_database(url, urlsplit(url).path[1:], 'some_worker')}&pooled=yes"


@dataclass(frozen=True)
class EngineKind:
    """One kind of engine, and how a test gets an empty store of it."""

    name: str
    empty_store: Callable[[Path], AbstractContextManager[str]]
    """A ``with`` block that gives the address of a store without tables. Its folder is the test's own."""
    store_with_tables: Callable[[Path], AbstractContextManager[str]] | None = None
    """The same with tables, used by one test after another: quicker than to make and to migrate one for each."""
    hold: Callable[[str], AbstractContextManager[None]] = hold_file_lock
    """A ``with`` block in which nobody else can write to the store."""
    remember: Callable[[str], AbstractContextManager[Callable[[], None]]] = remember_file
    """A ``with`` block that gives a function by which the store goes back to what it was at the beginning of it."""
    destroy: Callable[[str], None] = remove_file
    """Takes the store away from under its users."""
    written: Callable[[str], object] = log_of_file
    """Something that changes whenever something is written to the store."""
    runs_workers: bool = True
    """Whether the tests of queues and workers run on it, too; the conformance suite does on each."""

    def open(self, url: str) -> Engine:
        """An engine object on that store, with little patience: nothing in a test is to take long."""
        engine = open_engine(url)
        engine.timeout = 5.0
        return engine


ENGINES = [
    EngineKind("sqlite", sqlite_file),
    EngineKind("sqlite-apsw", sqlite_file_by_apsw, runs_workers=False),
    EngineKind(
        "postgres",
        postgres_database,
        postgres_with_tables,
        hold_table_locks,
        remember_tables,
        drop_tables,
        last_transaction,
    ),
    EngineKind(
        "postgres-worker-pooled",
        postgres_database,
        store_with_tables=postgres_as_worker,
        remember=remember_tables,
        written=last_transaction,
        runs_workers=False,
    ),
]
