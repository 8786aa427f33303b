"""What a process has open on SQLite files: kept where a fork, and the loss of the log, find all of it.

Theory of operation
-------------------
SQLite keeps two kinds of locks. Those of the **system** (POSIX) belong to a process: a forked child has none of them.
What the **library** notes of them in memory, by file, is copied by a fork. So in a child that has copies of its
parent's connections the library believes that it has locked the file already. A connection that the child opens then
takes no lock of the system: the parent's last close takes the log (``-wal``) away under it, and what the child puts is
lost. A copy of a connection in the middle of a transaction is worse: the library believes for ever that it writes.

Hence, for every file:

* **Before a fork** all threads of ours leave SQLite (`Use` says where they are inside), and none enters until it is
  done. So no connection is copied in the middle of a statement, a transaction, an opening or a closing.
* **In the child**, before anything else runs, every copy is closed, and the library's memory of it is gone. The parent
  loses nothing by that: a close drops the locks of the process that closes, and the child has none; and the checkpoint
  that a last close makes needs the file alone, which it has only if the parent has gone.
* **In the parent** nothing changes. Each side opens and locks for itself from then on, and either may go first.
* **Too late**: a thread that stays inside for longer than `FORK_PATIENCE`, or the forking thread itself inside (a
  signal handler that forks). Then the copies can neither be used nor closed, since to undo a transaction changes memory
  that the parent shares. They are kept until the child ends, and it refuses the file with an error.
* **Connections of the program's own** to the same file, copied by the fork, blind the library in the same way, and are
  not ours to close. `check_locked` finds out, where the system says who has locked what (Linux).

A fork that calls none of Python's hooks is noticed by the process id (`Store`), which then refuses.

The same list serves when the log beside a file was removed: all connections of the process to one file share the log's
memory (``-shm``), so they have to be closed together before one is opened anew (`alone_with`).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from steadypool.durable.engine import reentry
from steadypool.durable.engine.errors import EngineError
from steadypool.durable.engine.sqlite.folder import Mark
from steadypool.durable.engine.sqlite.lock_holders import holders_of

FORK_PATIENCE = 10.0
"""Seconds that a fork waits for other threads to leave SQLite: as long as a transaction waits for a stranger's lock."""
Identity = tuple[int, int]


def identity_of(path: str) -> Identity | None:
    """Which file that is at present; ``None`` if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Connections:
    """Of one store: one to write with, one to read with."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.writer: Any = None
        self.reader: Any = None
        self.identity: Identity | None = None
        """Of the file that they have open."""
        self.log: tuple[Identity | None, Identity | None] | None = None
        """Of the log that they have open beside it, and of its index."""
        self.in_order: tuple[Mark | None, Identity | None, object] | None = None
        """The folder's mark when these files were there; see `sqlite.store`."""
        _all.add(self)

    def close(self, close: Callable[[Any], None] = lambda connection: connection.close()) -> None:
        """Close both."""
        writer, reader = self.writer, self.reader
        self.writer = self.reader = self.identity = self.log = None
        for connection in (reader, writer):
            if connection is not None:
                close(connection)

    def keep_for_ever(self) -> None:
        """Neither use nor close them, until the process ends."""
        import ctypes  # for those who come to this

        identity = self.identity or identity_of(self.path)
        if identity is not None:
            _unusable.add(identity)
        for connection in (self.writer, self.reader):
            if connection is not None:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))  # the end of the interpreter would close it
        self.writer = self.reader = self.identity = self.log = None


class Use:
    """A thread that is inside SQLite: whatever opens, uses or closes a connection.

    No lock is taken where nothing is awaited: a signal handler that comes then may have another thread go in. Who goes
    in leaves word first and looks second whether others are to stay out; who waits for all to be out does so the other
    way round.
    """

    __slots__ = ("connections", "thread")

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.thread = threading.get_ident()

    def enter(self) -> None:
        """Go in, after the process has forked, if it does; `leave` follows, in a ``finally`` that covers this too."""
        _inside.add(self)
        while _alone and self._is_kept_out():
            _inside.discard(self)
            with _changed:
                _changed.notify_all()
                _changed.wait_for(lambda: not self._is_kept_out())
            _inside.add(self)

    def leave(self) -> None:
        """Be outside."""
        _inside.discard(self)
        if _alone:
            with _changed:
                _changed.notify_all()

    def _is_kept_out(self) -> bool:
        return any(alone.keeps_out(self) for alone in list(_alone))


class _Alone:
    """A thread that waits for the others to be out, and keeps them out then: for a fork, or with one file."""

    def __init__(self, identity: Identity | None = None, marks: bool = False) -> None:
        self._identity = identity
        self.marks = marks
        """Whether the thread keeps others from writing by this alone."""
        self._thread = threading.get_ident()

    def keeps_out(self, use: Use) -> bool:
        """Whether that thread has to be out."""
        return use.thread != self._thread and (
            self._identity is None or use.connections.identity in (None, self._identity)
        )

    def wait(self, seconds: float) -> bool:
        """Wait for all others; whether they are out."""
        with _changed:
            return _changed.wait_for(lambda: not any(map(self.keeps_out, list(_inside))), seconds)

    def end(self) -> None:
        """Let others in again."""
        _alone.discard(self)
        with _changed:
            _changed.notify_all()


_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_inside: set[Use] = set()
# Reentrant: a signal handler may fork while its thread is in here.
_changed = threading.Condition(threading.RLock())
_unusable: set[Identity] = set()
_alone: set[_Alone] = set()
_fork: _Alone | None = None
_forked = False


@contextmanager
def in_use(connections: Connections) -> Iterator[None]:
    """A block that is inside SQLite. Waits while the process forks."""
    use = Use(connections)
    try:
        use.enter()
        yield
    finally:
        use.leave()


@contextmanager
def alone_with(identity: Identity, seconds: float) -> Iterator[list[Connections]]:
    """A block in which no other thread is inside SQLite with the file, and none enters.

    It gives all that this process has open on the file; nothing, if others have not left within *seconds*. The caller
    may be inside itself.
    """
    alone = _Alone(identity)
    try:
        _alone.add(alone)
        yield connections_to(identity) if alone.wait(seconds) else []
    finally:
        alone.end()


def connections_to(identity: Identity | None) -> list[Connections]:
    """All that this process has open on the file."""
    return [connections for connections in list(_all) if connections.identity == identity is not None]


def check_usable(path: str, identity: Identity | None) -> None:
    """Do nothing, unless this is a child that was forked in the middle of a transaction on the file.

    Raises:
        EngineError: it is.
    """
    if identity in _unusable:
        raise EngineError(
            f"{path} cannot be used in this process: it was forked while a thread of its parent was in the middle of a "
            "transaction on that file, and SQLite does not get over that; fork elsewhere, or start the process by "
            "spawn or exec"
        )


def check_locked(path: str) -> None:
    """Do nothing, unless this is a forked child in which a new connection has not locked the file.

    Raises:
        EngineError: it is: the fork has copied a connection of the program's own.
    """
    if not _forked:
        return
    holders = holders_of(path)
    if holders is not None and os.getpid() not in holders.of_file and (holders.of_file or not holders.mine_anywhere):
        raise EngineError(
            f"{path} cannot be locked in this process: it was forked while the program had a connection of its own to "
            "that file open, and SQLite takes the copy's locks for real; close such connections before the fork"
        )


def _before_fork() -> None:
    global _fork
    _fork = _Alone(marks=reentry.mark())
    _alone.add(_fork)
    _fork.wait(FORK_PATIENCE)


def _in_parent() -> None:
    global _fork
    if _fork is not None:
        _fork.end()
        if _fork.marks:
            reentry.unmark()
        _fork = None


def _in_child() -> None:
    global _changed, _fork, _forked
    _changed, _fork, _forked = threading.Condition(threading.RLock()), None, True
    busy = {use.connections for use in _inside}
    _inside.clear()
    _alone.clear()
    for connections in list(_all):
        if connections in busy:
            connections.keep_for_ever()
            continue
        try:
            connections.close()
        except Exception:  # of either library; what cannot be closed cannot be used, either
            connections.keep_for_ever()


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
