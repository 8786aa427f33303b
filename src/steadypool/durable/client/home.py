"""`Home`: where the jobs of one queue are kept, and what this process has open there. `Queue` is built on it.

Tasks, handles, batches, schedules and limits ask their queue for what stands here, and for nothing else of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from steadypool.durable.client.address import Address
from steadypool.durable.client.ends import Ends
from steadypool.durable.client.group_commit import Writer
from steadypool.durable.client.lifespan import Lifespan
from steadypool.durable.client.opened import Opened
from steadypool.durable.client.options import checked_id
from steadypool.durable.engine.errors import UnknownJob
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobRecord
from steadypool.durable.engine.url import check_address


class ResultDecoder(Protocol):
    """A task, as far as a handle needs it."""

    def decode_result(self, encoded: bytes) -> Any:
        """The value that was stored as this JSON, in the type that the task returns."""

    def decode_checkpoint(self, encoded: bytes) -> Any:
        """The state that was saved as this JSON, in the type of the task's ``checkpoint``."""


class Home:
    """What a queue is for those who belong to it."""

    tasks: Mapping[str, Any]
    """The queue's tasks (`DurableTask`), by each name that they have in the database."""
    app: str
    release: str | None
    max_payload: int | None
    """Bytes that the arguments of one job may have, and its result."""
    lifespan: Lifespan | None
    _kept_at: Address
    _opened: Opened
    _elsewhere: str | None = None
    """Its address for a while, instead of its own."""

    @property
    def url(self) -> str:
        """Where the jobs are kept.

        Raises:
            ValueError: no address was given, and the environment has none.
        """
        return self._kept_at.find(self._elsewhere)

    def use_address(self, url: str | None) -> None:
        """Have *url* as the address of a queue that was made without one; ``None``: see that it has one.

        Raises:
            ValueError: there is none, here or there; or the queue has another one, or is in use at another one. Neither
                wins: code elsewhere relies on the other.
        """
        if not url:
            check_address(self.url)
        else:
            self._kept_at.take(url, self._opened.at if self._elsewhere is None else None)

    @property
    def engine(self) -> Engine:
        """The engine of this process, for looking and for changing single jobs."""
        return self._opened.engine

    @property
    def writer(self) -> Writer:
        """The writer of this process."""
        return self._opened.writer

    @property
    def ends(self) -> Ends:
        """How the threads and asyncio tasks of this process wait for results."""
        return self._opened.ends

    def record(self, job_id: str) -> JobRecord:
        """Everything that is known of one job.

        Raises:
            UnknownJob: there is none, or its record was pruned.
        """
        found = self.engine.get(checked_id(job_id))
        if found is None:
            raise unknown(job_id)
        return found

    def close(self) -> None:
        """Write what waits and close the connections. The next use opens them again."""
        self._opened.close()


def unknown(job_id: str) -> UnknownJob:
    """The error for an unknown id."""
    hint = f"; did you mean 'job-{job_id}'?" if job_id.isdecimal() else ""
    return UnknownJob(
        f"there is no job {job_id!r}: it was never enqueued here, its record was pruned, or the store has gone back to "
        f"a time before it{hint}"
    )
