"""How results leave a worker process."""

from __future__ import annotations

import socket
import threading
from marshal import dumps
from typing import Any

from steadypool.model.clock import monotonic
from steadypool.pools.core.forked_job import end_child
from steadypool.pools.processes.ipc.status_page import LOG_BYTES, LOG_FORMAT, LOG_SIZE, Page
from steadypool.pools.processes.ipc.wire import RESULT, VALUES

GATHER_SECONDS = 0.0005
"""How long outcomes of jobs that travelled together gather."""
ATOMS = frozenset({int, float, complex, bool, type(None)})
SHORT, SHORT_TUPLE = 1000, 20


class Outbox:
    """Results on their way up. Each leaves at once, but for short ones of calls that travelled together, which gather.

    Those that gather stand in the shared log as well, so that the parent has them whatever becomes of this process, and
    need not wait for them while a long call runs. The worker's loop alone gathers; progress may come from any thread.
    """

    def __init__(self, end: socket.socket, page: Page) -> None:
        end.setblocking(True)
        self._end = end
        self._page = page
        self._write, self._cells = page.write, page.serials
        self._size = 0
        """Bytes in the log that have not left."""
        self._first = self._last = 0
        """The serials of the first and the last outcome of these."""
        self._since = 0.0
        self._lock = threading.Lock()

    def send(self, status: int, serial: int, payload: bytes = b"", seconds: float = 0.0) -> None:
        """Send a frame, after what was gathered: the parent expects outcomes in order."""
        if self._size:
            self.flush()
        self.send_aside(status, serial, payload, seconds)
        self.start_clock()

    def send_aside(self, status: int, serial: int, payload: bytes, seconds: float = 0.0) -> None:
        """Send a frame before what was gathered."""
        with self._lock:
            self._end.sendall(RESULT.pack(serial, status, seconds, len(payload)) + payload)

    def start_clock(self) -> None:
        """The calls whose results will gather begin now."""
        self._since = monotonic()

    def gather(self, serial: int, value: Any) -> bool:
        """Note the result of the call after the last one; false if there is no room for it. A list holds a pickle."""
        data = dumps(value, LOG_FORMAT)
        size = self._size
        if not size or size + len(data) > LOG_BYTES:
            if len(data) > LOG_BYTES:
                return False
            self.flush()
            size = 0
            self._page.open_log(serial)
            self._first = serial
        self._last = serial
        self._cells[LOG_SIZE] = self._size = size + self._write(data)
        return True

    def is_old(self, now: float) -> bool:
        """Whether what was gathered should leave."""
        return now - self._since > GATHER_SECONDS

    def flush(self) -> None:
        """Send what was gathered."""
        size, self._size = self._size, 0
        if size:
            now = monotonic()
            count = self._last - self._first + 1
            self.send_aside(VALUES, self._first, self._page.log_as_list(count, size), now - self._since)
            self._since = now


class ForkedOutbox:
    """Where a forked child's results would go: one that returns from the job, as its parent does, ends here."""

    def send(self, *frame: object) -> None:
        """Leave."""
        end_child(None)

    def send_aside(self, *frame: object) -> None:
        """A report of progress: it is lost."""


def is_small(result: object) -> bool:
    """Whether a result is short and can neither change nor fail to be loaded, so that it may wait to be pickled."""
    # No tuple in a tuple: they may be nested a thousand deep, or hold each other so often that this would never end.
    if type(result) is tuple:
        return len(result) <= SHORT_TUPLE and all(type(one) in ATOMS or _is_short(one) for one in result)
    return type(result) in ATOMS or _is_short(result)


def _is_short(result: object) -> bool:
    return (type(result) is str or type(result) is bytes) and len(result) <= SHORT
