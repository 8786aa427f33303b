"""The kinds of engine that the conformance suite runs on: one row each. A new engine adds its row here."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from steadypool import testing
from tests.durable.engine.postgres import server

COMBINED = ("test_moves", "test_pages")
"""Scenarios with calls in every order and filters of every kind. Others make each of these by itself."""


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


@dataclass(frozen=True, kw_only=True)
class EngineKind(testing.EngineKind):
    """One kind of engine, and what the tests of queues and workers do to its stores."""

    destroy: Callable[[str], None] = remove_file
    """Takes the store away from under its users."""
    runs_workers: bool = True
    """Whether the tests of queues and workers run on it, too, and `COMBINED`; the conformance suite does on each."""


ENGINES = [
    EngineKind(
        name="sqlite", empty_store=sqlite_file, hold=hold_file_lock, remember=remember_file, written=log_of_file
    ),
    EngineKind(
        name="sqlite-apsw",
        empty_store=sqlite_file_by_apsw,
        hold=hold_file_lock,
        remember=remember_file,
        written=log_of_file,
        runs_workers=False,
    ),
    EngineKind(
        name="postgres",
        empty_store=postgres_database,
        store_with_tables=postgres_with_tables,
        hold=hold_table_locks,
        remember=remember_tables,
        destroy=drop_tables,
        written=last_transaction,
    ),
    EngineKind(
        name="postgres-worker-pooled",
        empty_store=postgres_database,
        store_with_tables=postgres_as_worker,
        hold=hold_table_locks,
        remember=remember_tables,
        written=last_transaction,
        is_owner=False,
        runs_workers=False,
    ),
]
