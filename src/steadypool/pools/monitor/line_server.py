"""Serves clients on a Unix socket: each line they send gets an answer. One thread, which sleeps in between.

What runs where
---------------
* **The server's thread** waits for everything that can happen: a new client, a line of one, room to write, the
  bell. It calls ``answer`` with each line, and ``goes_on`` before each sleep.
* **Any thread** may call `LineServer.say_to_all`, `Client.say` and `LineServer.ring`. None of them waits: what a
  client's socket does not take at once is kept for it, `MAX_UNREAD` bytes at most. One that reads more slowly than
  that is disconnected; no thread waits for it.

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

MAX_CLIENTS = 64
MAX_LINE = 4096
"""Bytes in a client's line."""
MAX_UNREAD = 8 * 1024 * 1024
"""Bytes kept for a client that does not read."""


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
    """The thread, and its clients.

    Args:
        listener: a listening socket that does not block. It is the caller's to close.
        answer: makes the answer to a line, a line itself.
        goes_on: called on the thread, at its start and whenever something has happened; false ends it.
    """

    def __init__(
        self, listener: socket.socket, answer: Callable[[Client, bytes], bytes], goes_on: Callable[[], bool]
    ) -> None:
        self.clients: dict[Client, bytearray] = {}
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
        """Send a line to every client that has asked something. It does not wait for any of them."""
        for client in list(self.clients):
            if client.asked and not client.say(line):
                self.ring()

    def close(self) -> None:
        """Let go of everything but the listener. On the thread, or where there is none any more."""
        for client in list(self.clients):
            client.connection.close()
        self.clients.clear()
        self._selector.close()
        self._bell.close()

    def _run(self) -> None:
        try:
            while self._goes_on():
                for key, what in self._selector.select():
                    self._attend(key, what)
                self._see_off()
        except Exception:
            logging.getLogger("steadypool").exception("internal error in the monitor: please report it")
        finally:
            self.close()

    def _attend(self, key: selectors.SelectorKey, what: int) -> None:
        client = key.data
        if key.fileobj is self._listener:
            self._receive()
        elif key.fd == self._bell.fd:
            self._bell.heard()
        elif isinstance(client, Client):
            if what & selectors.EVENT_WRITE:
                client.send()
            if what & selectors.EVENT_READ:
                self._read(client)

    def _receive(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        if len(self.clients) >= MAX_CLIENTS or peer_uid(connection) not in (None, 0, os.geteuid()):
            connection.close()
            return
        client = Client(connection)
        self.clients[client] = bytearray()
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _read(self, client: Client) -> None:
        try:
            data = client.connection.recv(MAX_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            client.leaves = True
            return
        heard = self.clients[client]
        heard += data
        while (end := heard.find(b"\n")) >= 0 and not client.leaves:
            line = bytes(heard[:end])
            del heard[: end + 1]
            client.asked = True
            self._reply(client, line)
        if len(heard) > MAX_LINE:
            client.leaves = True

    def _reply(self, client: Client, line: bytes) -> None:
        try:
            client.say(self._answer(client, line))
        except Exception:
            # It must not end the thread, and with it the connections of all others.
            logging.getLogger("steadypool").exception("internal error in the monitor: please report it")
            client.leaves = True

    def _see_off(self) -> None:
        """Part with the clients that leave, and wait for room where something is still to be sent."""
        for client in list(self.clients):
            all_is_sent = client.send()
            if client.leaves:
                del self.clients[client]
                self._selector.unregister(client.connection)
                client.connection.close()
            else:
                wanted = selectors.EVENT_READ if all_is_sent else selectors.EVENT_READ | selectors.EVENT_WRITE
                self._selector.modify(client.connection, wanted, client)
