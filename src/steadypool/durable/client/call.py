"""`Call`: one call of a task as a value, checked and encoded, and not put yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from steadypool.durable.engine.links import check_order
from steadypool.durable.engine.records import NewJob
from steadypool.rules.near_names import near_name

R = TypeVar("R", covariant=True)
_AS_JSON = frozenset({"payload", "options"})
"""Fields of a job that are JSON themselves."""
_DEFAULTS = NewJob("", b"")
SHOWN = 60
RESULTS = "results"
"""Among the options of a job: names of the parameters that are filled by what its first input has returned."""


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """One call of a task: what it is called with, and its options. Made by ``task.call(...)``, put by `Queue.put`.

    Its arguments were checked against the signature and encoded when it was made: nothing that is changed later changes
    it.
    """

    job: NewJob
    """The job that it becomes."""

    @property
    def task(self) -> str:
        """The name of the task, by which a worker finds it."""
        return self.job.task

    def to_json(self) -> str:
        """The call as a JSON object, of what is not left to the defaults."""
        shown: dict[str, Any] = {
            name: _raw(value) if name in _AS_JSON else value
            for name, value, default in zip(NewJob._fields, self.job, _DEFAULTS, strict=True)
            if value != default or name == "task"
        }
        return msgspec.json.encode(shown, order="deterministic").decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Call[Any]:
        """The call that `to_json` has written.

        Raises:
            ValueError: *text* is none.
        """
        try:
            given = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            fields: dict[str, Any] = {**_DEFAULTS._asdict(), "task": None}
            for name, raw in given.items():
                fields[name] = bytes(raw) if name in _AS_JSON else msgspec.json.decode(raw)
            if len(fields) > len(NewJob._fields):
                raise TypeError(f"there is no {next(reversed(fields))!r}")
            job = msgspec.convert(list(fields.values()), NewJob)
        except (msgspec.MsgspecError, TypeError) as error:
            raise ValueError(f"{str(text)[:200]!r} is no call, as Call.to_json() writes one: {error}") from None
        return cls(job)

    def __repr__(self) -> str:
        arguments = self.job.payload.decode()
        shown = arguments if len(arguments) <= SHOWN else f"{arguments[:SHOWN]}..."
        return f"<call of {self.task} with {shown}>"


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(value)


def jobs_of(calls: Iterable[Call[Any]], tasks: Mapping[str, object]) -> list[NewJob]:
    """The jobs that the calls become, if *tasks* has the tasks of all.

    Raises:
        TypeError, ValueError: naming the one that is no call, whose task is missing, or that takes a result of no job.
    """
    if isinstance(calls, Call):
        raise TypeError(f"put_many takes calls, as in put_many([{calls.task.rpartition('.')[2]}.call(...)]), not one")
    jobs: list[NewJob] = []
    for call in calls:
        if not isinstance(call, Call):
            raise TypeError(f"put takes a call, made by task.call(...), not {call!r}")
        if call.task not in tasks:
            near = near_name(call.task, tasks)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ValueError(f"this queue has no task {call.task!r}: put the call into the queue of its task{hint}")
        jobs.append(check_has_input(call.job))
    check_order(jobs)
    return jobs


def check_has_input(job: NewJob) -> NewJob:
    """Return *job*, unless it takes the result of another, and waits for none whose success it needs.

    Raises:
        ValueError: it does.
    """
    if job.options is None or RESULTS not in msgspec.json.decode(job.options):
        return job
    name = job.task.rpartition(".")[2]
    if not job.after:
        raise ValueError(
            f"{name} is called with Result, and there is no job before it: put it behind another one, "
            f"chain(other.call(), {name}.call(Result)), or say which, {name}.options(after=[job]).enqueue(Result)"
        )
    if job.needs != "success":
        raise ValueError(f"{name} is called with Result, so what it waits for must succeed: leave needs='end' out")
    return job
