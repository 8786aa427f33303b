"""Reaps programs that a dead worker has left, where this process inherits them.

It does when it is PID 1 of a container without an init. They belong to the process group of their worker, which tells
them from children of the program's own, whose ends are the program's to learn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from steadypool.model.clock import sleep
from steadypool.pools.core.core import Core
from steadypool.pools.processes.worker import ProcessWorker

LAST_LOOKS = 20
REAP_AFTER = 0.05
"""Seconds from the death of a worker until the programs that died with it are looked for."""
AGAIN_AFTER = 1.0
"""Seconds until the next look for those that still run."""


class OrphanReaper:
    """Reaps the programs of workers that have died."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.groups: set[int] = set()
        """The process groups of workers that had any, where orphans of theirs are ours."""

    def inherit_from(self, worker: ProcessWorker) -> None:
        """The worker is dead: reap the programs that it has left, if they are ours now."""
        if inherits():
            self.groups.add(worker.pid)
            self._core.call_later(REAP_AFTER, self._reap)

    def reap_all(self) -> None:
        """At the end: what was killed with its worker may take a moment to die."""
        for _ in range(LAST_LOOKS):
            if not inherits() or not reap(self.groups):
                return
            sleep(0.01)

    def _reap(self) -> None:
        if reap(self.groups):
            self._core.call_later(AGAIN_AFTER, self._reap)


def inherits() -> bool:
    """Whether orphans become children of this process."""
    return os.getpid() == 1


def reap(groups: set[int]) -> bool:
    """Reap the orphans of these process groups that have ended; returns whether others still run."""
    left = False
    for pid, state, group in _children():
        if group not in groups or pid in groups:  # a worker itself is waited for elsewhere
            continue
        if state == "Z":
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        else:
            left = True
    return left


def _children() -> Iterator[tuple[int, str, int]]:
    """Number, state and process group of each child of this process, as far as there is a ``/proc``."""
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return
    for pid in numbers:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                state, parent, group = file.read().rsplit(b")", 1)[1].split()[:3]
        except OSError:
            continue  # it is gone
        if int(parent) == os.getpid():
            yield pid, state.decode(), int(group)
