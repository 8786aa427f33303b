"""Where events go, and what else a sink may want of a pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from steadypool.model.events import Event, JobEvent
    from steadypool.model.queue_depth import LimitCount, QueueDepth
    from steadypool.model.reports import PoolStats


class Sink(Protocol):
    """Anything that can be called with an event.

    It is called on the thread where the event happens, so it must be quick and safe to call from several
    threads. One job's events arrive in order. It may raise: the exception is muted and counted in
    `PoolStats.sink_errors`. It must not wait for the pool.

    `JobStarted` comes inside the job's own context: on threads and asyncio the job sees the context variables that a
    sink sets there, and the sink sees those of the submitter. (For processes see `ContextCarrier`.)
    """

    def __call__(self, event: Event, /) -> object:
        """Take one event."""


class Watched(Protocol):
    """A pool, as a sink may look at it. From any thread, but not while it takes an event."""

    @property
    def name(self) -> str:
        """Its name."""

    def stats(self) -> PoolStats:
        """The books at this moment."""


@runtime_checkable
class Watcher(Protocol):
    """A sink that also reads the pool's books when it is asked for them."""

    def watch(self, pool: Watched, /) -> None:
        """Called when the sink is subscribed to *pool*. Hold the pool weakly, or it could never be freed."""

    def unwatch(self, pool: Watched, /) -> None:
        """End what `watch` began."""


class WatchedQueues(Protocol):
    """A worker of durable queues, as a sink may look at it. From any thread."""

    def depths(self) -> Sequence[QueueDepth]:
        """What its named queues hold, as of a few seconds ago. Never waits long."""

    def failures(self) -> Mapping[tuple[str, str, str], int]:
        """How many attempts have failed here, by queue, task, and what came next: ``"retry"`` or ``"discard"``."""

    def ticks(self) -> Mapping[tuple[str, str, str], int]:
        """How many ticks of schedules came up here, by queue, task, and what became of them: ``"fired"`` or
        ``"skipped"``."""

    def limits(self) -> Sequence[LimitCount]:
        """How many jobs run and wait under each limit, likewise; none while that is not known."""


@runtime_checkable
class QueueWatcher(Protocol):
    """A sink that also reads figures of durable queues when it is asked for them."""

    def watch_queues(self, source: WatchedQueues, /) -> None:
        """Called when the sink is subscribed to a worker. Hold the worker weakly."""

    def unwatch_queues(self, source: WatchedQueues, /) -> None:
        """End what `watch_queues` began."""


@runtime_checkable
class ContextCarrier(Protocol):
    """A sink that has something done in the worker process before a job, such as to set what code in the job reads."""

    def carry(self, job: JobEvent, /) -> Callable[[], object] | None:
        """What is to be called there, in the job's context; it must pickle. ``None``: nothing.

        Called each time an attempt is about to be sent to a worker process, in a copy of the submitter's context. What
        the worker has not begun may be taken back and sent again: then it is called again for the same attempt. What it
        raises is muted and counted; what the answer raises in the worker is logged there.
        """
