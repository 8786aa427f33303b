"""What becomes of a pool that was left open: at the end of the interpreter, and in a forked child.

At exit every open pool is drained within its ``exit_timeout``. Worker threads are daemons, so that one that is
stuck is named on stderr instead of holding the exit. This runs from `atexit`, after the threads that are no daemons
have ended: they may use their pools to the last. (The standard library's executors refuse them by then.) It is the
first of all such handlers, as with the standard library: what they close, jobs may use to their end.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from steadypool.model.clock import monotonic
from steadypool.model.states import PoolState

if TYPE_CHECKING:
    from steadypool.model.reports import DrainReport
    from steadypool.pools.core.core import Core

LEAVE_SECONDS = 2.0
"""How long the workers of a pool that is closed may take to leave."""

_cores: weakref.WeakSet[Core] = weakref.WeakSet()
_lists: list[list[Core]] = []


def register(core: Core) -> None:
    """Have the pool looked after when the interpreter ends or the process forks."""
    _cores.add(core)
    was_made(core)


def was_made(core: Core) -> None:
    """A pool was made."""
    for cores in list(_lists):
        cores.append(core)


def list_into(cores: list[Core]) -> Callable[[], None]:
    """Have *cores* list, and keep, every pool that is made from now on; returns what ends that."""
    _lists.append(cores)
    return lambda: _lists.remove(cores)


_last: list[Callable[[], None]] = []


def at_last(call: Callable[[], None]) -> None:
    """Have *call* called when the pools are drained."""
    _last.append(call)


def _mine() -> list[Core]:
    return [core for core in list(_cores) if core.pid == os.getpid()]


def drain_all() -> None:
    """Drain every pool of this process that is not closed. Called again, it finds nothing to do."""
    cores = _mine()
    still_open = [core for core in cores if core.state is not PoolState.CLOSED]
    # All at once: the exit takes as long as the slowest pool, not as all together.
    for core in still_open:
        core.request_drain(core.settings.exit_timeout)
    for core in cores:
        if core in still_open:
            _drain(core)
        elif core.workers.has_workers():
            core.workers.join(_leave_until(core))  # closed a moment ago, its workers are on their way
    for call in _last:
        call()


def _leave_until(core: Core) -> float | None:
    """When the workers of a closed pool must have left. Those that are processes may have something to flush."""
    limit = core.settings.exit_timeout if core.workers.kind == "processes" else LEAVE_SECONDS
    return None if limit is None else monotonic() + max(limit, LEAVE_SECONDS)


def _before_threads_are_joined() -> None:
    """The program has come to its end. What is registered last runs first: before the handlers of the program's own."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        drain_all()  # a child of multiprocessing, which runs no such handlers
    else:
        atexit.register(drain_all)


atexit.register(drain_all)
with suppress(AttributeError, RuntimeError):  # another Python, or the program ends already
    threading._register_atexit(_before_threads_are_joined)  # type: ignore[attr-defined]


def _drain(core: Core) -> None:
    limit = core.settings.exit_timeout
    try:
        report = core.wait_for_report(limit)
    except KeyboardInterrupt:
        # Ctrl-C while the program waits to end: no more patience, but the books are still kept.
        core.request_drain(0.0)
        report = core.wait_for_report(0.0)
    if report.stuck or report.unfinished or report.interrupted or report.notes:
        _say(report)


def _say(report: DrainReport) -> None:
    if sys.stderr is not None:
        print(f"steadypool: at interpreter exit, {report}", file=sys.stderr, flush=True)


def _after_fork() -> None:
    """In a forked child: the workers are in the parent, so the copies of its pools must not be used."""
    for core in list(_cores):
        core.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
