"""What every engine keeps of jobs that wait for others, and by which calls: a part of `durable.engine.protocol`.

A job is put with the ids of those that it waits for (`NewJob.after`). Which job may run when another has ended, the
engine finds in the transaction in which that one ends; what cannot be done there, `LinkStore.tend` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from steadypool.durable.engine.errors import UnknownJob
from steadypool.durable.engine.records import JobRecord, NewJob, public_id
from steadypool.durable.engine.states import JobState

TENDED_AT_ONCE = 1000
"""Jobs in one transaction of `LinkStore.tend`: others wait some ten milliseconds for it at most."""


class Unmet(NamedTuple):
    """A job that was cancelled, since it needed the success of another that was given up."""

    id: str
    task: str
    queue: str
    needed: str
    """The id of the other."""
    state: JobState
    """How that one ended."""


class Tended(NamedTuple):
    """What one call of `LinkStore.tend` did."""

    unmet: tuple[Unmet, ...] = ()
    more: bool = False
    """There may be more to do at once."""


class Link(NamedTuple):
    """That a job waits, or has waited, for another."""

    number: int
    """Of the other; likewise the nonce."""
    nonce: int
    needs: str
    """``"success"`` or ``"end"``."""
    state: str
    """``"open"``, ``"met"``; ``"failed"``: the other was given up, and so was the job."""


class LinkStore(Protocol):
    """The jobs of one store that wait for others. Each call is one transaction, and raises as those of `Engine` do."""

    def before(self, number: int, limit: int) -> list[Link]:
        """The first so many jobs that this one waits for, or has waited for, in the order of their naming."""

    def inputs(self, number: int) -> list[JobRecord]:
        """The records of these jobs, all of them, with results and errors. One that left no record is *completed*."""

    def tend(self, limit: int) -> Tended:
        """Do what is left to do: some *limit* jobs at most. A call that finds nothing must not write."""


def records_in_order(links: Sequence[Link], records: Iterable[JobRecord]) -> list[JobRecord]:
    """A record for each of these."""
    known = {record.number: record for record in records}
    return [known.get(link.number) or _without_record(link) for link in links]


def _without_record(link: Link) -> JobRecord:
    job_id = public_id(link.number, link.nonce, None)
    return JobRecord(link.number, link.nonce, job_id, "", "", JobState.COMPLETED, 0, 1, 0, 0, 0.0)


def unknown_before(job_id: str) -> UnknownJob:
    """The error for a job that is to wait for one that is not there."""
    return UnknownJob(
        f"after={job_id!r}: there is no such job, so nothing was enqueued. One that a transaction of yours has put is "
        "there when that has committed: put both in one, with connection=, or with one put_many"
    )


def check_order(jobs: Sequence[NewJob]) -> None:
    """Do nothing, unless a job of one call is to wait for itself, or for one that is put after it.

    Raises:
        ValueError: it is.
    """
    later: set[str] = set()
    for job in reversed(jobs):
        if job.id is not None:
            later.add(job.id)
        for before in job.after:
            if before in later:
                what = "itself" if before == job.id else "a job that is put after it"
                raise ValueError(f"after={before!r}: a job of {job.task} would wait for {what}, and never run")
