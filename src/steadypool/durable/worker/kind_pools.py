"""The pools of one worker: one for each kind that its tasks need."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from typing import Any

from steadypool.durable.client.lifespan import Lifespan
from steadypool.durable.client.nested_waits import Slots
from steadypool.durable.worker import lifespan
from steadypool.durable.worker.pool_adapter import Pool
from steadypool.model.error_text import in_a_line
from steadypool.model.reports import DrainReport, PoolStats
from steadypool.model.sink_protocols import Sink, Watcher
from steadypool.pools.executor.contract import Prepared


class KindPools:
    """The first kind's pool is opened at once, any other's with its first job.

    Args:
        kinds: those that are needed, the worker's own first.
        open_one: opens the pool of a kind.
        on_closed: called when one takes no more, though it was not asked to close.
        mark: the file that tells jobs which save that they are to hand over.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        open_one: Callable[[str], Pool],
        on_closed: Callable[[], None],
        mark: str | None = None,
    ) -> None:
        self.kinds = kinds
        self.mark = mark
        self._open_one = open_one
        self.on_closed = on_closed
        self.entered: list[Callable[[], object]] = []
        """What leaves that which was entered for the jobs."""
        self._pools: dict[str, Pool] = {}

    @property
    def first(self) -> Pool:
        """The pool that is there from the beginning."""
        return self.of(self.kinds[0])

    @property
    def opened(self) -> Mapping[str, Pool]:
        """Those that are there."""
        return dict(self._pools)

    def of(self, kind: str) -> Pool:
        """The pool of that kind. On the worker's loop."""
        pool = self._pools.get(kind)
        if pool is None:
            pool = self._open_one(kind)
            pool._core.at_close.append(self.on_closed)
            self._pools = {**self._pools, kind: pool}  # other threads may be reading
        return pool

    def enter(self, manager: Lifespan, slots: Slots, on_loop: Any = None) -> None:
        """Enter a queue's lifespan for all jobs that have these slots: on the loop of the pool *on_loop*, or here.

        Raises:
            LifespanFailed: it cannot be entered.
        """
        try:
            if on_loop is not None:
                resources = on_loop.enter(lifespan.manager_of(manager))
            else:
                entered = lifespan.Lifespan(manager)
                self.entered.append(entered.leave)
                resources = entered.resources
        except Exception as error:
            raise lifespan.failed(error) from error
        lifespan.keep(slots, resources)
        self.entered.insert(0, partial(lifespan.drop, slots))  # when all has been left

    def submit(self, kind: str, calls: Sequence[Prepared]) -> Sequence[Any]:
        """Submit them all; returns their futures, fewer if the pool has closed."""
        return self.of(kind)._submit_prepared(calls)

    def hand_back(self, kind: str, future: Any) -> None:
        """Settle a job of that pool as returned, unless it has begun or ended."""
        self._pools[kind]._hand_back(future)

    def is_blocked(self, kind: str) -> bool:
        """Whether that pool begins nothing now."""
        return self._pools[kind]._is_blocked

    def shutdown(self) -> None:
        """Take no more jobs; hand back what has not started, and have those that save hand over."""
        if self.mark is not None:
            with suppress(OSError):  # the disk is full: they go on until the drain stops them
                os.makedirs(os.path.dirname(self.mark), mode=0o700, exist_ok=True)
                with open(self.mark, "a"):
                    pass
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def request_drain(self, timeout: float | None) -> None:
        """Begin to drain."""
        for pool in self._pools.values():
            pool.request_drain(timeout)

    def drain(self) -> DrainReport:
        """Wait until all have drained, as was requested."""
        report = together([pool.drain(None) for pool in self._pools.values()])
        return replace(report, notes=(*report.notes, *self.leave()))

    def leave(self) -> list[str]:
        """Leave what was entered for the jobs; returns what is to be noted."""
        notes: list[str] = []
        while self.entered:
            try:
                self.entered.pop()()
            except Exception as error:
                notes.append(f"leaving the lifespan raised {in_a_line(error)}")
        return notes


def together(reports: Sequence[DrainReport]) -> DrainReport:
    """One report for several pools, by the name of the first."""
    first = reports[0]
    if len(reports) == 1:
        return first
    return replace(
        first,
        elapsed=max(report.elapsed for report in reports),
        on_time=all(report.on_time for report in reports),
        stats=_added_up([report.stats for report in reports]),
        unfinished=tuple(row for report in reports for row in report.unfinished),
        interrupted=tuple(row for report in reports for row in report.interrupted),
        stuck=tuple(row for report in reports for row in report.stuck),
        errors=tuple(group for report in reports for group in report.errors),
        notes=tuple(note for report in reports for note in report.notes),
    )


def _added_up(stats: Sequence[PoolStats]) -> PoolStats:
    counts = [field.name for field in fields(PoolStats) if field.type is int]
    return replace(stats[0], **{name: sum(getattr(one, name) for one in stats) for name in counts})


def show_pool(pool: Pool, sink: Sink) -> None:
    """Have a sink with metrics read the pool's books."""
    if isinstance(sink, Watcher):
        sink.watch(pool)
