"""Whether anything was made, removed or renamed in a folder since it was last looked at: one call to the system.

The system notes in a folder when its entries last changed (``ctime``; unlike ``mtime``, no program can set it back).
That clock is coarse: two changes within one of its ticks look like one. So a folder's mark counts only when the change
was long enough ago that the next one must look different.
"""

from __future__ import annotations

import os
from time import time

SETTLED = 3.0
"""Seconds after a change before the mark counts: more than a tick of any file system has."""
Mark = tuple[int, int, int]


def mark_of(folder: str) -> Mark | None:
    """Equal marks: the folder has the same entries. ``None``: it has changed just now.

    Raises:
        OSError: there is no such folder.
    """
    found = os.stat(folder)
    changed = found.st_ctime_ns
    return (found.st_dev, found.st_ino, changed) if changed < (time() - SETTLED) * 1e9 else None
