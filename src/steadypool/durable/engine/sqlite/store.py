"""The file: its connections, its transactions, and who may write now.

* **Writing** is one connection and one transaction at a time: first the fair lock between processes (`sqlite.lock`),
  then ``BEGIN IMMEDIATE``. A deferred transaction that reads first and writes later is refused by SQLite at once when
  another connection wrote in between, whatever the busy timeout. Automatic checkpoints run inside ``COMMIT``, and the
  last close checkpoints: both happen under the fair lock, so no checkpoint of ours runs while another process of ours
  commits.
  That keeps the WAL-reset bug of SQLite up to 3.51.2 out.
* **Looking** is another connection: it sees the last commit and waits for no writer. It is never left inside a
  transaction, which would keep the WAL from being reset and let it grow without bound.
* **Forks**: whatever touches a connection is inside of `connections.in_use`, which is short: it does not cover the wait
  for one's turn. See there for what a fork does.
* **Files that go away** are looked for before each transaction, and after each commit (`sqlite.log`). While the folder
  has not changed since all of them were found in order, one look at the folder does (`sqlite.folder`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol

from steadypool.durable.engine.errors import EngineBusy, EngineError, EngineGone, SchemaMismatch
from steadypool.durable.engine.reentry import OneAtATime, check_not_writing, mark, unmark, writing
from steadypool.durable.engine.sqlite import log, log_room, schema
from steadypool.durable.engine.sqlite.connections import (
    Connections,
    Identity,
    Use,
    alone_with,
    check_locked,
    check_usable,
    connections_to,
    identity_of,
    in_use,
)
from steadypool.durable.engine.sqlite.driver import (
    LEAST,
    connect,
    errors_of,
    set_busy_timeout,
    sqlite_version,
    translate,
)
from steadypool.durable.engine.sqlite.folder import Mark, mark_of
from steadypool.durable.engine.sqlite.lock import FileLock
from steadypool.durable.engine.url import SqliteAddress
from steadypool.model.clock import monotonic

CHECKPOINT_PAGES = 4000
"""The WAL is copied back whenever it has that many pages: 16 MB. A few milliseconds, every few hundred batches."""
LOG_BYTES = CHECKPOINT_PAGES * 4200
"""How long the log becomes with pages of 4 KB."""
WAITS = "FULL"
"""The setting by which each commit waits for the disk: then its log's room counts."""
CACHE_KILOBYTES = 16_384
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "webdav", "ceph", "glusterfs", "lustre", "gfs2"})
NETWORK_PREFIX = ("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.glusterfs", "fuse.cephfs")


class Transactions(Protocol):
    """What an engine asks of a store; `Store` says more of each."""

    path: str
    address: SqliteAddress
    timeout: float
    committing: bool
    waited: float

    def write(self, *, make_tables: bool = True) -> AbstractContextManager[Any]:
        """A transaction that may write."""

    def look(self) -> AbstractContextManager[Any]:
        """A connection to read with, at one state of the file."""

    def peek(self) -> AbstractContextManager[Any]:
        """A connection to read with, for one statement."""

    def checkpoint(self) -> None:
        """Copy the log into the file."""

    def close(self) -> None:
        """Give back what is open."""


class Store:
    """One process's way to one file."""

    def __init__(self, address: SqliteAddress, timeout: float) -> None:
        self.address = address
        self.path = os.path.abspath(address.path)
        self.timeout = timeout
        self._errors = errors_of(address.driver)
        self._pid = os.getpid()
        self._writing = OneAtATime(self.path)
        self._looking = OneAtATime(self.path)
        self._open = Connections(self.path)
        self._folder = os.path.dirname(self.path)
        self._fair: FileLock | None = None
        self._commits = 0
        self._lengthens = False
        """The log is to be made longer ahead of what is written."""
        self._mark: Mark | None = None
        """The folder's, in our turn."""
        self._checked = False
        """Its tables are what they should be."""
        self._timeout = -1.0
        self.committing = False
        """The latest `write` has come as far as its commit: if it has failed, it may still have happened."""
        self._vanished = False
        """The file that we wrote to is gone: no other is made in its place unless a caller asks for that."""
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
            EngineBusy: another connection writes for longer than the timeout.
            EngineGone, EngineFull, EngineError, SchemaMismatch: as they say.
        """
        with self._turn(may_make=not make_tables) as asked:
            until = asked + self.timeout
            try:
                connection = self._begin(until)
                self.waited = monotonic() - asked
                if make_tables and not self._checked:
                    self._check_tables(connection)
                yield connection
                self._check_process()
                self.committing = True
                connection.execute("COMMIT")
            except BaseException:  # Ctrl-C among them, which may come between any two lines
                self._roll_back(self._open.writer)
                raise
            self._check_files(until, self._mark_now())
            self._checked, self._vanished = True, False

    @contextmanager
    def look(self) -> Iterator[Any]:
        """A connection to read with: everything in the block sees one state of the file. Keep the block short."""
        with self.peek() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                self._roll_back(connection)

    @contextmanager
    def peek(self) -> Iterator[Any]:
        """The reading connection without a transaction, for one statement."""
        self._check_process()
        self._looking.take(self.timeout)
        use = Use(self._open)
        try:
            found = self._find_for_reading()
            try:
                use.enter()
                yield self._connect_reader(found)
            finally:
                use.leave()
        except self._errors as error:
            raise translate(error, self.path) from error
        finally:
            self._looking.give()

    def checkpoint(self) -> None:
        """Copy the log into the file, which is cut to its size then, unless another process looks at what was."""
        with self._turn(may_make=False) as asked:
            until = asked + self.timeout
            self._check_files(until, None)
            if self._open.writer is None:
                self._connect_writer(until)
            self._open.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._lengthens = self.address.synchronous == WAITS

    def close(self) -> None:
        """Close both connections: the last one to close checkpoints, so this waits for its turn, for a while.

        If another thread uses them for longer than that they stay open, and the end of the process closes them.
        """
        if self._pid != os.getpid():
            return
        with suppress(EngineBusy), writing(), self._exclusive(self._writing), self._exclusive(self._looking):
            self._close_all()

    def _close_all(self) -> None:
        fair, self._fair = self._fair, None
        self._checked = False
        had = fair is not None and fair.acquire(min(self.timeout, 1.0))
        try:
            with in_use(self._open):
                self._open.close()
        finally:
            if fair is not None:
                if had:
                    fair.release()
                fair.close()

    # -- one at a time

    @contextmanager
    def _turn(self, *, may_make: bool) -> Iterator[float]:
        """A block in which no other connection writes, of this process or another; gives when the wait for that began.

        Each step has a ``finally`` of its own, since Ctrl-C may come between any two lines; and all are here, not each
        in a block of its own, since every job comes this way.
        """
        check_not_writing()
        use = Use(self._open)
        try:
            mark()
            self._check_process()
            self._writing.take(self.timeout)
            try:
                self.committing = False
                asked = monotonic()
                self._check_place(may_make)
                try:
                    self._take_turn(asked + self.timeout)
                    try:
                        use.enter()
                        yield asked
                    finally:
                        use.leave()
                finally:
                    self._give_turn()
            except self._errors as error:
                raise translate(error, self.path) from error
            finally:
                self._writing.give()
        finally:
            unmark()

    @contextmanager
    def _exclusive(self, lock: OneAtATime) -> Iterator[None]:
        self._check_process()
        lock.take(self.timeout)
        try:
            yield
        finally:
            lock.give()

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise EngineError(f"the engine on {self.path} belongs to process {self._pid}: open another after the fork")

    def _give_turn(self) -> None:
        if self._fair is not None:
            self._fair.release()  # without harm if it was not had; Ctrl-C may come before that is known

    def _take_turn(self, until: float) -> None:
        while True:
            fair = self._fair = self._fair or self._open_lock()
            if not fair.acquire(max(0.0, until - monotonic())):
                raise EngineBusy(f"other processes have written to {self.path} for {self.timeout:g} s without a pause")
            self._mark = self._mark_now()
            if fair.is_current(self._mark):
                return
            self._fair = None  # it was removed, and the next caller finds another: so do we
            fair.release()
            fair.close()

    def _open_lock(self) -> FileLock:
        folder, name = os.path.split(self.path)
        if not os.path.isdir(folder):
            raise EngineGone(f"there is no folder {folder} to keep {name} in")
        try:
            with in_use(self._open):
                return FileLock(f"{self.path}-lock")
        except OSError as error:
            raise EngineGone(f"cannot write beside {self.path}: {error}") from error

    def _begin(self, until: float) -> Any:
        self._check_files(until, self._mark)
        if self._open.writer is None:
            self._connect_writer(until)
        left = max(0.0, until - monotonic())
        if not self._timeout * 0.5 <= left <= self._timeout:
            # Set only when it has changed by much: most transactions find the lock free.
            set_busy_timeout(self._open.writer, left)
            self._timeout = left
        self._open.writer.execute("BEGIN IMMEDIATE")
        self._make_room()
        return self._open.writer

    def _make_room(self) -> None:
        self._commits += 1
        if self._lengthens and self._commits % log_room.EVERY == 0:
            self._lengthens = log_room.make_room(self.path, LOG_BYTES)

    def _roll_back(self, connection: Any) -> None:
        if connection is None or self._pid != os.getpid():
            return  # the file was removed, or this is the copy of a forked child
        try:
            connection.execute("ROLLBACK")
        except self._errors:
            pass  # there is none, or SQLite has done so on its own, as it does after some errors

    # -- connecting

    def _check_place(self, may_make: bool) -> None:
        """Whether a connection that is to be made has a place to go to."""
        if self._open.writer is not None:
            return
        check_usable(self.path, identity_of(self.path))
        check_file_system(self.path)
        if self._vanished and not may_make and identity_of(self.path) is None:
            raise self._gone()

    def _connect_writer(self, until: float, makes_log: bool = False) -> None:
        """In our turn: the file is not yet made perhaps, or was just made. Changing to WAL needs it alone."""
        if not makes_log:
            self._check_before_connecting()
        connection = connect(self.path, self.address.driver)
        try:
            _prepare(connection, self.address.synchronous, max(0.0, until - monotonic()))
            self._note_files(connection)
        except BaseException:
            connection.close()
            raise
        self._open.writer, self._timeout = connection, -1.0
        self._commits, self._lengthens = 0, self.address.synchronous == WAITS
        self._checked = False

    def _connect_reader(self, found: Identity | None) -> Any:
        if self._open.reader is not None and found != self._open.identity:
            # The file was removed or replaced: what is read here is not what others see.
            self._open.reader.close()
            self._open.reader = None
        if self._open.reader is None:
            if found is None:
                raise SchemaMismatch(
                    f"there is no queue at {self.path} yet; run: steadypool migrate {self.address.url}"
                )
            self._check_before_connecting()
            connection = connect(self.path, self.address.driver, read_only=True)
            try:
                set_busy_timeout(connection, self.timeout)
                if self._open.writer is None:
                    self._note_files(connection)
            except BaseException:
                connection.close()
                raise
            self._open.reader = connection
        return self._open.reader

    def _check_before_connecting(self) -> None:
        check_usable(self.path, identity_of(self.path))
        if not connections_to(identity_of(self.path)):
            log.check_not_missing(self.path)

    def _note_files(self, connection: Any) -> None:
        """Note which files the first connection has opened. It reads, which locks them."""
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        check_locked(self.path)
        identity = identity_of(self.path)
        self._open.log = log.log_in_use(self.path, identity)
        self._open.identity = identity

    # -- files that go away

    def _find_for_reading(self) -> Identity | None:
        mark = self._mark_now()
        if self._is_in_order(mark):
            return self._open.identity
        found = identity_of(self.path)
        if found is not None and log.is_lost(self._open, found):
            self._save_log()
        self._note_in_order(mark, found)
        return found

    def _mark_now(self) -> Mark | None:
        try:
            return mark_of(self._folder)
        except OSError:
            return None

    def _is_in_order(self, mark: Mark | None) -> bool:
        """Whether the folder has not changed since our files were found there."""
        return mark is not None and self._open.in_order == (mark, self._open.identity, self._open.log)

    def _note_in_order(self, mark: Mark | None, found: Identity | None) -> None:
        """They are there. *mark* is from before that was looked at."""
        is_ours = mark is not None and found is not None and found == self._open.identity
        if is_ours and self._open.log is not None and not os.path.islink(self.path):
            self._open.in_order = mark, found, self._open.log

    def _check_files(self, until: float, mark: Mark | None) -> None:
        """A file that was removed can still be written to, and what is written there is lost: never do that.

        Raises:
            EngineGone: the file, or the log beside it, is not the one that is open here.
        """
        if self._is_in_order(mark):
            return
        had, found = self._open.identity, identity_of(self.path)
        if had is None or found == had:
            if found is not None and log.is_lost(self._open, found):
                saved, error = log.save(self.path, found, max(0.0, until - monotonic()))
                if saved:
                    self._connect_writer(until, makes_log=True)
                raise error
            self._note_in_order(mark, found)
            return
        with alone_with(had, max(0.0, until - monotonic())) as mine:
            for connections in mine:
                connections.close()
        self._vanished = True
        if found is None:
            raise self._gone()
        raise EngineGone(f"{self.path} was replaced by another file; the next call uses that one")

    def _save_log(self) -> None:
        """The same for who only looks."""
        until = monotonic() + self.timeout
        with writing():
            try:
                self._take_turn(until)
                with in_use(self._open):
                    self._check_files(until, None)
            finally:
                self._give_turn()

    def _gone(self) -> EngineGone:
        return EngineGone(
            f"{self.path} was removed, and the jobs in it with it; put it back, or make an empty one: "
            f"steadypool migrate {self.address.url}"
        )

    def _check_tables(self, connection: Any) -> None:
        found = schema.found_version(connection)
        if found == 0 and self._vanished:
            raise self._gone()  # what is there now is empty, and no caller has asked for tables in it
        if found == 0:
            schema.apply_pending(connection, 0)
        elif found < schema.OLDEST:
            raise SchemaMismatch(
                f"the tables in {self.path} have version {found}, and this Steadypool needs {schema.OLDEST} or later; "
                f"stop the workers that still use the file, then run: steadypool migrate {self.address.url}"
            )
        elif found > schema.VERSION:
            raise SchemaMismatch(
                f"the tables in {self.path} have version {found}, and this Steadypool knows {schema.VERSION}: use a "
                "later one"
            )


def _prepare(connection: Any, synchronous: str, seconds: float) -> None:
    set_busy_timeout(connection, seconds)
    # The first is heeded by a file that is made now: it can then be shrunk while it is used.
    pragmas = [
        "auto_vacuum = INCREMENTAL",
        "journal_mode = WAL",
        f"synchronous = {synchronous}",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
    ]
    pragmas += ["temp_store = MEMORY", f"cache_size = -{CACHE_KILOBYTES}"]
    if sys.platform == "darwin":
        pragmas.append("fullfsync = 1")  # a plain fsync there does not reach the disk
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").fetchall()


def check_file_system(path: str) -> None:
    """Do nothing, unless *path* is on a network file system.

    Raises:
        EngineError: it is: two machines would each believe that they alone have the lock.
    """
    kind = file_system_of(path)
    if kind in NETWORK or kind.startswith(NETWORK_PREFIX):
        raise EngineError(
            f"{path} is on a network file system ({kind}), where SQLite's locks do not hold and a queue would be "
            "damaged: "
            "keep it on a local disk, or use postgresql://"
        )


def file_system_of(path: str) -> str:
    """The kind of file system that *path* is on; empty if it is not known."""
    import psutil

    real = os.path.realpath(path)
    best, kind = "", ""
    for part in psutil.disk_partitions(all=True):
        point = part.mountpoint
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, part.fstype
    return kind
