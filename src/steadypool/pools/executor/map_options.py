"""How a map is to be run, and what it gives for a job that has ended: the same on threads, processes and asyncio."""

from __future__ import annotations

from typing import Protocol, TypeVar

from steadypool.model.checks import check_count, check_seconds
from steadypool.model.clock import monotonic
from steadypool.model.errors import JobCancelled, PoolClosed
from steadypool.pools.core.shared import Shared

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class Ended(Protocol[R_co]):
    """A job that has ended."""

    @property
    def _error(self) -> BaseException | None:
        """What it ended with."""

    def result(self) -> R_co:
        """Return its result, or raise what it ended with."""

    def _look(self) -> None:
        """The caller has its failure."""


class MapOptions:
    """The options of one map, checked."""

    def __init__(
        self,
        chunksize: int | None,
        buffersize: int | None,
        *,
        timeout: float | None = None,
        read_here: bool = False,
        return_exceptions: bool = False,
    ) -> None:
        check_seconds("map(timeout)", timeout, zero=True)
        self.deadline = None if timeout is None else monotonic() + timeout
        self.chunk = None if chunksize is None else check_count("chunksize", chunksize)
        self.buffer = None if buffersize is None else check_count("buffersize", buffersize)
        self.read_here = _check_flag("read_here", read_here)
        self._return_exceptions = _check_flag("return_exceptions", return_exceptions)

    def window(self, pool: Shared) -> int:
        """How many jobs may be in flight in *pool*.

        Raises:
            PoolClosed: it takes no more.
        """
        if pool.refusal is not None:
            raise pool.refusal()
        return pool.queue.window() if self.buffer is None else self.buffer

    def left(self) -> float | None:
        """Seconds until all results must be there; ``None``: there is no limit."""
        return None if self.deadline is None else self.deadline - monotonic()

    def given_for(self, job: Ended[R]) -> R | Exception:
        """What the caller is given for a job that has ended.

        Raises:
            PoolClosed: it was handed back.
            Exception: the job ended with it, and the caller has not asked for exceptions in the place of results.
        """
        error = job._error
        try:
            if error is None:
                return job.result()
            if was_handed_back(error):
                raise PoolClosed(f"the pool closed under a map: {error}") from error
            if self._return_exceptions and isinstance(error, Exception):
                job._look()
                return error
            return job.result()
        finally:
            del job, error  # or the traceback would hold this frame, and the frame the job


def was_handed_back(error: BaseException | None) -> bool:
    """Whether a job ended with *error* because its pool closed."""
    return isinstance(error, JobCancelled) and error.cause == "shutdown"


def _check_flag(name: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value
