"""How long an answer is waited for: by what is heard, and not by the clock alone.

A call that brings or fetches megabytes over a slow line takes its time. If it were stopped for that and sent again as
it was, it would never get through. So the timeout counts from the latest sign of progress: a part of the answer came,
or the socket has taken more of what is sent. What the kernel has taken is on its way, and nothing is heard of
it: so what is sent has time to arrive, too.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import psycopg

from steadypool.model.clock import monotonic

SLOWEST = 500_000
"""Bytes a second that a line carries at least: 4 Mbit/s."""


class TookTooLong(psycopg.OperationalError):
    """There was no answer, and no progress, for the whole timeout."""


def seconds_to_send(values: Iterable[Any]) -> float:
    """How long these values may take to arrive."""
    size = 0
    for value in values:
        if isinstance(value, (bytes, str)):
            size += len(value)
        elif isinstance(value, list):
            size += sum(len(item) for item in value if isinstance(item, bytes))
    return size / SLOWEST


class PatientConnection(psycopg.Connection[Any]):
    """A connection whose waits have an end."""

    until = float("inf")
    """The moment, by `monotonic`, at which a wait fails."""
    extension = float("inf")
    """Seconds that each sign of progress adds."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """See `psycopg.Connection.wait`."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        return super().wait(self._patiently(gen), min(interval, max(0.001, self.until - monotonic())))

    def _patiently(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    self.until = max(self.until, monotonic() + self.extension)
                elif monotonic() >= self.until:
                    raise TookTooLong("there was no answer in time")
                wanted = gen.send(ready)
        except StopIteration as ended:
            return ended.value
