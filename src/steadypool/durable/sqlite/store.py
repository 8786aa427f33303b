"""The file: its connections, its transactions, and who may write now.

* **Writing** is one connection and one transaction at a time: first the fair lock between processes (`sqlite.lock`),
  then ``BEGIN IMMEDIATE``. A deferred transaction that reads first and writes later is refused by SQLite at once when
  somebody wrote in between, whatever the busy timeout. Automatic checkpoints run inside ``COMMIT``, and the last close
  checkpoints: both happen under the fair lock, so no checkpoint of ours runs while another process of ours commits.
  That keeps the WAL-reset bug of SQLite up to 3.51.2 out.
* **Looking** is another connection: it sees the last commit and waits for nobody. It is never left inside a
  transaction, which would keep the WAL from being reset and let it grow without bound.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from steadypool.durable.address import SqliteAddress
from steadypool.durable.errors import EngineBusy, EngineError, EngineGone, SchemaMismatch
from steadypool.durable.sqlite import schema
from steadypool.durable.sqlite.driver import LEAST, connect, errors_of, set_busy_timeout, sqlite_version, translate
from steadypool.durable.sqlite.lock import FileLock
from steadypool.durable.sqlite.mount import check_file_system
from steadypool.words.clock import monotonic

CHECKPOINT_PAGES = 4000
"""The WAL is copied back whenever it has that many pages: 16 MB. A few milliseconds, every few hundred batches."""
CACHE_KILOBYTES = 16_384


class Store:
    """One process's way to one file."""

    def __init__(self, address: SqliteAddress, patience: float) -> None:
        self.address = address
        self.path = os.path.abspath(address.path)
        self.patience = patience
        self._errors = errors_of(address.driver)
        self._pid = os.getpid()
        self._writing = threading.Lock()
        self._looking = threading.Lock()
        self._writer: Any = None
        self._reader: Any = None
        self._fair: FileLock | None = None
        self._identity: tuple[int, int] | None = None
        """Of the file that the writer has open."""
        self._checked = False
        """Its tables are what they should be."""
        self._read_identity: tuple[int, int] | None = None
        self._timeout = -1.0
        self._vanished = False
        """The file that we wrote to is gone: no other is made in its place unless somebody asks for that."""
        self.waited = 0.0
        """Seconds that the latest transaction of `write` waited for its turn. Read it inside that block."""
        if sqlite_version(address.driver) < LEAST:
            found = ".".join(map(str, sqlite_version(address.driver)))
            raise RuntimeError(f"SQLite {found} is too old: a queue needs {'.'.join(map(str, LEAST))} or later")

    # -- transactions

    @contextmanager
    def write(self, *, make_tables: bool = True) -> Iterator[Any]:
        """A transaction that may write; it commits at the end of the block, and is rolled back by an exception.

        Raises:
            EngineBusy: somebody else writes, for longer than we are patient.
            EngineGone, EngineFull, EngineError, SchemaMismatch: as they say.
        """
        asked = monotonic()
        until = asked + self.patience
        with self._exclusive(self._writing), self._translated():
            self._connect_writer(until, may_make=not make_tables)
            with self._fair_turn(until):
                try:
                    connection = self._begin(until)
                    self.waited = monotonic() - asked
                    if make_tables and not self._checked:
                        self._check_tables(connection)
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:  # Ctrl-C among them, which may come between any two lines
                    self._roll_back(self._writer)
                    raise
            self._checked, self._vanished = True, False

    @contextmanager
    def look(self) -> Iterator[Any]:
        """A connection to read with: everything in the block sees one state of the file. Keep the block short."""
        with self._exclusive(self._looking), self._translated():
            connection = self._connect_reader()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                self._roll_back(connection)

    @contextmanager
    def peek(self) -> Iterator[Any]:
        """The reading connection without a transaction, for one statement."""
        with self._exclusive(self._looking), self._translated():
            yield self._connect_reader()

    def close(self) -> None:
        """Close both connections: the last one to close checkpoints, so this waits for its turn, for a while."""
        with ExitStack() as locks:
            for lock in (self._writing, self._looking):
                if not lock.acquire(timeout=max(0.001, self.patience)):
                    return  # somebody is stuck in there; the end of the process closes them, too
                locks.callback(lock.release)
            self._close_all()

    def _close_all(self) -> None:
        writer, reader, fair = self._writer, self._reader, self._fair
        self._writer = self._reader = self._fair = self._identity = None
        self._checked = False
        if self._pid != os.getpid():
            return  # a forked child's copy: closing would drop the parent's locks
        had = fair is not None and fair.acquire(min(self.patience, 1.0))
        try:
            for connection in (reader, writer):
                if connection is not None:
                    connection.close()
        finally:
            if fair is not None:
                if had:
                    fair.release()
                fair.close()

    # -- one at a time

    @contextmanager
    def _exclusive(self, lock: threading.Lock) -> Iterator[None]:
        if self._pid != os.getpid():
            raise EngineError(f"the engine on {self.path} belongs to process {self._pid}: open another after the fork")
        if not lock.acquire(timeout=max(0.001, self.patience)):
            raise EngineBusy(f"another thread of this process has used {self.path} for {self.patience:g} s")
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise translate(error, self.path) from error

    @contextmanager
    def _fair_turn(self, until: float) -> Iterator[None]:
        assert self._fair is not None
        try:
            if not self._fair.acquire(max(0.0, until - monotonic())):
                raise EngineBusy(f"other processes have written to {self.path} for {self.patience:g} s without a pause")
            yield
        finally:
            self._fair.release()  # without harm if it was not had; Ctrl-C may come before that is known

    def _begin(self, until: float) -> Any:
        self._check_identity()
        left = max(0.0, until - monotonic())
        if not self._timeout * 0.5 <= left <= self._timeout:
            # Set only when it has changed by much: most transactions find the lock free.
            set_busy_timeout(self._writer, left)
            self._timeout = left
        self._writer.execute("BEGIN IMMEDIATE")
        return self._writer

    def _roll_back(self, connection: Any) -> None:
        if connection is None:
            return  # the file was removed
        try:
            connection.execute("ROLLBACK")
        except self._errors:
            pass  # there is none, or SQLite has done so by itself, as it does after some errors

    # -- connecting

    def _connect_writer(self, until: float, may_make: bool) -> None:
        if self._writer is not None:
            return
        check_file_system(self.path)
        if self._vanished and not may_make and _identity(self.path) is None:
            raise self._gone()
        if not os.path.isdir(os.path.dirname(self.path)):
            raise EngineGone(
                f"there is no folder {os.path.dirname(self.path)} to keep {os.path.basename(self.path)} in"
            )
        try:
            self._fair = self._fair or FileLock(f"{self.path}-lock")
        except OSError as error:
            raise EngineGone(f"cannot write beside {self.path}: {error}") from error
        # Not yet made, or made by another process at this moment: changing to WAL needs the file alone.
        with self._fair_turn(until):
            connection = connect(self.path, self.address.driver)
            try:
                _prepare(connection, self.address.synchronous, max(0.0, until - monotonic()))
            except BaseException:
                connection.close()
                raise
        self._writer, self._timeout = connection, -1.0
        self._identity, self._checked = _identity(self.path), False

    def _connect_reader(self) -> Any:
        if self._reader is not None and _identity(self.path) != self._read_identity:
            self._reader.close()  # the file was removed or replaced: what is read here is not what others see
            self._reader = None
        if self._reader is None:
            self._read_identity = _identity(self.path)
            if self._read_identity is None:
                raise SchemaMismatch(
                    f"there is no queue at {self.path} yet; run: steadypool migrate {self.address.url}"
                )
            connection = connect(self.path, self.address.driver, read_only=True)
            set_busy_timeout(connection, self.patience)
            self._reader = connection
        return self._reader

    def _check_identity(self) -> None:
        """A file that was removed can still be written to, and what is written there is lost: never do that."""
        found = _identity(self.path)
        if found == self._identity:
            return
        self._drop_connections()
        self._vanished = True
        if found is None:
            raise self._gone()
        raise EngineGone(f"{self.path} was replaced by another file; the next call uses that one")

    def _gone(self) -> EngineGone:
        return EngineGone(
            f"{self.path} was removed, and the jobs in it with it; put it back, or make an empty one: "
            f"steadypool migrate {self.address.url}"
        )

    def _drop_connections(self) -> None:
        for connection in (self._writer, self._reader):
            if connection is not None:
                connection.close()
        self._writer = self._reader = self._identity = None

    def _check_tables(self, connection: Any) -> None:
        found = schema.found_version(connection)
        if found == 0 and self._vanished:
            raise self._gone()  # what is there now is empty, and nobody has asked for tables in it
        if found == 0:
            schema.apply_pending(connection, 0)
        elif not schema.OLDEST <= found <= schema.VERSION:
            raise SchemaMismatch(
                f"the tables in {self.path} have version {found}, this Steadypool works with {schema.OLDEST} to "
                f"{schema.VERSION}"
            )


def _prepare(connection: Any, synchronous: str, seconds: float) -> None:
    set_busy_timeout(connection, seconds)
    pragmas = ["journal_mode = WAL", f"synchronous = {synchronous}", f"wal_autocheckpoint = {CHECKPOINT_PAGES}"]
    pragmas += ["temp_store = MEMORY", f"cache_size = -{CACHE_KILOBYTES}"]
    if sys.platform == "darwin":
        pragmas.append("fullfsync = 1")  # a plain fsync there does not reach the disk
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
