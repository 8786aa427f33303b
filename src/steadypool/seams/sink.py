"""Where events go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from steadypool.words.events import Event


class Sink(Protocol):
    """Anything that can be called with an event.

    It is called on the thread where the event happens, so it must be quick and safe to call from several
    threads. One job's events arrive in order. It may raise: the exception is muted and counted in
    `PoolStats.sink_errors`. It must not wait for the pool.
    """

    def __call__(self, event: Event, /) -> object:
        """Take one event."""
