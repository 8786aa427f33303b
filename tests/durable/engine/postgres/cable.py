"""A cable between a program and the server, that a test can cut and mend: nothing is said, and nothing closed."""

from __future__ import annotations

import re
import selectors
import socket
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlsplit, urlunsplit

from psycopg.conninfo import conninfo_to_dict

NAME = ".s.PGSQL.5432"
LISTEN = re.compile(rb'LISTEN "[^"]*"')


class Cable:
    """A ``with`` block in which connections to ``url`` are carried to the server at *far_url*.

    Args:
        far_url: the server's.
        forbid_listen: have no LISTEN arrive; what does instead says nothing, as if a pooler had another session listen.
        rate: bytes a second that it carries.
    """

    def __init__(self, far_url: str, *, forbid_listen: bool = False, rate: float = float("inf")) -> None:
        self._forbids_listen = forbid_listen
        self._rate = rate
        self.forbidden = 0
        """How many were kept from arriving."""
        self._far = conninfo_to_dict(far_url)
        self._folder = tempfile.TemporaryDirectory(prefix="sp-cable-", dir="/tmp")
        self.url = urlunsplit(
            urlsplit(far_url)._replace(
                netloc=f"{urlsplit(far_url).username}@", query=f"host={quote(self._folder.name, safe='')}"
            )
        )
        self._door = socket.socket(socket.AF_UNIX)
        self._selector = selectors.DefaultSelector()
        self._other: dict[socket.socket, socket.socket] = {}
        self._whole = threading.Event()
        self._whole.set()
        self._open = True
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self) -> Cable:
        self._door.bind(str(Path(self._folder.name) / NAME))
        self._door.listen()
        self._selector.register(self._door, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self._open = False
        self._whole.set()
        self._thread.join(10)
        for end in (self._door, *self._other):
            end.close()
        self._selector.close()
        self._folder.cleanup()

    def cut(self) -> None:
        """From now on nothing goes through."""
        self._whole.clear()

    def mend(self) -> None:
        """What was said meanwhile arrives."""
        self._whole.set()

    def _carry(self) -> None:
        while self._open:
            ready = self._selector.select(0.02)
            self._whole.wait()
            for key, _ in ready:
                if key.fileobj is self._door:
                    self._connect()
                else:
                    self._pass_on(key.fileobj)  # type: ignore[arg-type]

    def _connect(self) -> None:
        near, _ = self._door.accept()
        host, port = str(self._far.get("host", "localhost")), int(str(self._far.get("port", 5432)))
        if host.startswith("/"):
            far = socket.socket(socket.AF_UNIX)
            far.connect(f"{host}/.s.PGSQL.{port}")
        else:
            far = socket.create_connection((host, port))
        for end, other in ((near, far), (far, near)):
            self._other[end] = other
            self._selector.register(end, selectors.EVENT_READ)

    def _pass_on(self, end: socket.socket) -> None:
        if end not in self._other:
            return
        other = self._other[end]
        try:
            data = end.recv(65536)
            if self._forbids_listen:
                self.forbidden += len(LISTEN.findall(data))
                data = LISTEN.sub(lambda found: b"SELECT 1".ljust(len(found[0])), data)
            if data:
                other.sendall(data)
                time.sleep(len(data) / self._rate)  # which is what a slow line is
                return
        except OSError:
            pass
        for one in (end, other):
            self._selector.unregister(one)
            del self._other[one]
            one.close()
