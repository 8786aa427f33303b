"""A job begins, as far as the parent knows: it has become the first in the hand of its worker.

From here on it is RUNNING, and its ``timeout`` counts: first from now, and once that moment comes, from when the worker
has begun it (`ProcessWorkers.attempt_ends`).
"""

from __future__ import annotations

import pickle
from concurrent.futures._base import RUNNING
from contextvars import Context
from functools import partial

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import events
from steadypool.model.sink_protocols import ContextCarrier
from steadypool.model.states import PoolState
from steadypool.pools.core.emitter import job_facts
from steadypool.pools.core.job_errors import cancelled_error
from steadypool.pools.core.shared import Job
from steadypool.pools.processes.chunk import Chunk, Entry
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.handover_watch import HandoverWatch
from steadypool.pools.processes.ipc.pickles import dump
from steadypool.pools.processes.places import Places
from steadypool.pools.processes.worker import ProcessWorker


class JobStarts:
    """Says of jobs that they run, and sees to what has to be then."""

    def __init__(self, fleet: Fleet, places: Places, watch: HandoverWatch) -> None:
        self._fleet = fleet
        self._core = fleet.core
        self._places = places
        self.watch = watch

    def see_to_first(self, worker: ProcessWorker) -> None:
        """What is first in the worker's hand runs now, or will in a moment. May be said more than once."""
        sinks = self._core.emitter.sinks
        with self._core.lock:
            if not worker.hand or worker.taken is not None:
                return  # not yet: it will be said when what was taken has ended
            job = (self._places.first_unfolded(worker) if sinks else None) or worker.hand[0]
            if job._state is RUNNING:
                return
            job._began = now = monotonic()
            job._state = RUNNING
            told = bool(sinks) and self._fleet.told_started.pop(job, None) == job.attempts
        self.watch.see_to_unread()
        if self._core.state is PoolState.CANCELLING:
            # It was on its way when the drain gave back what waits: stop it, as the drain did those that ran.
            self._tell_first(worker)
        timeout = job._options.timeout
        if timeout is not None:
            # The earliest moment that can be its limit; when that comes, the page says what is.
            job._attempt_ends = now + timeout
            self._core.wake_before(job._attempt_ends)
        if sinks and not told and not isinstance(job, Chunk):
            self._core.emitter.emit_deferred(job)
            waited = now - job._submitted
            context = _submitters_context(job)
            context.run(
                self._core.emitter.emit, events.JobStarted(self._core.name, now, *job_facts(job), worker.name, waited)
            )

    def _tell_first(self, worker: ProcessWorker) -> None:
        """The pool is cancelling: tell what the worker runs now."""
        with self._core.lock:
            self._places.first_unfolded(worker)
            running = worker.running()
        for job in running:
            self._core.termination.tell(job, "shutdown", cancelled_error(job, "shutdown"))

    def carried(self, job: Entry) -> bytes | None:
        """What sinks want done in the worker before the job, as a pickle; ``None``: nothing."""
        if not self._core.emitter.context_carriers or isinstance(job, Chunk):
            return None
        event = events.JobEvent(self._core.name, monotonic(), *job_facts(job))
        context = _submitters_context(job)
        wanted: list[bytes] = []
        for sink in self._core.emitter.context_carriers:
            try:
                ask = partial(context.run, _what_it_carries, sink, event)
                wanted += self._core.user_calls.aside.call(ask, []) if self._core.user_calls.is_hurried() else ask()
            except BaseException as error:
                self._core.emitter.mute(error)
        return pickle.dumps(wanted) if wanted else None


def _what_it_carries(sink: ContextCarrier, event: events.JobEvent) -> list[bytes]:
    action = sink.carry(event)
    return [] if action is None else [dump(action, main_by_name=True).stream]


def _submitters_context(job: Job) -> Context:
    """A copy of the context in which the job was submitted: what one attempt sets there is not the next one's."""
    context: Context | None = job._context
    return Context() if context is None else context.copy()
