"""Putting jobs on a connection that the caller brings, in the caller's transaction.

The caller's library stays in charge: one statement is run by its own means, with two texts for arguments, which every
driver can send. What it raises comes out as it is. Nothing is imported here that the caller has not imported before.

A listener is notified within the transaction, so when it commits: who commits many small ones in a second pays for that
with a lock that PostgreSQL takes for it at each commit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from steadypool.durable.engine.job_json import as_json
from steadypool.durable.engine.links import unknown_before
from steadypool.durable.engine.records import EnqueueResult, NewJob
from steadypool.durable.engine.url import PostgresAddress

Run = Callable[[Any, str, dict[str, Any]], Sequence[Any]]


def put(connection: Any, address: PostgresAddress, jobs: Sequence[NewJob]) -> list[EnqueueResult]:
    """See `durable.engine.protocol.Engine.put_on`."""
    return run(connection, address, "put_json", as_json(jobs)) if jobs else []


def run(connection: Any, address: PostgresAddress, function: str, what: str) -> list[EnqueueResult]:
    """Call a function that takes JSON, and returns what ``put_json`` does."""
    found = _way(connection)(connection, _statement(address, function), _values(address, what))
    return _placed(found, address)


async def put_async(connection: Any, address: PostgresAddress, jobs: Sequence[NewJob]) -> list[EnqueueResult]:
    """See `durable.engine.protocol.Engine.put_on_async`."""
    if not jobs:
        return []
    statement, values = _statement(address, "put_json"), _values(address, as_json(jobs))
    if isinstance(connection, psycopg.AsyncConnection):
        async with connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(statement, values)
            return _placed(await cursor.fetchall(), address)
    if _is_of(connection, "sqlalchemy.ext.asyncio", "AsyncConnection", "AsyncSession", "async_scoped_session"):
        return _placed(await connection.run_sync(_by_sqlalchemy, statement, values), address)
    if _is_django(connection):
        from asgiref.sync import sync_to_async

        # Django's connections belong to threads; the one that is meant is that of its own synchronous code.
        found: Sequence[Any] = await sync_to_async(_by_django)(connection, statement, values)
        return _placed(found, address)
    _way(connection)
    raise TypeError(
        f"a {_kind(connection)} would block the event loop: use enqueue, in a thread, or a connection of asyncio's"
    )


def _way(connection: Any) -> Run:
    """How to run a statement on it.

    Raises:
        TypeError: there is none.
    """
    if isinstance(connection, psycopg.Connection):
        return _by_psycopg
    if _is_of(connection, "sqlalchemy", "Connection") or _is_of(
        connection, "sqlalchemy.orm", "Session", "scoped_session"
    ):
        return _by_sqlalchemy
    if _is_django(connection):
        return _by_django
    if isinstance(connection, psycopg.AsyncConnection) or _is_of(
        connection, "sqlalchemy.ext.asyncio", "AsyncConnection", "AsyncSession", "async_scoped_session"
    ):
        raise TypeError(f"{_kind(connection)} is one of asyncio's: use await task.enqueue_async(..., connection=...)")
    raise TypeError(
        "connection must be a connection of psycopg 3, a connection or session of SQLAlchemy, or a connection of "
        f"Django's, not {_kind(connection)}"
    )


def _by_psycopg(connection: Any, statement: str, values: dict[str, Any]) -> Sequence[Any]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        found: Sequence[Any] = cursor.execute(statement, values).fetchall()
        return found


def _by_sqlalchemy(connection: Any, statement: str, values: dict[str, Any]) -> Sequence[Any]:
    from sqlalchemy import bindparam, text
    from sqlalchemy.types import String

    bind = connection.get_bind() if hasattr(connection, "get_bind") else connection
    _check_dialect(connection, bind.dialect.name)
    names = [bindparam(name, type_=String()) for name in values]
    clause = text(statement.replace("%(jobs)s", ":jobs").replace("%(database)s", ":database")).bindparams(*names)
    found: Sequence[Any] = connection.execute(clause, values).all()
    return found


def _by_django(connection: Any, statement: str, values: dict[str, Any]) -> Sequence[Any]:
    _check_dialect(connection, connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found: Sequence[Any] = cursor.fetchall()
        return found


def _statement(address: PostgresAddress, function: str) -> str:
    return (
        f"SELECT number, nonce, id, enqueued FROM {address.schema}.{function}(CAST(%(jobs)s AS text), "
        "CAST(%(database)s AS text))"
    )


def _values(address: PostgresAddress, what: str) -> dict[str, Any]:
    # A pooler may know the database by another name than the server does.
    return {"jobs": what, "database": None if address.pooled else address.parameters.get("dbname")}


def _placed(found: Sequence[Any], address: PostgresAddress) -> list[EnqueueResult]:
    if found[0][0] is None and found[0][3] is None:
        raise unknown_before(found[0][2])
    if found[0][0] is None:
        raise TypeError(f"connection is to the database {found[0][2]!r}, and the queue is kept in {address.url}")
    # As bytes where the connection is in SQL_ASCII.
    return [
        EnqueueResult(number, nonce, job_id.decode() if isinstance(job_id, bytes) else job_id, enqueued)
        for number, nonce, job_id, enqueued in found
    ]


def _is_of(connection: Any, module: str, *names: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(connection, tuple(getattr(loaded, name) for name in names))


def _is_django(connection: Any) -> bool:
    return _is_of(connection, "django.db.backends.base.base", "BaseDatabaseWrapper") or _is_of(
        connection, "django.utils.connection", "ConnectionProxy"
    )


def _check_dialect(connection: Any, name: str) -> None:
    if name != "postgresql":
        raise TypeError(f"{_kind(connection)} is a connection to {name}, and the queue is kept in PostgreSQL")


def _kind(connection: Any) -> str:
    return f"{type(connection).__module__}.{type(connection).__qualname__}"
