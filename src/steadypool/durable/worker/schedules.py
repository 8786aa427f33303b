"""When schedules fire: any worker declares those in its program's code, and puts the jobs of those that are due.

Which moments a schedule has, `durable.client.schedule` says; when the next is due, `durable.client.ticks`; which of
several that are due become jobs, `rules.missed_ticks`. When to look is decided here: `Scheduler.run_due`.

On the worker's loop, and in no slot of its pool: a worker whose slots are all busy is as punctual as an idle one. There
is no leader. All workers look at the same moment, and the engine's compare-and-set lets one of them put each tick
(`durable.engine.schedules`); the others' calls do nothing.

A deploy
--------
A schedule in code is kept by its name. A worker that starts compares: one that has not changed keeps its next tick. Of
one that has changed, the ticks that are due are put as the old definition says; then it is replaced, and its next tick
is the first one from now on. Old and new workers may run side by side: the row is what counts, whichever worker puts
its jobs. What no worker of the program has declared for `RETIRED_AFTER` seconds is retired. Only live workers retire:
while all of them are away nothing is, and what was missed is caught up as the schedule says.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

from steadypool.durable.client.call import Call
from steadypool.durable.client.queue import Queue
from steadypool.durable.client.schedule import read_definition
from steadypool.durable.client.schedules import TRIES, declared_by
from steadypool.durable.client.ticks import due_after, firing_of
from steadypool.durable.engine.errors import KeyBusy
from steadypool.durable.engine.schedules import Fired, Firing, NewSchedule, ScheduleRow
from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.emitter import events
from steadypool.model.clock import monotonic

AT_ONCE = 250
"""Schedules in one transaction."""
SPREAD = 8
"""In a flood of them, a worker takes one of the first so many pages by chance: mostly not what others are at."""
LOOK_EVERY = 2.0
"""Seconds after which a worker looks again at most: one may have been put meanwhile that is due sooner."""
SEEN_EVERY = 20.0
RETIRED_AFTER = 180.0
AFTER_TROUBLE = 1.0
"""Seconds until the next try, if the engine cannot."""
A_HAIR = 0.001
"""Seconds later than the engine has said: its clock and ours do not tick alike."""


class Scheduler:
    """For one worker, on its loop.

    Raises:
        PayloadRefused, TypeError: arguments of a schedule cannot be stored.
    """

    def __init__(self, context: WorkerContext, queue: Queue) -> None:
        self._engine = context.engine
        self._store = context.engine.schedules
        self._emitter = context.emitter
        self._notes = context.counts.notes
        self._queue = queue
        self._names = [new.name for new in self._declared(0.0)]
        self._is_declared = False
        self._look_at = self._seen_at = 0.0
        self._skip = 0
        self._unread: set[str] = set()

    def until_due(self) -> float:
        """Seconds until there is something to do."""
        return max(0.0, self._look_at - monotonic())

    def run_due(self) -> None:
        """Do what is due.

        Raises:
            EngineError: the engine could not; it is due again.
        """
        if monotonic() >= self._look_at:
            self.run_now()

    def run_now(self) -> None:
        """Look now, and do what is due. Raises as `run_due` does."""
        self._look_at = monotonic() + AFTER_TROUBLE
        if not self._is_declared:
            self._declare()
            self._is_declared = True
        if monotonic() >= self._seen_at:
            self._store.seen(self._queue.app, self._names, RETIRED_AFTER)
            self._seen_at = monotonic() + SEEN_EVERY * (0.5 + random.random())
        found = self._store.due(self._names, AT_ONCE, self._skip)
        dues = self._fire(found.rows, found.now)
        is_flood = len(found.rows) == AT_ONCE
        if is_flood or self._skip:
            self._skip = AT_ONCE * random.randrange(SPREAD) if is_flood else 0
            self._look_at = 0.0  # at once again
            return
        waits = [due - found.now for due in dues] + ([] if found.next_in is None else [found.next_in])
        self._look_at = monotonic() + min([LOOK_EVERY, *(wait + A_HAIR for wait in waits)])

    # -- ticks

    def _fire(self, rows: Sequence[ScheduleRow], now: float) -> list[float]:
        """Put what is due; returns when each of them comes next."""
        known = {row.name: (row, firing) for row in rows if (firing := self._firing(row, now)) is not None}
        for done in self._put([firing for _, firing in known.values()]):
            self._emit(*known[done.name], done, now)
        return [firing.new_due for _, firing in known.values()]

    def _firing(self, row: ScheduleRow, now: float) -> Firing | None:
        try:
            return firing_of(row, now)
        except ValueError as error:
            if row.name not in self._unread:  # a later Steadypool's: its own workers put the jobs
                self._unread.add(row.name)
                self._notes.append(f"schedule {row.name!r} is left to other workers: {error}")
            return None

    def _put(self, firings: Sequence[Firing]) -> Sequence[Fired]:
        if not firings:
            return ()
        try:
            return self._store.fire(firings)
        except KeyBusy:
            if len(firings) == 1:
                return ()  # the next look finds it again
            return [done for firing in firings for done in self._put([firing])]

    def _emit(self, row: ScheduleRow, firing: Firing, done: Fired, now: float) -> None:
        name, at, late = self._emitter.name, monotonic(), max(0.0, now - row.due)
        job = Call.from_json(row.job).job
        for job_id in done.jobs:
            self._emitter.ticks[job.queue, job.task, "fired"] += 1
            self._emitter.emit(partial(events.ScheduleFired, name, at, row.name, job_id, row.due, late))
        for reason in done.skips:
            ticks = firing.skipped if reason == firing.reason else 1
            self._emitter.ticks[job.queue, job.task, "skipped"] += ticks
            self._emitter.emit(partial(events.ScheduleSkipped, name, at, row.name, row.due, ticks, reason))

    # -- a deploy

    def _declared(self, now: float) -> list[NewSchedule]:
        return declared_by(self._queue, now)

    def _declare(self) -> None:
        if self._names:
            for new in self._declared(self._engine.now()):
                self._declare_one(new)

    def _declare_one(self, new: NewSchedule) -> None:
        for _ in range(TRIES):
            row = next(iter(self._store.get([new.name])), None)
            if row is not None and is_older(new.release, row.release):
                self._notes.append(f"schedule {new.name!r} stays as release {row.release} has it")
                return
            if row is not None and row.hash != new.hash:
                new = self._after(row, new)
            if self._store.put(new, None if row is None else row.due) != "moved":
                return

    def _after(self, row: ScheduleRow, new: NewSchedule) -> NewSchedule:
        """Put what is due of the old one; the new one begins after it."""
        now = self._engine.now()
        if row.due <= now and not row.paused and row.retired_at is None:
            self._fire([row], now)
        after = max(now, row.last_due or 0.0, row.due if row.due <= now else 0.0)
        return new._replace(due=due_after(read_definition(new.definition), new.name, after))


def is_older(ours: str | None, theirs: str | None) -> bool:
    """Whether a release comes before another: by numbers if both are, else as texts. None is neither."""
    if ours is None or theirs is None:
        return False
    if ours.isdecimal() and theirs.isdecimal():
        return int(ours) < int(theirs)
    return ours < theirs
