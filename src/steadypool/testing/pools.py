"""Pools that a test leaves behind: found, drained, and shown in its failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from steadypool.model.checks import check_seconds
from steadypool.model.states import PoolState
from steadypool.pools.core import at_exit
from steadypool.pools.core.core import Core

DRAIN_TIMEOUT = 1.0


class PoolWatch:
    """Looks at the pools that are made from now on.

    Args:
        drain_timeout: seconds that the jobs of a pool get that was left open.
    """

    def __init__(self, drain_timeout: float = DRAIN_TIMEOUT) -> None:
        check_seconds("drain_timeout", drain_timeout, zero=True, none=False)
        self._timeout = drain_timeout
        self._made: list[Core] = []
        self._stop = at_exit.list_into(self._made)

    def close(self) -> None:
        """Look no more."""
        self._stop()
        self._made.clear()

    def left(self) -> list[str]:
        """What was left open, or runs still, and what became of it: all of it is drained. Nothing, if nothing was."""
        cores = [core for core in self._made if core.pid == os.getpid()]
        closing = {core for core in cores if core.refusal is not None and not core.was_abandoned}
        still_open = [core for core in cores if core.state is not PoolState.CLOSED]
        for core in still_open:
            core.request_drain(self._timeout)
        for core in still_open:
            self._wait(core)
        return [text for core in cores if (text := self._what_is_wrong(core, core in closing, core in still_open))]

    def reports(self) -> list[str]:
        """What became of the jobs of each pool, for a failure: those that are open are drained."""
        left = self.left()
        told = [str(core.report) for core in self._made if core.report is not None]
        return [*left, *(text for text in told if not any(text in other for other in left))]

    def _wait(self, core: Core) -> None:
        if core.workers.kind == "asyncio":
            core.closed.wait(self._timeout)  # its loop closes it, if it runs
        else:
            core.wait_for_report(self._timeout)

    @staticmethod
    def _what_is_wrong(core: Core, was_closing: bool, was_open: bool) -> str:
        shown = core.report or _books(core)
        if not was_closing:
            return f"was left open: {shown}"
        if was_open and (core.report is None or not core.report.ok):
            return f"had not ended: {shown}"
        return f"has jobs that still run: {shown}" if core.stats().stuck else ""


def _books(core: Core) -> str:
    stats = core.stats()
    counts = f"{stats.waiting} wait, {stats.running} run, {stats.ended} have ended"
    return f"pool {core.name!r} {stats.state.value}: {counts}"


@contextmanager
def watch_pools(*, drain_timeout: float = DRAIN_TIMEOUT) -> Iterator[PoolWatch]:
    """A ``with`` block that is to leave no pool open, and no job running.

    Args:
        drain_timeout: seconds that jobs get to end in a pool that it has left open.

    Raises:
        AssertionError: it has; the message has what `drain` says of each pool. An exception that leaves the block gets
            that as a note, and what became of the other pools.
    """
    watch = PoolWatch(drain_timeout)
    try:
        try:
            yield watch
        except BaseException as error:
            add_reports(watch, error)
            raise
        raise_if_left(watch)
    finally:
        watch.close()


def add_reports(watch: PoolWatch, error: BaseException) -> None:
    """Have the error say what became of the pools of its test."""
    for text in watch.reports():
        error.add_note(text)


def raise_if_left(watch: PoolWatch) -> None:
    """Do nothing, unless something was left.

    Raises:
        AssertionError: saying what.
    """
    left = watch.left()
    if left:
        raise AssertionError("\n".join(["pools were left; close each with `with`, or drain it", *left]))
