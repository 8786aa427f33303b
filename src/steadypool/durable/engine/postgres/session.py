"""One connection to the server: made when needed, made anew when lost, and never waited for without end.

A call of the engine is one statement, which calls one function, and commits on its own: so it happens as a whole or not
at all, whatever becomes of the connection, and there is no transaction that a dead client could leave open.

Every wait has an end: for our own lock, for the connection to be made (libpq rounds that up to whole seconds, two at
least), and for the answer, `Session.timeout` seconds each; `postgres.slow_line` says what a slow line adds. Who gives
up asks the server to cancel the statement; if not even that is answered, the server is gone rather than busy. The
connection is closed in either case: the late answer must not be taken for the next one's.

A server that restarts, or an administrator, ends sessions while they are idle. That is seen before the next statement
is sent (the socket has something to read, and nothing was asked), and then it goes over a new connection, without an
error. Only a connection that breaks in the middle of a statement is an error: what it did is not known.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import psycopg
from psycopg.conninfo import make_conninfo

from steadypool.durable.engine.errors import (
    EngineBusy,
    EngineError,
    EngineFull,
    EngineGone,
    EngineRefused,
    KeyBusy,
    SchemaMismatch,
)
from steadypool.durable.engine.postgres import schema
from steadypool.durable.engine.postgres.characters import UTF8
from steadypool.durable.engine.postgres.slow_line import PatientConnection, TookTooLong, seconds_to_send
from steadypool.durable.engine.reentry import OneAtATime
from steadypool.durable.engine.url import PostgresAddress
from steadypool.model.clock import monotonic

ROLLED_BACK = frozenset({"40001", "40P01"})
"""Serialization failure, deadlock: it did not happen, and is sent again."""
NOT_PREPARED = frozenset({"26000", "42P05"})
"""A pooler gave us another server's session: from then on nothing is prepared."""
OUTDATED = frozenset({"0A000"})
"""The answer's shape has changed under a prepared statement: migrated meanwhile. A new connection knows nothing old."""
LOCK_TIMEOUT = "55P03"
BUSY = frozenset({LOCK_TIMEOUT, "57014", "53300", "53400"}) | ROLLED_BACK
READ_ONLY = "25006"
GONE = frozenset({"57P01", "57P02", "57P03", "57P05", READ_ONLY})
"""Shut down, crashed, starting, idle for too long; or read-only, which a primary becomes when another takes over."""
REFUSED = frozenset({"22", "23", "54"})
"""Classes of errors about what was to be written: its text or its number, a constraint, its size."""
NOT_SENT = (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError)
NOT_ENCODED = (UnicodeError, OverflowError, MemoryError)
"""What is raised here for a value that cannot be sent; nothing has been."""
NO_TABLES = frozenset({"3F000", "42P01", "42883"})
ISOLATION = "read committed"
"""Each statement of a function is to see what was committed before it, whatever the database's own default."""
OPTIONS = "-c default_transaction_isolation=read\\ committed"
CANCEL_SECONDS = 1.0
"""How long we wait for the server to hear that an answer is not wanted any more."""


class Calls(Protocol):
    """What an engine asks of a session; `Session` says more of each."""

    address: PostgresAddress
    timeout: float

    @property
    def encoding(self) -> str:
        """The database's own, by its name there."""

    def call(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run one statement, and return its rows."""

    def has_tables(self) -> tuple[int, int]:
        """See `schema.found_version`."""

    def migrate(self) -> tuple[int, tuple[str, ...]]:
        """See `schema.apply_pending`."""

    def close(self) -> None:
        """Give back what is open."""


class Session:
    """One process's connection to one database."""

    def __init__(self, address: PostgresAddress, timeout: float) -> None:
        self.address = address
        self.timeout = timeout
        self._lock = OneAtATime(f"this connection to {address.url}")
        self._connection: _Connection | None = None
        self._checked = False
        self._prepares = not address.pooled
        self.encoding = UTF8
        """The database's own, by its name there; known once there was a connection."""
        self._pid = os.getpid()

    def call(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run one statement, which commits on its own, and return its rows.

        Raises:
            EngineBusy, EngineGone, EngineFull, EngineError, SchemaMismatch: as they say.
        """
        until = monotonic() + self.timeout + seconds_to_send(values)
        with self._alone():
            while True:
                connection = self._open(until)
                try:
                    self._check_version(connection)
                    cursor = connection.execute(statement, values, binary=True)
                    return cursor.fetchall()
                except psycopg.Error as error:
                    if not self._mend(connection, error, until):
                        raise self._as_ours(connection, error) from error
                except NOT_ENCODED as error:
                    refused = EngineRefused(f"{self.address.url} cannot keep this: {error}")
                    refused.nothing_happened = True
                    raise refused from error
                except BaseException:
                    self._drop()  # interrupted: the answer is still to come
                    raise

    def has_tables(self) -> tuple[int, int]:
        """See `schema.found_version`."""
        with self._transaction() as cursor:
            return schema.found_version(cursor, self.address.schema)

    def migrate(self) -> tuple[int, tuple[str, ...]]:
        """See `schema.apply_pending`."""
        with self._transaction() as cursor:
            return schema.apply_pending(cursor, self.address.schema)

    def close(self) -> None:
        """Close the connection; the next call opens another.

        If another thread uses it for too long it stays open, and the end of the process closes it.
        """
        if self._pid == os.getpid():
            with suppress(EngineBusy), self._alone():
                self._drop()

    # -- one at a time

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._pid != os.getpid():
            raise EngineError(
                f"the engine on {self.address.url} belongs to process {self._pid}: open another after the fork"
            )
        self._lock.take(self.timeout)
        try:
            yield
        finally:
            self._lock.give()

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Cursor[Any]]:
        until = monotonic() + self.timeout
        with self._alone():
            connection = self._open(until)
            try:
                with connection.transaction(), connection.cursor() as cursor:
                    yield cursor
            except psycopg.Error as error:
                raise self._translate(connection, error) from error
            except SchemaMismatch:
                raise
            except BaseException:
                self._drop()
                raise
            finally:
                self._checked = False

    # -- connecting

    def _open(self, until: float) -> _Connection:
        connection = self._connection
        if connection is not None and connection.has_died():
            self._drop()
            connection = None
        if connection is None:
            connection = self._connect(until)
        connection.until, connection.extension = until, self.timeout
        return connection

    def _connect(self, until: float) -> _Connection:
        left = max(2, int(until - monotonic()))
        try:
            connection = _Connection.connect(
                connection_string(self.address, connect_timeout=left),
                autocommit=True,
                prepare_threshold=2 if self._prepares else None,
            )
        except psycopg.Error as error:
            why = _first_line(error)
            is_poolers = "startup parameter" in why  # it knows few of them
            hint = "; for a pooler in transaction mode, add pooled=yes to the address" if is_poolers else ""
            gone = EngineGone(f"cannot connect to {self.address.url}: {why}{hint}")
            gone.nothing_happened = True
            raise gone from error
        self._connection, self._checked = connection, False
        self.encoding = connection.info.parameter_status("server_encoding") or UTF8
        return connection

    def _check_version(self, connection: _Connection) -> None:
        if not self._checked:
            with connection.cursor() as cursor:
                self._beware_of_pooler(connection, cursor)
                if not self.address.pooled and not sends_options(self.address):
                    cursor.execute(f"SET default_transaction_isolation = '{ISOLATION}'")
                found = schema.found_version(cursor, self.address.schema)
            schema.check_version(found, self.address.schema, self.address.url)
            self._checked = True

    def _beware_of_pooler(self, connection: _Connection, cursor: psycopg.Cursor[Any]) -> None:
        """Prepare nothing if the session is another than the one that the server named when we connected.

        A pooler is in between then. In transaction mode our statement's name may be that of another client's statement
        in the session that we get: at best the server refuses it.
        """
        [(pid,)] = cursor.execute("SELECT pg_backend_pid()").fetchall()
        if pid != connection.info.backend_pid:
            self._prepares = False
            connection.prepare_threshold = None

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._checked = False
        if connection is not None:
            connection.close()

    # -- errors

    def _mend(self, connection: _Connection, error: psycopg.Error, until: float) -> bool:
        """Whether the statement did not happen, and can be sent again now."""
        if monotonic() >= until:
            return False
        if error.sqlstate in NOT_PREPARED:
            self._prepares = False
            self._drop()
            return True
        if error.sqlstate in OUTDATED:
            had, self._prepares = self._prepares, False
            self._drop()
            return had
        return error.sqlstate in ROLLED_BACK

    def _as_ours(self, connection: _Connection, error: psycopg.Error) -> EngineError | SchemaMismatch:
        ours = self._translate(connection, error)
        if isinstance(ours, EngineError):
            # A server that says what is wrong with a statement has undone it; a connection that is lost says nothing.
            gone = isinstance(ours, EngineGone) and error.sqlstate != READ_ONLY
            said_so = error.sqlstate is not None and not gone
            ours.nothing_happened = said_so or isinstance(ours, EngineRefused)
        return ours

    def _translate(self, connection: _Connection, error: psycopg.Error) -> EngineError | SchemaMismatch:
        state, where = error.sqlstate, self.address.url
        if isinstance(error, TookTooLong):
            return self._give_up(connection)
        if (state is None and isinstance(error, NOT_SENT)) or (state or "")[:2] in REFUSED or _is_too_large(error):
            return EngineRefused(f"{where} cannot keep this: {_first_line(error)}")
        if state is None or state[:2] == "08" or state in GONE or connection.closed:
            self._drop()
            if state == READ_ONLY:
                return EngineGone(f"{where} only reads at the moment: {_first_line(error)}")
            return EngineGone(f"lost the connection to {where}: {_first_line(error)}")
        if state in BUSY:
            return EngineBusy(f"{where} is busy: {_first_line(error)}")
        if state == "53100":
            return EngineFull(f"the disk of {where} is full: {_first_line(error)}")
        if state in NO_TABLES:
            self._checked = False
            return SchemaMismatch(f"{_first_line(error)} in {where}; run: steadypool migrate {where}")
        if state == "42501":
            return EngineError(
                f"{where}: {_first_line(error)}; roles and their rights: steadypool migrate --roles {where}"
            )
        return EngineError(f"{where}: {_first_line(error)}")

    def _give_up(self, connection: _Connection) -> EngineError:
        try:
            connection.cancel_safe(timeout=CANCEL_SECONDS)
            answers = True
        except psycopg.Error:
            answers = False
        self._drop()
        if answers:
            return EngineBusy(f"{self.address.url} took longer than {self.timeout:g} s, and was asked to stop")
        return EngineGone(f"{self.address.url} has not answered for {self.timeout:g} s")


class _Connection(PatientConnection):
    """A connection whose waits have an end."""

    def has_died(self) -> bool:
        """Whether the server has said anything while nothing was asked: mostly that it ends the session."""
        if self.closed:
            return True
        poll = select.poll()
        try:
            poll.register(self.pgconn.socket, select.POLLIN)
            return bool(poll.poll(0))
        except (psycopg.Error, OSError):
            return True


def connection_string(address: PostgresAddress, **more: Any) -> str:
    """What libpq is to connect to, and how."""
    # In UTF-8 whatever the database has, and whatever PGCLIENTENCODING says: the server converts.
    how: dict[str, Any] = {
        "fallback_application_name": "steadypool",
        **address.parameters,
        **more,
        "client_encoding": "UTF8",
    }
    if sends_options(address):
        given = address.parameters.get("options") or os.environ.get("PGOPTIONS")
        how["options"] = f"{given} {OPTIONS}" if given else OPTIONS
    return make_conninfo("", **how)


def sends_options(address: PostgresAddress) -> bool:
    """Whether our options go with the request for a connection. A pooler refuses what it does not know, and those of a
    service would be lost."""
    return not address.pooled and "service" not in address.parameters and "PGSERVICE" not in os.environ


def raise_if_for_key(error: EngineBusy, url: str) -> None:
    """Raise `KeyBusy` if a call that waits for no other's lock has met one: that of a job with the same id or key."""
    if getattr(error.__cause__, "sqlstate", None) == LOCK_TIMEOUT:
        raise KeyBusy(f"{url}: a job of the same id or unique key is being put") from error


def _is_too_large(error: psycopg.Error) -> bool:
    """Whether a value has no room in a gigabyte, which is as much as the server takes at a time."""
    return error.sqlstate == "XX000" and "invalid memory alloc request size" in str(error)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
