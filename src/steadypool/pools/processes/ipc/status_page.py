"""The page of memory that a worker process shares with its parent: which job runs, since when, and who is to stop.

Reading and writing it costs no system call. Each side writes only its own fields, and the number of a field's
job is written last, so that a torn read shows the job before or after, never a mixture that anybody acts on.
"""

from __future__ import annotations

import mmap
import os

SIZE = mmap.PAGESIZE
# Where the fields are, counted in cells of eight bytes; the parent's have a cache line of their own.
_BEGAN, RUNNING, _CAUSE, _TOLD, _HELD_FROM, HELD_TO = 0, 1, 8, 9, 10, 11
CAUSES = ("", "timeout", "cancelled", "shutdown", "lease_lost")
NONE = 0
"""No job. A job is written as the serial of its sending, so that a retry is another one."""


class Page:
    """One worker's page; the parent and the worker each have one over the same memory."""

    def __init__(self, fd: int) -> None:
        view = memoryview(mmap.mmap(fd, SIZE))
        self._moments = view.cast("d")
        self.serials = view.cast("Q")
        """The same cells as numbers: a worker's innermost loop writes the one of the running job itself."""

    # -- the worker's fields

    def begin(self, serial: int, now: float) -> None:
        """The worker starts a job (`NONE` for none), at *now* by `time.monotonic`, which all processes share."""
        self._moments[_BEGAN] = now
        self.serials[RUNNING] = serial

    def running(self) -> int:
        """The job that the worker started last."""
        return self.serials[RUNNING]

    def began(self) -> float:
        """When it started."""
        return self._moments[_BEGAN]

    # -- the parent's fields

    def tell(self, serial: int, cause: str) -> None:
        """Tell a job to stop."""
        self.serials[_CAUSE] = CAUSES.index(cause)
        self.serials[_TOLD] = serial

    def told(self, serial: int) -> str | None:
        """Why this job was told to stop, if it was."""
        if self.serials[_TOLD] != serial:
            return None
        return CAUSES[self.serials[_CAUSE]] or None

    def withhold(self, first: int, end: int) -> None:
        """Ask the worker not to begin the serials from *first* to before *end*, and to say so if it comes to one."""
        # In this order: what is between the two writes withholds too much, and the worker may always give back.
        self.serials[HELD_TO] = end
        self.serials[_HELD_FROM] = first

    def is_withheld(self, serial: int) -> bool:
        """Whether the worker, which has written this serial as the running one, must not begin it."""
        return serial < self.serials[HELD_TO] and serial >= self.serials[_HELD_FROM]

    def close(self) -> None:
        """Give the memory back; what it said last stays readable.

        Another thread may be in the middle of a look, so nothing is released under it: its own reference keeps the
        memory for as long as that takes.
        """
        last = memoryview(bytearray(self.serials.tobytes()))
        self._moments, self.serials = last.cast("d"), last.cast("Q")


def make_page() -> tuple[Page, int]:
    """A new page and the descriptor to hand to the worker, which the caller owns."""
    from steadypool.pools.processes.ipc.big_payload import pack

    fd = pack([bytes(SIZE)])
    try:
        return Page(fd), fd
    except BaseException:
        os.close(fd)
        raise
