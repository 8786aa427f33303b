"""Programs of jobs whose worker has died, where this process inherits them: it is PID 1 of a container without an init.

They belong to the process group of their worker, which tells them from children of the program's own, whose ends are
the program's to learn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

AGAIN_AFTER = 1.0
"""Seconds until the next look for those that still run."""


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
