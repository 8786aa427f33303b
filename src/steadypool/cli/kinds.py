"""The kinds of pool that the command line can run a job on: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from steadypool import DrainReport, JobFuture, PoolStats, ProcessPool, Task, ThreadPool
from steadypool.cli.exit_codes import UsageError


class LinePool(Protocol):
    """What the command line needs of a pool. Threads and processes have it as they are.

    asyncio comes with an adapter (`pools.aio.loop_pool`) that runs an `AsyncPool` on a loop in a thread of its own
    and hands out ``concurrent.futures`` futures; nothing but its row in `KINDS` knows of it.
    """

    _core: Any

    def submit_within(self, seconds: float, fn: Task[[str], str], /, line: str) -> JobFuture[str]:
        """Submit, waiting at most *seconds* for room; ``QueueFull`` after that."""
        ...

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """With ``wait=False, cancel_futures=True``: hand back what waits, let run what runs."""
        ...

    def request_drain(self, timeout: float | None) -> None:
        """Begin to drain, or make a drain that is under way shorter, without waiting."""
        ...

    def drain(self, timeout: float | None = None) -> DrainReport:
        """Close the pool and account for every job."""
        ...

    def stats(self) -> PoolStats:
        """The books at this moment."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of pool."""

    name: str
    open: Callable[..., Any]
    """Makes the pool, from ``max_workers`` and the keyword arguments that all pools share."""
    takes_coroutines: bool
    """Whether its functions are coroutine functions, or plain ones."""
    most: int
    """So many workers are more than any machine has use for: a slip of the fingers."""


def _open_on_a_loop(*args: Any, **options: Any) -> Any:
    from steadypool.pools.aio.loop_pool import LoopPool  # asyncio, for those who ask for it

    return LoopPool(*args, **options)


KINDS = {
    "thread": Kind("thread", ThreadPool, takes_coroutines=False, most=10_000),
    "process": Kind("process", ProcessPool, takes_coroutines=False, most=1_000),
    "async": Kind("async", _open_on_a_loop, takes_coroutines=True, most=1_000_000),
}


def check_workers(kind: str, workers: int | None, option: str = "workers") -> None:
    """Refuse more workers than that kind of pool can have, as they are given by that *option*.

    Raises:
        UsageError: naming the most.
    """
    most = KINDS[kind].most
    if workers is not None and workers > most:
        raise UsageError(f"--{option} {workers} is too many: --kind {kind} has {most:,} at most")
