"""Receives visitors on a Unix socket: each line they send gets an answer. One thread, which sleeps in between.

What runs where
---------------
* **The reception's thread** waits for everything that can happen: a new visitor, a line of one, room to write, the
  bell. It calls ``answer`` with each line, and ``goes_on`` before each sleep.
* **Any thread** may call `LineServer.say_to_all`, `Client.say` and `LineServer.ring`. None of them waits: what a
  visitor's socket does not take at once is kept for it, `MAX_UNREAD` bytes at most. One that reads more slowly than
  that is shown out; no thread waits for it.

``ring`` takes no lock, so that a finalizer may call it.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
from collections.abc import Callable

from steadypool.pools.monitor.peer_credentials import peer_uid
from steadypool.primitives.wakeup import PipeBell

MAX_VISITORS = 64
MAX_LINE = 4096
"""Bytes in a visitor's line."""
MAX_UNREAD = 8 * 1024 * 1024
"""Bytes kept for a visitor that does not read."""


class Client:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.asked = False
        """Whether it has sent a line yet."""
        self.leaves = False
        self._unread = bytearray()
        self._lock = threading.Lock()

    def say(self, line: bytes) -> bool:
        """Send a line, or keep of it what cannot be sent now. Returns whether all is sent."""
        with self._lock:
            self._unread += line
            if len(self._unread) > MAX_UNREAD:
                self.leaves = True
        return self.send()

    def send(self) -> bool:
        """Send what is kept, as far as the socket takes it. Returns whether all is sent."""
        with self._lock:
            try:
                while self._unread and not self.leaves:
                    del self._unread[: self.connection.send(self._unread)]
            except BlockingIOError:
                return False
            except OSError:
                self.leaves = True
            return True


class LineServer:
    """The thread, and its visitors.

    Args:
        listener: a listening socket that does not block. It is the caller's to close.
        answer: makes the answer to a line, a line itself.
        goes_on: called on the thread, at its start and whenever something has happened; false ends it.
    """

    def __init__(
        self, listener: socket.socket, answer: Callable[[Client, bytes], bytes], goes_on: Callable[[], bool]
    ) -> None:
        self.visitors: dict[Client, bytearray] = {}
        """With what each has sent of its next line."""
        self._listener = listener
        self._answer = answer
        self._goes_on = goes_on
        self._bell = PipeBell()
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._bell.fd, selectors.EVENT_READ)

    def start(self) -> None:
        """Begin.

        Raises:
            RuntimeError: no thread can be started.
        """
        threading.Thread(target=self._run, name="steadypool-monitor", daemon=True).start()

    def ring(self) -> None:
        """Have the thread look round."""
        self._bell.ring()

    def say_to_all(self, line: bytes) -> None:
        """Send a line to every visitor that has asked something. It does not wait for any of them."""
        for visitor in list(self.visitors):
            if visitor.asked and not visitor.say(line):
                self.ring()

    def close(self) -> None:
        """Let go of everything but the listener. On the thread, or where there is none any more."""
        for visitor in list(self.visitors):
            visitor.connection.close()
        self.visitors.clear()
        self._selector.close()
        self._bell.close()

    def _run(self) -> None:
        try:
            while self._goes_on():
                for key, what in self._selector.select():
                    self._attend(key.fileobj, what)
                self._see_off()
        except Exception:
            logging.getLogger("steadypool").exception("internal error in the monitor: please report it")
        finally:
            self.close()

    def _attend(self, to: object, what: int) -> None:
        if to is self._listener:
            self._receive()
        elif to == self._bell.fd:
            self._bell.heard()
        elif isinstance(visitor := self._visitor_on(to), Client):
            if what & selectors.EVENT_WRITE:
                visitor.send()
            if what & selectors.EVENT_READ:
                self._read(visitor)

    def _visitor_on(self, connection: object) -> Client | None:
        return next((visitor for visitor in self.visitors if visitor.connection is connection), None)

    def _receive(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        if len(self.visitors) >= MAX_VISITORS or peer_uid(connection) not in (None, 0, os.geteuid()):
            connection.close()
            return
        visitor = Client(connection)
        self.visitors[visitor] = bytearray()
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, visitor: Client) -> None:
        try:
            data = visitor.connection.recv(MAX_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            visitor.leaves = True
            return
        heard = self.visitors[visitor]
        heard += data
        while (end := heard.find(b"\n")) >= 0 and not visitor.leaves:
            line = bytes(heard[:end])
            del heard[: end + 1]
            visitor.asked = True
            self._reply(visitor, line)
        if len(heard) > MAX_LINE:
            visitor.leaves = True

    def _reply(self, visitor: Client, line: bytes) -> None:
        try:
            visitor.say(self._answer(visitor, line))
        except Exception:
            # It must not end the thread, and with it the visits of all others.
            logging.getLogger("steadypool").exception("internal error in the monitor: please report it")
            visitor.leaves = True

    def _see_off(self) -> None:
        """Part with the visitors that leave, and wait for room where something is still to be sent."""
        for visitor in list(self.visitors):
            all_is_sent = visitor.send()
            if visitor.leaves:
                del self.visitors[visitor]
                self._selector.unregister(visitor.connection)
                visitor.connection.close()
            else:
                wanted = selectors.EVENT_READ if all_is_sent else selectors.EVENT_READ | selectors.EVENT_WRITE
                self._selector.modify(visitor.connection, wanted)
