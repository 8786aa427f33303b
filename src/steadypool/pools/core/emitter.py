"""What a pool tells its sinks, and when.

A job's events arrive in order, though different threads bring them about: an event that must be out before the job's
next one is left with the job as an `PendingEvents`, and the first thread that comes to it makes it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from threading import get_ident

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import events
from steadypool.model.sink_protocols import ContextCarrier, Sink, Watched, Watcher
from steadypool.model.states import Outcome
from steadypool.pools.core.shared import Job
from steadypool.primitives.callback_thread import CallbackThread

SINKS_SECONDS = 0.1
"""How long the supervisor waits for sinks before it goes on without them, until they have caught up."""
MOST_EVENTS = 10_000
"""Events that wait for a sink that hangs; those beyond are counted as its errors."""


class Emitter:
    """The sinks of one pool. With none, no event is made: what has one to make looks at `sinks` first."""

    def __init__(self, pool: Watched, mark_own_thread: Callable[[], None], supervisors: set[int]) -> None:
        self._pool = pool
        self._name = pool.name
        self._mark_own_thread = mark_own_thread
        self._supervisors = supervisors
        self._lock = threading.RLock()
        self.sinks: tuple[Sink, ...] = ()
        self.context_carriers: tuple[ContextCarrier, ...] = ()
        self.sink_errors = 0
        self.messenger = self._new_messenger()
        """Tells the sinks what the supervisor has to say."""
        self._sinks_are_late = False
        self._subscriptions: tuple[Sink, ...] = ()
        """The sinks, each as often as it was added."""

    def _new_messenger(self) -> CallbackThread:
        return CallbackThread(f"{self._name}-events", self._mark_own_thread, MOST_EVENTS)

    def after_fork(self) -> None:
        """In a forked child, where the lock may be held for ever and the thread does not exist: no sink hears more."""
        self._lock = threading.RLock()
        self.messenger = self._new_messenger()
        self.silence()

    def silence(self) -> None:
        """Have no sink called from now on."""
        self.sinks = self.context_carriers = ()

    def add_sink(self, sink: Sink) -> None:
        """Have it called with every event from now on. Added twice, it is called once, until it is removed twice."""
        if isinstance(sink, Watcher):
            sink.watch(self._pool)
        with self._lock:
            self._set_subscriptions([*self._subscriptions, sink])

    def remove_sink(self, sink: Sink) -> None:
        """Take back one `add_sink`."""
        with self._lock:
            left = list(self._subscriptions)
            found = [number for number, other in enumerate(left) if other is sink]
            for number in found[-1:]:
                del left[number]
            self._set_subscriptions(left)
        if len(found) == 1 and isinstance(sink, Watcher):
            sink.unwatch(self._pool)

    def _set_subscriptions(self, sinks: list[Sink]) -> None:
        self._subscriptions = tuple(sinks)
        self.sinks = tuple({id(sink): sink for sink in sinks}.values())
        self.context_carriers = tuple(sink for sink in self.sinks if isinstance(sink, ContextCarrier))

    def emit(self, event: events.Event) -> None:
        """Give an event to every sink. One that raises is muted and counted."""
        if get_ident() in self._supervisors:
            self._have_told(partial(copy_context().run, self._tell_sinks, event))
        else:
            self._tell_sinks(event)

    def _have_told(self, errand: Callable[[], object]) -> None:
        """The supervisor has something for the sinks: it waits a moment for them, and goes on without."""
        if self._sinks_are_late and self.messenger.is_idle():
            self._sinks_are_late = False
        if not self.messenger.run(errand, "a sink"):
            with self._lock:
                self.sink_errors += 1  # one of them hangs, and this event would be the last of very many
        elif not self._sinks_are_late:
            self._sinks_are_late = not self.messenger.wait_idle(SINKS_SECONDS)

    def _tell_sinks(self, event: events.Event) -> None:
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
        with self._lock:
            self.sink_errors += 1

    def emit_end(self, job: Job, outcome: Outcome, error: BaseException | None) -> None:
        """Say that the job ended."""
        self.emit_deferred(job)
        now = monotonic()
        ran = now - job._began if job.attempts else 0.0
        self.emit(events.ENDINGS[outcome](self._name, now, *job_facts(job), ran, error, outcome))

    def defer_submitted(self, job: Job) -> None:
        """Leave the submitted event with the job, for the one that comes first: the submitter, or the worker."""
        job._deferred_events = PendingEvents(events.JobSubmitted(self._name, job._submitted, *job_facts(job)))

    def defer_event(self, job: Job, event: events.JobEvent) -> None:
        """Have an event made before the job's next one. The pool's lock is held."""
        if job._deferred_events is None:
            job._deferred_events = PendingEvents()
        job._deferred_events.add(event)

    def emit_deferred(self, job: Job) -> None:
        """Say what is still to be said of the job. One job's events arrive in order."""
        announcement: PendingEvents | None = job._deferred_events
        if announcement is None or not announcement.is_wanted():
            return
        if get_ident() in self._supervisors:
            self._have_told(partial(announcement.make, self._tell_sinks))
        else:
            announcement.make(self.emit)


class PendingEvents:
    """Events that must be out before the job's next one. A second thread waits for the one that emits them."""

    __slots__ = ("_is_making", "_lock", "_waiting")

    def __init__(self, *waiting: events.JobEvent) -> None:
        self._waiting = deque(waiting)
        self._lock = threading.RLock()
        self._is_making = False

    def add(self, event: events.JobEvent) -> None:
        """Have one more event made, after those that wait."""
        self._waiting.append(event)

    def is_wanted(self) -> bool:
        """Whether there may be something to say, or another thread says it now."""
        return bool(self._waiting) or self._is_making

    def make(self, emit: Callable[[events.Event], None]) -> None:
        """Emit the events, unless that was done."""
        with self._lock:
            self._is_making = True
            while self._waiting:
                emit(self._waiting.popleft())
            self._is_making = False


def job_facts(job: Job) -> tuple[str, str, int, Mapping[str, object] | None]:
    """What every event of a job begins with."""
    return job.job_id, job._task_name, job.attempts, job._options.meta
