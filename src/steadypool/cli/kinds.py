"""The kinds of pool that the command line can run a job on: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from steadypool.cli.exit_codes import UsageError

if TYPE_CHECKING:
    from steadypool import DrainReport, JobFuture, PoolStats, Task


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
    pool: str
    """Where its class is: it is imported when one is made."""
    takes_coroutines: bool
    """Whether its functions are coroutine functions, or plain ones."""
    most: int
    """So many workers are more than any machine has use for: a slip of the fingers."""

    def open(self, max_workers: int | None, **options: Any) -> Any:
        """Make a pool; *options* are those that all pools share."""
        module, _, name = self.pool.partition(":")
        return getattr(import_module(module), name)(max_workers, **options)


KINDS = {
    "thread": Kind("thread", "steadypool:ThreadPool", takes_coroutines=False, most=10_000),
    "process": Kind("process", "steadypool:ProcessPool", takes_coroutines=False, most=1_000),
    "async": Kind("async", "steadypool.pools.aio.loop_pool:LoopPool", takes_coroutines=True, most=1_000_000),
}


def check_workers(kind: str, workers: int | None, option: str = "workers") -> None:
    """Refuse more workers than that kind of pool can have, as they are given by that *option*.

    Raises:
        UsageError: naming the most.
    """
    most = KINDS[kind].most
    if workers is not None and workers > most:
        raise UsageError(f"--{option} {workers} is too many: --kind {kind} has {most:,} at most")
