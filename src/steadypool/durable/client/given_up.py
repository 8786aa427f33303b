"""``on_discarded=``: the task that is run when a job is given up, and what it is called with."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, Protocol

from steadypool.durable.client.options import EnqueueOptions
from steadypool.durable.client.payload import Payload
from steadypool.durable.engine.on_discarded import JOB_ID, REASON, to_text
from steadypool.durable.engine.records import NewJob
from steadypool.model.options import TaskOptions

_FACTS = frozenset({JOB_ID, REASON})
_MANY = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class Enqueueable(Protocol):
    """A durable task, as far as it matters here."""

    fn: Callable[..., Any]
    task_options: TaskOptions
    enqueue_options: EnqueueOptions

    @property
    def queue(self) -> object:
        """Where its jobs are kept."""

    @property
    def durable_name(self) -> str:
        """What it is called there."""

    @property
    def payload(self) -> Payload:
        """How calls of it are stored."""

    def job_with(self, payload: bytes) -> NewJob:
        """The record of a call whose arguments are that JSON."""


def check(task: Enqueueable, other: object) -> None:
    """Do nothing if *other* can be run when a job of *task* is given up.

    Raises:
        TypeError, ValueError: it cannot, naming what is wrong.
    """
    name = task.durable_name
    if not isinstance(other, type(task)) or other.queue is not task.queue:
        raise TypeError(f"{name}: on_discarded must be a task of the same queue, made by @queue.task, not {other!r}")
    how = other.enqueue_options
    if other.task_options.id is not None or how.unique is not None or how.after:
        raise ValueError(
            f"{name}: on_discarded runs for each job: {other.durable_name} must have no id, no unique and no after"
        )
    known = _parameters(task).keys() | _FACTS
    for parameter in _parameters(other).values():
        if parameter.name not in known and parameter.default is parameter.empty:
            raise TypeError(
                f"{name}: on_discarded is called with {JOB_ID}, {REASON} and the arguments of {name}, and "
                f"{other.durable_name} needs {parameter.name!r}, which is none of these"
            )


def text_of(task: Enqueueable, other: Enqueueable, job: NewJob) -> str:
    """What is kept with *job*, a call of *task*."""
    wanted = frozenset(_parameters(other))
    arguments = task.payload.some_of(job.payload, wanted & _parameters(task).keys() - _FACTS)
    return to_text(other.job_with(arguments), wanted)


def _parameters(task: Enqueueable) -> dict[str, Parameter]:
    return {name: one for name, one in signature(task.fn).parameters.items() if one.kind not in _MANY}
