"""News between processes without polling: a folder of datagram sockets beside the database.

A listener binds a socket of its own in ``<database>-bells``; a process with news sends one byte to each socket there. A
full socket has news waiting already. A socket that no process has bound any more is removed by the next that finds it.

A listener that sleeps in `wait` is woken by its own process through the same socket. Nothing is sent to a listener that
does not sleep: `wake` sets a flag first and looks whether it sleeps second, and `wait` the other way round.

A forked child closes its copies at once and leaves the sockets where they are: they are the parent's.

A path of a socket has room for about a hundred characters. Linux reaches a longer one through the folder's descriptor.
Where there is no way (or the file system has no sockets) no listener is woken, and each looks once a second.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import weakref
from contextlib import suppress
from itertools import count

from steadypool.durable.engine.sqlite.folder import Mark, mark_of
from steadypool.primitives.wakeup import PipeBell

LONGEST = 100
"""Bytes of a socket's path that every system takes."""
TOPICS = ("work", "ends")
_numbers = count()


class Bells:
    """The folder of sockets of one database."""

    def __init__(self, database: str) -> None:
        self._folder = f"{database}-bells"
        self._descriptor: int | None = None
        self._sender: socket.socket | None = None
        self._lock = threading.Lock()
        self._listed: tuple[Mark | None, list[str]] = None, []
        _open.add(self)

    def ring(self, *topics: str) -> None:
        """Wake every listener of these *topics*, in whichever process. Never waits, never raises."""
        try:
            mark = mark_of(self._folder)
            if mark is None or mark != self._listed[0]:
                self._listed = mark, os.listdir(self._folder)
        except OSError:
            return  # no process has ever listened
        for name in self._listed[1]:
            if name.startswith(topics):
                self._send(name)

    def listen(self, topic: str) -> BellListener:
        """A new listener."""
        if topic not in TOPICS:
            raise ValueError(f"there are news of {' and of '.join(TOPICS)}, not of {topic!r}")
        name = f"{topic}-{os.getpid()}-{next(_numbers)}"
        end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        end.setblocking(False)
        try:
            with suppress(FileExistsError):
                os.mkdir(self._folder)  # not what it is in, should that be gone
            path = self._path(name)
            with_stale = os.path.join(self._folder, name)
            if os.path.exists(with_stale):
                os.unlink(with_stale)  # of a process that had our number before
            end.bind(path)
        except OSError:
            return BellListener(end, None)
        return BellListener(end, with_stale)

    def close(self) -> None:
        """Give descriptors back."""
        with self._lock:
            if self._sender is not None:
                self._sender.close()
                self._sender = None
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def forget(self) -> None:
        """In a forked child: another thread may have had the lock."""
        self._lock = threading.Lock()
        self.close()

    def _send(self, name: str) -> None:
        with self._lock:
            if self._sender is None:
                self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._sender.setblocking(False)
            try:
                self._sender.sendto(b"!", self._path(name))
            except ConnectionRefusedError:
                _remove(os.path.join(self._folder, name))
            except OSError:
                pass  # full: it has news already; or just gone

    def _path(self, name: str) -> str:
        path = os.path.join(self._folder, name)
        if len(os.fsencode(path)) <= LONGEST or not sys.platform.startswith("linux"):
            return path
        if self._descriptor is None:
            self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._descriptor}/{name}"


class BellListener:
    """See `durable.engine.protocol.Listener`."""

    def __init__(self, end: socket.socket, path: str | None) -> None:
        self._end = end
        self._path = path
        self._bell = PipeBell()
        self._closed = False
        _open.add(self)

    def wait(self, seconds: float) -> None:
        """See `durable.engine.protocol.Listener.wait`."""
        if self._closed:  # a forked child's copy
            threading.Event().wait(max(0.0, seconds))
            return
        if self._bell.wait(max(0.0, seconds), {self._end.fileno(): select.POLLIN}):
            self._empty()

    def wake(self) -> None:
        """See `durable.engine.protocol.Listener.wake`."""
        self._bell.ring()

    def close(self) -> None:
        """See `durable.engine.protocol.Listener.close`."""
        if self._closed:
            return
        if self._path is not None:
            _remove(self._path)
        self.forget()

    def forget(self) -> None:
        """In a forked child: the socket's place is the parent's."""
        if self._closed:
            return
        self._closed = True
        self._end.close()
        self._bell.close()

    def _empty(self) -> None:
        try:
            while self._end.recv(16):
                pass
        except OSError:
            pass  # empty


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


_open: weakref.WeakSet[Bells | BellListener] = weakref.WeakSet()


def _forget_all() -> None:
    for one in list(_open):
        one.forget()


os.register_at_fork(after_in_child=_forget_all)
