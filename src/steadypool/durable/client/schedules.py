"""`queue.schedules`: look at schedules, change them, and make some at run time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from steadypool.durable.client.call import Call, jobs_of
from steadypool.durable.client.declared import check_for_many
from steadypool.durable.client.handle import JobHandle, handle_of
from steadypool.durable.client.home import Home
from steadypool.durable.client.options import check_name
from steadypool.durable.client.schedule import Cron, Every, Schedule, read_definition
from steadypool.durable.client.task import refuse_on_loop
from steadypool.durable.client.ticks import by_hand, due_after, kept_as, next_ticks
from steadypool.durable.engine.errors import UnknownSchedule, WrongState
from steadypool.durable.engine.schedules import NewSchedule, ScheduleRow
from steadypool.model.checks import check_count
from steadypool.rules.near_names import listed, near_name

PAGE = 500
TRIES = 20
"""So often a change is tried anew when a worker has fired the schedule in between."""


@dataclass(frozen=True, slots=True)
class ScheduleHandle:
    """One schedule as it was found, and what can be done with it."""

    queue: Home
    row: ScheduleRow
    """Everything that is kept of it."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.row.name

    @property
    def task(self) -> str:
        """The name of the task."""
        return Call.from_json(self.row.job).task

    @property
    def schedule(self) -> Schedule:
        """Its `Cron` or `Every`."""
        return read_definition(self.row.definition)

    @property
    def state(self) -> str:
        """``"active"``, ``"paused"``, or ``"gone"``: no program declares it any more."""
        return "gone" if self.row.retired_at is not None else "paused" if self.row.paused else "active"

    @property
    def paused(self) -> bool:
        """Whether it was paused by hand."""
        return self.row.paused

    def next(self, count: int = 1, *, now: float | None = None) -> list[datetime]:
        """Its next *count* ticks, in its zone, from *now* on, by the engine's clock. Of one that is paused: those that
        there would be."""
        now = self.queue.engine.now() if now is None else now
        return next_ticks(self.row, now, check_count("count", count))

    def pause(self) -> None:
        """Stop it from putting jobs, until `resume`; a deploy does not change that."""
        self._store().pause(self.name, None)

    def resume(self) -> None:
        """Let it put jobs again, from its next tick on."""
        store = self._store()
        store.pause(self.name, due_after(self.schedule, self.name, self.queue.engine.now()))

    def run(self) -> JobHandle[Any]:
        """Put one job now, paused or not; its ticks stay as they are.

        Raises:
            UnknownSchedule: it was removed.
            WrongState: ``overlap="skip"``, and the job before has not ended; or its unique key is another job's.
        """
        store = self._store()
        for _ in range(TRIES):
            [row] = store.get([self.name]) or [None]
            if row is None:
                break
            for done in store.fire([by_hand(row, self.queue.engine.now())]):
                if done.jobs:
                    return handle_of(self.queue, done.jobs[0])
                raise WrongState(f"schedule {self.name!r} has put no job: {done.skips[0]}", state=self.state)
        raise UnknownSchedule(f"there is no schedule {self.name!r} any more")

    def remove(self) -> None:
        """Forget it. Its jobs stay. One that is declared in code comes back with the next start of a worker.

        Raises:
            UnknownSchedule: it was removed before.
        """
        if not self.queue.engine.schedules.remove(self.name):
            raise UnknownSchedule(f"there is no schedule {self.name!r} any more")

    def _store(self) -> Any:
        """The schedules of the engine, with this one among them: no worker may have declared it so far."""
        refuse_on_loop("a change of a schedule", "asyncio.to_thread")
        store = self.queue.engine.schedules
        if self.row.in_code and not self.row.fired and not store.get([self.name]):
            new = NewSchedule(*(getattr(self.row, name) for name in NewSchedule._fields))
            store.put(new)
        return store

    def __repr__(self) -> str:
        return f"<schedule {self.name}: {self.schedule}, {self.state}>"


class Schedules:
    """The schedules of one queue. Made by `Queue.schedules`."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def put(self, name: str, call: Call[Any], when: Schedule) -> ScheduleHandle:
        """Keep a schedule as data: any worker of the store puts its jobs. One of that name is replaced.

        One that has not changed keeps its next tick; one that has begins with its next tick from now on.

        Args:
            name: what it is called.
            call: what its jobs are, made by ``task.call(...)``.
            when: `Cron` or `Every`.

        Raises:
            TypeError, ValueError: for one of them that does not fit; or a task is declared with a schedule of that
                name.
        """
        refuse_on_loop("queue.schedules.put", "asyncio.to_thread")
        check_name("name", name, "tenant-42-invoice")
        _check_kept(name, call, when)
        jobs_of([call], self._home.tasks)
        store = self._home.engine.schedules
        job = call.to_json()
        new = kept_as(name, when, job, self._home.engine.now())
        if name in dict(self._declared()) or store.put(new) == "code":
            raise ValueError(f"a task is declared with the schedule {name!r}: give this one another name")
        return ScheduleHandle(self._home, _row_of(new))

    def get(self, name: str) -> ScheduleHandle:
        """The schedule of that name; or of a task's own name without its module, where that is unique.

        Raises:
            UnknownSchedule: there is none, or more than one.
        """
        check_name("name", name, "nightly")
        found = self._home.engine.schedules.get([name])
        if not found:
            stored = {row.name: row for row in self._stored("", in_code=True)}
            now = self._home.engine.now() if self._declared() else 0.0
            code = {**self._undeclared(now), **stored}
            ends = [known for known in code if known == name or known.endswith(f".{name}")]
            if len(ends) != 1:
                near = {*code, *(row.name for row in self._home.engine.schedules.page("", PAGE))}
                raise UnknownSchedule(_unknown(name, ends, near))
            found = [code[ends[0]]]
        return ScheduleHandle(self._home, found[0])

    def list(self, *, task: str | None = None, after: str = "", limit: int = 100) -> list[ScheduleHandle]:
        """Schedules by their names, *limit* at most.

        Args:
            task: only of the task of that name, with its module or without.
            after: only names that come after this one: the last of the page before.
        """
        check_count("limit", limit)
        found: list[ScheduleHandle] = []
        for row in self._stored(after):
            handle = ScheduleHandle(self._home, row)
            if task is None or f".{handle.task}".endswith(f".{task}"):
                found.append(handle)
            if len(found) == limit:
                return found
        return found

    def declared(self, now: float) -> Sequence[ScheduleHandle]:
        """Those that the queue's tasks are declared with, as a worker would keep them from *now* on."""
        return [ScheduleHandle(self._home, row) for row in self._undeclared(now).values()]

    def _stored(self, after: str, *, in_code: bool = False) -> Iterator[ScheduleRow]:
        while page := self._home.engine.schedules.page(after, PAGE, in_code=in_code):
            yield from page
            after = page[-1].name

    def _declared(self) -> Iterable[tuple[str, Schedule]]:
        return [one for task in dict.fromkeys(self._home.tasks.values()) for one in task.schedules]

    def _undeclared(self, now: float) -> dict[str, ScheduleRow]:
        news = declared_by(self._home, now)
        return {new.name: _row_of(new) for new in news}


def declared_by(home: Home, now: float) -> list[NewSchedule]:
    """What the tasks of that queue are declared with; the first tick of each comes after *now*.

    Raises:
        PayloadRefused: arguments of a schedule cannot be stored.
    """
    return [
        kept_as(name, schedule, task.call(**schedule.args).to_json(), now, in_code=True)._replace(
            app=home.app, release=home.release
        )
        for task in dict.fromkeys(home.tasks.values())
        for name, schedule in task.schedules
    ]


def _row_of(new: NewSchedule) -> ScheduleRow:
    """As if it were kept."""
    kept = (new.name, new.in_code, new.app, new.release, new.definition, new.job, new.hash, new.due)
    return ScheduleRow(*kept, None, None, None, None, 0, 0, False, None)


def _check_kept(name: str, call: object, when: object) -> None:
    if not isinstance(call, Call):
        raise TypeError(f"schedules.put takes a call, made by task.call(...), not {call!r}")
    if not isinstance(when, (Cron, Every)):
        raise TypeError(f"schedules.put takes Cron(...) or Every(...), not {when!r}")
    if when.args:
        raise ValueError(f"the call has the arguments: give them to task.call(...), not args={dict(when.args)!r}")
    if when.name not in (None, name):
        raise ValueError(f"the schedule is called {name!r} here, and {when.name!r} there: leave the latter out")
    check_for_many(call.task, call.job.id, call.job.at, call.job.after)


def _unknown(name: str, ends: list[str], known: set[str]) -> str:
    if ends:
        return f"there are {len(ends)} schedules {name!r}: {listed(ends)}; give the whole name"
    near = near_name(name, {*known, *(one.rpartition(".")[2] for one in known)})
    return f"there is no schedule {name!r}{f'; did you mean {near!r}?' if near else ''}"
