"""Which processes have a SQLite file open, as far as the system says so.

A connection in WAL mode holds a shared lock on the file from its first transaction until it is closed. Linux lists all
locks in ``/proc/locks``. To ask in the portable way one opens the file and closes it again, which drops every lock
that the process has on it; so elsewhere nothing is known.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

LIST = Path("/proc/locks")
SHARED_FIRST = 0x4000_0002
SHARED_SIZE = 510
"""The bytes of SQLite's shared lock."""


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has SQLite's shared lock on a file."""

    of_file: frozenset[int]
    """Process ids."""
    mine_anywhere: bool
    """Whether this process has one on any file: some file systems call a file differently here than `os.stat` does."""


def holders_of(path: str) -> Holders | None:
    """Who has the file open; ``None`` where that is not known."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return None  # of another namespace: the numbers are not ours
        found = os.stat(path)
        rows = [line.split() for line in LIST.read_text().splitlines()]
    except OSError:
        return None
    name = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    # number: POSIX ADVISORY READ pid device:inode start end; what waits for a lock has an arrow after the number.
    shared = [
        (int(row[4]), row[5]) for row in rows if len(row) == 8 and row[1] == "POSIX" and row[6] == str(SHARED_FIRST)
    ]
    me = os.getpid()
    return Holders(frozenset(pid for pid, file in shared if file == name), any(pid == me for pid, _ in shared))
