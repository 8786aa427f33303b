"""What every engine keeps of batches, and by which calls: a part of `durable.engine.protocol`.

A job is put as a member of a batch (`NewJob.batch`). The engine counts members, and those that have ended, and puts the
jobs that follow a batch, each once. A job that follows has an id of its own: `following_id`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Literal, NamedTuple, Protocol

from steadypool.durable.engine.records import JobRecord, NewJob
from steadypool.durable.engine.states import JobState

OnFailure = Literal["go_on", "cancel_rest"]
ITS_BATCH = "its batch was cancelled"
"""`JobRecord.reason` of a member that was cancelled with its batch."""
MONTH = 30 * 86_400.0
"""Seconds for which the records of members are kept at most while their batch is open."""
_FOLLOWING_ID = re.compile(r"batch:(\d{1,19}):(then|finally)")
_ID = re.compile(r"batch-(\d{1,19})")


class NewBatch(NamedTuple):
    """A batch to be made."""

    name: str
    then: NewJob | None = None
    """Put when all members have completed."""
    finally_: NewJob | None = None
    """Put when all have ended."""
    on_failure: OnFailure = "go_on"
    parent: int | None = None
    """The batch of which it counts as one member."""


class BatchRow(NamedTuple):
    """A batch as it is kept. Moments are seconds since the epoch, by the engine's clock."""

    number: int
    name: str
    parent: int | None
    on_failure: str
    total: int
    """Its members, those included that are batches."""
    ended: int
    """The next two included."""
    failed: int
    cancelled: int
    sealed: bool
    made_at: float
    cancelled_at: float | None
    then_at: float | None
    """When all had completed, and the job for that was put."""
    finished_at: float | None
    """When all had ended for the first time."""
    has_then: bool
    has_finally: bool

    @property
    def id(self) -> str:
        """What people call it."""
        return batch_id(self.number)


class TendedBatches(NamedTuple):
    """What one call of `BatchStore.tend` did."""

    finished: tuple[BatchRow, ...] = ()
    """Batches that have finished since the last call of any worker: it is for this one to say so."""
    more: bool = False
    """There may be more to do at once."""


class BatchStore(Protocol):
    """The batches of one store. Each call is one transaction, and raises as those of `Engine` do."""

    def make(self, new: NewBatch) -> int:
        """Make a batch, and return its number."""

    def make_on(self, connection: Any, new: NewBatch) -> int:
        """The same on the caller's own connection, in the caller's transaction: see `Engine.put_on`."""

    def seal(self, number: int) -> None:
        """No more is added, but by members. What follows is put at once, if all have ended."""

    def seal_on(self, connection: Any, number: int) -> None:
        """The same on the caller's own connection."""

    def cancel(self, number: int, *, seal: bool) -> bool:
        """No more members are to run, those included that are added later; false if it has finished, or is not there.

        `tend` cancels the members. One that is not sealed has no jobs that follow then.
        """

    def get(self, number: int) -> BatchRow | None:
        """The batch of that number."""

    def page(self, limit: int, before: tuple[float, int] | None = None) -> list[BatchRow]:
        """The latest ones, those before that moment and number."""

    def members(self, number: int, states: Collection[JobState], after: int, limit: int) -> list[JobRecord]:
        """Members in these states, by their numbers, which are above *after*: the first so many, with their errors."""

    def of_job(self, number: int) -> int | None:
        """The batch of which that job is a member; ``None`` if of none."""

    def tend(self, limit: int) -> TendedBatches:
        """Do what is left to do: some *limit* jobs at most. A call that finds nothing must not write."""


def batch_id(number: int) -> str:
    """What people call a batch."""
    return f"batch-{number}"


def number_of_batch(text: str) -> int | None:
    """The number in the id of a batch; ``None`` if it is none."""
    found = _ID.fullmatch(text)
    return None if found is None else int(found[1])


def following_id(number: int, which: str) -> str:
    """The id of the job that follows a batch: there is one such job."""
    return f"batch:{number}:{which}"


def batch_before(job_id: str) -> int | None:
    """The batch that the job of this id follows; ``None`` if it follows none."""
    found = _FOLLOWING_ID.fullmatch(job_id)
    return None if found is None else int(found[1])
