"""What a pool tells its sinks, and when.

A job's events arrive in order, though different threads bring them about: an event that must be out before the job's
next one is left with the job as an `Announcement`, and whoever comes first makes it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from steadypool.machinery.future import JobFuture
from steadypool.pools.driver import Driver
from steadypool.seams.sink import Carrier, Sink, Watcher
from steadypool.seams.telling import events
from steadypool.words.clock import monotonic
from steadypool.words.reports import PoolStats
from steadypool.words.states import Outcome

Job = JobFuture[Any]


class Announcer(Driver):
    """The sinks of one pool. With none, no event is made: whoever has one to make looks at `sinks` first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.RLock()
        self.sinks: tuple[Sink, ...] = ()
        self.carriers: tuple[Carrier, ...] = ()
        self.sink_errors = 0
        self._subscriptions: tuple[Sink, ...] = ()
        """The sinks, each as often as it was added."""

    def stats(self) -> PoolStats:
        """The books at this moment, for sinks that look at them."""
        raise NotImplementedError

    def add_sink(self, sink: Sink) -> None:
        """Have it called with every event from now on. Added twice, it is called once, until it is removed twice."""
        if isinstance(sink, Watcher):
            sink.watch(self)
        with self.lock:
            self._set_subscriptions([*self._subscriptions, sink])

    def remove_sink(self, sink: Sink) -> None:
        """Take back one `add_sink`."""
        with self.lock:
            left = list(self._subscriptions)
            found = [number for number, other in enumerate(left) if other is sink]
            for number in found[-1:]:
                del left[number]
            self._set_subscriptions(left)
        if len(found) == 1 and isinstance(sink, Watcher):
            sink.unwatch(self)

    def _set_subscriptions(self, sinks: list[Sink]) -> None:
        self._subscriptions = tuple(sinks)
        self.sinks = tuple({id(sink): sink for sink in sinks}.values())
        self.carriers = tuple(sink for sink in self.sinks if isinstance(sink, Carrier))

    def emit(self, event: events.Event) -> None:
        """Give an event to every sink. One that raises is muted and counted."""
        for sink in self.sinks:
            try:
                sink(event)
            except BaseException as error:
                self.mute(error)

    def mute(self, error: BaseException) -> None:
        """A sink has raised *error*: count it. Raise it if it is Ctrl-C, which stays Ctrl-C."""
        # Also what is no Exception: it must not end a worker or the supervisor.
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise error
        with self.lock:
            self.sink_errors += 1

    def emit_end(self, job: Job, outcome: Outcome, error: BaseException | None) -> None:
        """Say that the job ended."""
        self.announce(job)
        now = monotonic()
        ran = now - job._began if job.attempts else 0.0
        self.emit(events.ENDINGS[outcome](self.name, now, *job_facts(job), ran, error, outcome))

    def prepare_announcement(self, job: Job) -> None:
        """Leave the submitted event with the job, for whoever comes first: the submitter, or the worker."""
        job._announcement = Announcement(events.JobSubmitted(self.name, job._submitted, *job_facts(job)))

    def plan_to_announce(self, job: Job, event: events.JobEvent) -> None:
        """Have an event made before the job's next one. The lock is held."""
        if job._announcement is None:
            job._announcement = Announcement()
        job._announcement.add(event)

    def announce(self, job: Job) -> None:
        """Say what is still to be said of the job. One job's events arrive in order."""
        announcement = job._announcement
        if announcement is not None:
            announcement.make(self.emit)


class Announcement:
    """Events that must be out before the job's next one. Whoever comes second waits for whoever makes it."""

    __slots__ = ("_lock", "_waiting")

    def __init__(self, *waiting: events.JobEvent) -> None:
        self._waiting = deque(waiting)
        self._lock = threading.RLock()

    def add(self, event: events.JobEvent) -> None:
        """Have one more event made, after those that wait."""
        self._waiting.append(event)

    def make(self, emit: Callable[[events.Event], None]) -> None:
        """Emit the events, unless that was done."""
        with self._lock:
            while self._waiting:
                emit(self._waiting.popleft())


def job_facts(job: Job) -> tuple[str, str, int, Any]:
    """What every event of a job begins with."""
    return job.job_id, job._task_name, job.attempts, job._options.meta
