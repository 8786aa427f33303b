"""The engines over Django's own connection: what they do is in its transaction, and seen by it alone until it commits.

An engine of its own has a connection of its own. These two have that of the thread that calls, so that a job is there
if and only if the rows are that were saved with it, and so that a web process needs no further connection. One engine
object is for one thread.

Errors of the database come out as Django's; missing tables as `SchemaMismatch`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, transaction

from steadypool.durable.engine.errors import SchemaMismatch
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.url import PostgresAddress, SqliteAddress

TIMEOUT = 10.0
PATIENCE = 60.0
"""Seconds for which a worker's jobs wait for their turn to write to a file of SQLite, if the settings do not say. What
comes by default is 5, and its turns are not in order: of a crowd some would fail."""


def open_engine(alias: str, address: SqliteAddress | PostgresAddress) -> Engine:
    """An engine over Django's connection to the database *alias*, which is at *address*."""
    if isinstance(address, SqliteAddress):
        from steadypool.durable.engine.sqlite.engine import SqliteEngine

        return SqliteEngine(address, DjangoStore(alias, address))
    from steadypool.durable.engine.postgres.engine import PostgresEngine

    return PostgresEngine(address, DjangoSession(alias, address))


class DjangoStore:
    """See `durable.engine.sqlite.store.Transactions`."""

    def __init__(self, alias: str, address: SqliteAddress) -> None:
        self.address = address
        self.path = address.path
        self.timeout = TIMEOUT
        self.committing = False
        self.waited = 0.0
        self._alias = alias

    @contextmanager
    def write(self, *, make_tables: bool = True) -> Iterator[Any]:
        """In the transaction that the connection is in, as a savepoint; else in one that is committed here."""
        connection = connections[self._alias]
        with self._missing_tables():
            if _is_in_transaction(connection):
                with transaction.atomic(using=self._alias):
                    yield Statements(connection)
            else:
                # Not by `atomic`, whose BEGIN is mostly a deferred one: to read first and write later is refused by
                # SQLite at once when another process has written in between.
                with _transaction(connection, "BEGIN IMMEDIATE"):
                    yield Statements(connection)

    @contextmanager
    def look(self) -> Iterator[Any]:
        """At one state of the file, and of what the connection's transaction has done so far."""
        connection = connections[self._alias]
        with self._missing_tables():
            if _is_in_transaction(connection):
                yield Statements(connection)
            else:
                with _transaction(connection, "BEGIN"):  # never waits for one that writes
                    yield Statements(connection)

    @contextmanager
    def peek(self) -> Iterator[Any]:
        """For one statement."""
        with self._missing_tables():
            yield Statements(connections[self._alias])

    def checkpoint(self) -> None:
        """Copy the log into the file."""
        Statements(connections[self._alias]).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """The connection is Django's, which closes it."""

    @contextmanager
    def _missing_tables(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            if "no such table" in str(error):
                raise _no_tables(self._alias, str(error)) from error
            raise


class Statements:
    """Django's connection, as the statements for SQLite are written for one: with question marks."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Run it, and return a cursor with its rows."""
        cursor = self._connection.cursor()
        cursor.execute(_as_format(statement), values)
        return cursor

    def executemany(self, statement: str, rows: Sequence[Any]) -> Any:
        """Run it once for each row."""
        cursor = self._connection.cursor()
        cursor.executemany(_as_format(statement), rows)
        return cursor


@lru_cache(256)
def _as_format(statement: str) -> str:
    return statement.replace("%", "%%").replace("?", "%s")


def _is_in_transaction(connection: Any) -> bool:
    return bool(connection.in_atomic_block or not connection.get_autocommit())


@contextmanager
def _transaction(connection: Any, begin: str) -> Iterator[None]:
    statements = Statements(connection)
    statements.execute(begin)
    try:
        yield
        statements.execute("COMMIT")
    except BaseException:
        if connection.connection is not None and connection.connection.in_transaction:
            statements.execute("ROLLBACK")
        raise


class DjangoSession:
    """See `durable.engine.postgres.session.Calls`."""

    def __init__(self, alias: str, address: PostgresAddress) -> None:
        self.address = address
        self.timeout = TIMEOUT
        self._alias = alias
        self._checked = False

    @property
    def encoding(self) -> str:
        """The database's own."""
        from steadypool.durable.engine.postgres.characters import UTF8

        used = connections[self._alias].connection
        return UTF8 if used is None else used.info.parameter_status("server_encoding") or UTF8

    def call(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """In the transaction that the connection is in; else it commits by itself."""
        from steadypool.durable.engine.postgres import schema
        from steadypool.durable.engine.postgres.session import NO_TABLES

        with self._cursor() as cursor:
            try:
                if not self._checked:
                    found = schema.found_version(cursor, self.address.schema)
                    if found[0] == 0:
                        raise _no_tables(self._alias, f"there are none in the schema {self.address.schema}")
                    schema.check_version(found, self.address.schema, self.address.url)
                    self._checked = True
                rows: list[Any] = cursor.execute(statement, values, binary=True).fetchall()
                return rows
            except Exception as error:
                if getattr(error, "sqlstate", None) in NO_TABLES:
                    raise _no_tables(self._alias, str(error).partition("\n")[0]) from error
                raise

    def has_tables(self) -> tuple[int, int]:
        """See `schema.found_version`."""
        from steadypool.durable.engine.postgres import schema

        with self._cursor() as cursor:
            return schema.found_version(cursor, self.address.schema)

    def migrate(self) -> tuple[int, tuple[str, ...]]:
        """See `schema.apply_pending`."""
        from steadypool.durable.engine.postgres import schema

        with transaction.atomic(using=self._alias), self._cursor() as cursor:
            return schema.apply_pending(cursor, self.address.schema)

    def close(self) -> None:
        """The connection is Django's, which closes it."""

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        import psycopg
        from psycopg.rows import tuple_row

        connection = connections[self._alias]
        with connection.cursor() as its, connection.wrap_database_errors:
            raw = its.connection
            if not isinstance(raw, psycopg.Connection):
                raise ImproperlyConfigured(
                    f"the database {self._alias!r} is used by {type(raw).__module__}, and a queue needs psycopg 3: "
                    "pip install 'steadypool[postgres]'"
                )
            with psycopg.Cursor(raw, row_factory=tuple_row) as cursor:
                yield cursor


def be_patient() -> None:
    """Have the connections of this process, a worker's, wait for a file of SQLite that others write to."""
    for connection in connections.all():
        if connection.vendor == "sqlite":
            connection.settings_dict["OPTIONS"].setdefault("timeout", PATIENCE)


def tidy_connections(*, close: bool = False) -> None:
    """Close this thread's connections that are broken or too old, or all of them; not those that a test is in."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            if close:
                connection.close()
            else:
                connection.close_if_unusable_or_obsolete()


def _no_tables(alias: str, why: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"the database {alias!r} has no tables of a queue, or not all ({why}): run manage.py migrate"
        f"{'' if alias == 'default' else f' --database {alias}'}"
    )
