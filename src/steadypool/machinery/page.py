"""The page of memory that a worker process shares with its parent: which job runs, since when, and who is to stop.

Reading and writing it costs no system call. Each side writes only its own fields, and the number of a field's
job is written last, so that a torn read shows the job before or after, never a mixture that anybody acts on.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final

SIZE = mmap.PAGESIZE
_RUNNING: Final = struct.Struct("<Q")
_BEGAN: Final = struct.Struct("<d")
_TOLD: Final = struct.Struct("<Q")
_AT_BEGAN, _AT_RUNNING, _AT_CAUSE, _AT_TOLD = 0, 8, 64, 72
CAUSES = ("", "timeout", "cancelled", "shutdown", "lease_lost")
NONE = 0
"""No job. A job is written as the serial of its sending, so that a retry is another one."""


class Page:
    """One worker's page; the parent and the worker each have one over the same memory."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, SIZE)

    # -- the worker's fields

    def begin(self, serial: int, now: float) -> None:
        """The worker starts a job (`NONE` for none), at *now* by `time.monotonic`, which all processes share."""
        _BEGAN.pack_into(self._map, _AT_BEGAN, now)
        _RUNNING.pack_into(self._map, _AT_RUNNING, serial)

    def running(self) -> int:
        """The job that the worker started last."""
        serial: int = _RUNNING.unpack_from(self._map, _AT_RUNNING)[0]
        return serial

    def began(self) -> float:
        """When it started."""
        began: float = _BEGAN.unpack_from(self._map, _AT_BEGAN)[0]
        return began

    # -- the parent's fields

    def tell(self, serial: int, cause: str) -> None:
        """Tell a job to stop."""
        self._map[_AT_CAUSE] = CAUSES.index(cause)
        _TOLD.pack_into(self._map, _AT_TOLD, serial)

    def told(self, serial: int) -> str | None:
        """Why this job was told to stop, if it was."""
        if _TOLD.unpack_from(self._map, _AT_TOLD)[0] != serial:
            return None
        return CAUSES[self._map[_AT_CAUSE]] or None

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()


def make_page() -> tuple[Page, int]:
    """A new page and the descriptor to hand to the worker, which the caller owns."""
    from steadypool.machinery.parcel import pack

    fd = pack([bytes(SIZE)])
    try:
        return Page(fd), fd
    except BaseException:
        os.close(fd)
        raise
