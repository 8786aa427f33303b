"""Working on a connection that the caller brings, in the caller's transaction."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from steadypool.durable.engine.errors import SchemaMismatch
from steadypool.durable.engine.sqlite.driver import translate

_BEGINS_BY_ITSELF = getattr(sqlite3, "LEGACY_TRANSACTION_CONTROL", -1)


def check_connection(connection: Any, driver: str, path: str) -> None:
    """Do nothing, unless *connection* cannot be used for the database at *path*.

    Raises:
        TypeError: it is no connection of the library *driver*, or belongs to another file.
    """
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    if not _is_of(connection, driver):
        other = (
            "; one process must not open a file with both libraries: give the queue ?driver=apsw"
            if "apsw" in kind
            else ""
        )
        raise TypeError(f"connection must be a connection of {driver} to {path}, not {kind}{other}")
    file = _file_of(connection)
    if not (file and _same_file(file, path)):
        raise TypeError(f"connection belongs to {file or 'a database in memory'}, and the queue to {path}")


def _file_of(connection: Any) -> str:
    return next(str(file) for _, name, file in connection.execute("PRAGMA database_list").fetchall() if name == "main")


def _is_of(connection: Any, driver: str) -> bool:
    if driver == "apsw":
        import apsw

        return isinstance(connection, apsw.Connection)
    return isinstance(connection, sqlite3.Connection)


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


@contextmanager
def transaction(connection: Any) -> Iterator[None]:
    """Be in the caller's transaction; a failure undoes what was done here, and nothing else.

    A `sqlite3` connection that begins transactions on its own before it changes data (its default) does so here too,
    and the caller commits. One that commits each statement on its own gets all of this at once.

    Raises:
        SchemaMismatch: there are no tables of a queue. All else is the caller's library's own error.
    """
    if not connection.in_transaction and _begins_by_itself(connection):
        connection.execute("BEGIN IMMEDIATE")
    connection.execute("SAVEPOINT steadypool_put")
    try:
        yield
    except BaseException as error:
        connection.execute("ROLLBACK TO steadypool_put")
        connection.execute("RELEASE steadypool_put")
        ours = translate(error, _file_of(connection))
        if isinstance(ours, SchemaMismatch):
            raise ours from error
        raise
    connection.execute("RELEASE steadypool_put")


def _begins_by_itself(connection: Any) -> bool:
    if not isinstance(connection, sqlite3.Connection):
        return False
    control = getattr(connection, "autocommit", _BEGINS_BY_ITSELF)  # since Python 3.12
    if control is not _BEGINS_BY_ITSELF and control != _BEGINS_BY_ITSELF:
        return not control
    return connection.isolation_level is not None
