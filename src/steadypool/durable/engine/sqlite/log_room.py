"""Room in the log beside a file (``-wal``) before it is needed.

A commit waits for the disk. While the log grows, the disk has to write its new length too, which takes as long again.
So a log that is used for more than a few commits is made longer ahead of them, with zeros, some at a time. SQLite reads
no frame there: each frame carries numbers of its log's own, which zeros do not have. So a process may be killed at any
point of this.
"""

from __future__ import annotations

import os

STEP = 2 * 2**20
"""Bytes at a time: others wait for their turn meanwhile."""
EVERY = 16
"""Commits from one step to the next. They need less than a step if they are small; large ones pay for themselves."""
SPARE = 16
"""So many times the rest of the log has to be free on the disk."""


def make_room(path: str, most: int) -> bool:
    """Make the log of the file at *path* one step longer, up to *most* bytes; whether it may become longer still.

    The caller is in a transaction that writes: SQLite then writes nothing to the log, nor cuts it.
    """
    try:
        log = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        end = os.fstat(log).st_size
        return end < most and _has_room(log, most - end) and _lengthen(log, end, min(most, end + STEP))
    finally:
        os.close(log)


def _has_room(log: int, size: int) -> bool:
    disk = os.fstatvfs(log)
    return disk.f_bavail * disk.f_frsize > size * SPARE


def _lengthen(log: int, begin: int, end: int) -> bool:
    try:
        at = begin
        while at < end:
            at += os.pwrite(log, bytes(end - at), at)
        os.fsync(log)
    except OSError:  # a quota, or a limit of this process: what there is of room is for the jobs
        os.ftruncate(log, begin)
        return False
    return True
