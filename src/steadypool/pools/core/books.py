"""A pool's books, read out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from steadypool.model.clock import monotonic
from steadypool.model.lazy_module import reports
from steadypool.pools.core.counts import Counts
from steadypool.pools.core.emitter import Emitter
from steadypool.pools.core.retries import Waiting
from steadypool.pools.core.shared import Job, Shared
from steadypool.pools.core.workers import Entry, Workers
from steadypool.rules.forecast import Run, drain_estimate, spread

if TYPE_CHECKING:
    from steadypool.model.reports import PoolStats

MOST_COUNTED = 2000
"""Jobs of the queue that are looked at to learn of which tasks they are: that takes a millisecond."""


class Books:
    """Reads what one pool has counted."""

    def __init__(self, shared: Shared, counts: Counts, emitter: Emitter, waiting: Waiting, workers: Workers) -> None:
        self._shared = shared
        self._counts = counts
        self._emitter = emitter
        self._retries, self._limits = waiting
        self._workers = workers

    def stats(self) -> PoolStats:
        """The books now. What is read later can only have grown: outcomes first, accepted last, waiting is the rest."""
        shared, counts = self._shared, self._counts
        with shared.lock:
            outcomes = counts.outcomes()
            retrying = counts.retrying
            held = self._workers.held_jobs()
            running = self._workers.sent.count_running(held)
            workers = self._workers.worker_facts()
            # Once closed, every job has its outcome: a ticket without one is about to be withdrawn.
            accepted = sum(outcomes.values()) if shared.is_closed() else counts.accepted()
            waiting = accepted - sum(outcomes.values()) - running - retrying
            means, tasks = shared.run_times.means(), spread(self._waiting_tasks(waiting + retrying), waiting + retrying)
            forecast = drain_estimate(means, tasks, _runs(held), workers["capacity"])
            return reports.PoolStats(
                name=shared.name,
                state=shared.public_state,
                accepted=accepted,
                waiting=waiting,
                running=running,
                retrying=retrying,
                rejected=counts.rejected,
                retries=counts.retries,
                max_workers=shared.max_workers,
                queue_size=shared.settings.queue_size,
                sink_errors=self._emitter.sink_errors,
                oldest_waiting=self._oldest_waiting() if waiting else 0.0,
                drain_estimate=forecast,
                held_back=self._limits.held_back(),
                **{outcome.value: count for outcome, count in outcomes.items()},
                **workers,
            )

    def _waiting_tasks(self, count: int) -> Counter[str]:
        """How many jobs of each task wait for a worker or their next attempt; of very many, an even selection.

        Not asked for before it is of any use.
        """
        tasks: Counter[str] = Counter()
        if count and self._shared.run_times.mean is not None:
            waiting: list[Entry] = [*self._shared.queue.some(MOST_COUNTED), *self._workers.sent.sent_jobs()]
            for entry in (*waiting, *self._retries.jobs()):
                tasks[entry._task_name] += self._workers.sent.jobs_in(entry)
        return tasks

    def _oldest_waiting(self) -> float:
        submits = (*self._shared.queue.oldest_submits(), *(job._submitted for job in self._workers.sent.sent_jobs()))
        return max((monotonic() - submitted for submitted in submits), default=0.0)


def _runs(held: list[Job]) -> list[Run]:
    """The jobs that run: for how long they have, and for how long they still may."""
    now = monotonic()
    ends = [(job._task_name, job._began, job._attempt_ends) for job in held]
    return [Run(task, max(0.0, now - began), None if limit is None else limit - now) for task, began, limit in ends]
