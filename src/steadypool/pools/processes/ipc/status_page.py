"""The memory that a worker process shares with its parent: which job runs, since when, who is to stop, and outcomes.

Reading and writing it costs no system call. Each side writes only its own fields, and the number of a field's
job is written last, so that a torn read shows the job before or after, never a mixture that any reader acts on.

Behind the page lies the *log*: the outcomes of calls that travelled together and are not in the socket yet, one behind
the other. Each is there before the page names the next call. So the parent can read them while a long call runs, even
one that holds the GIL of the worker, and when the worker is dead: then only the call that it ran has no outcome. The
worker writes an outcome first and then the size; to begin a new log, it sets the size to 0 and then the first serial.
The parent reads the first serial before and after: if that has changed, it has read a mixture and takes none of it.
"""

from __future__ import annotations

import io
import marshal
import mmap
import os

from steadypool.pools.processes.ipc.memory_file import anonymous_file, mapped

LOG_BYTES = 64 * 1024
LOG_FORMAT = 2
"""Of `marshal`: the last one in which a value does not refer to another, so that some in a row are a list's items."""
SIZE = mmap.PAGESIZE + LOG_BYTES
# Where the fields are, counted in cells of eight bytes; the parent's have a cache line of their own.
_BEGAN, RUNNING, LOG_FIRST, LOG_SIZE, _PART = 0, 1, 2, 3, 4
_CAUSE, _TOLD, _HELD_FROM, HELD_TO, _IN_PARTS = 8, 9, 10, 11, 12
CAUSES = ("", "timeout", "cancelled", "shutdown", "lease_lost")
NONE = 0
"""No job. A job is written as the serial of its sending, so that a retry is another one."""


class Page:
    """One worker's page; the parent and the worker each have one over the same memory."""

    def __init__(self, fd: int) -> None:
        self._memory = memory = mapped(fd, SIZE, mmap.mmap)
        view = memoryview(memory)
        self.argument_marks, self.result_marks = view[1024:1280], view[2048:2304]
        """See `ipc.buffers`, which may write to them after this page is closed."""
        self._moments = view[: mmap.PAGESIZE].cast("d")
        self.write = memory.write
        """Adds to the log: the quickest way in CPython, for a worker's innermost loop."""
        self._read = (0, 0, 0)
        """How far the log was read: its first serial, the serial of the next outcome, and where that stands."""
        self.serials = view[: mmap.PAGESIZE].cast("Q")
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

    def begin_part(self, serial: int, part: int) -> bool:
        """The worker starts this part of the job; false if it must not: see `pools.processes.parts`."""
        self.serials[_PART] = part
        return self.serials[_IN_PARTS] != serial

    def part(self) -> int:
        """The part that the worker started last."""
        return self.serials[_PART]

    def open_log(self, serial: int) -> None:
        """The next outcomes are of this serial and those behind it; what the log held is in the socket."""
        self.serials[LOG_SIZE] = 0
        self.serials[LOG_FIRST] = serial
        self._memory.seek(mmap.PAGESIZE)

    def log_as_list(self, count: int, size: int) -> bytes:
        """What the log holds as a list for `marshal`."""
        return b"[" + count.to_bytes(4, "little") + self._memory[mmap.PAGESIZE : mmap.PAGESIZE + size]

    def log_of(self) -> int:
        """The serial of the first outcome in the log."""
        return self.serials[LOG_FIRST]

    def outcomes(self, expected: int) -> list[object]:
        """The outcomes in the log from the serial *expected* on, unless they were read before."""
        first, size = self.serials[LOG_FIRST], self.serials[LOG_SIZE]
        log, following, at = self._read
        if log != first:
            following, at = first, 0
        if expected < following:
            return []  # what comes before is on its way through the socket
        log_bytes = io.BytesIO(self._memory[mmap.PAGESIZE + at : mmap.PAGESIZE + size])
        if self.serials[LOG_FIRST] != first:
            return []
        values: list[object] = []
        while log_bytes.tell() < size - at:
            values.append(marshal.load(log_bytes))
        self._read = (first, following + len(values), size)
        return values[expected - following :]

    # -- the parent's fields

    def tell(self, serial: int, cause: str) -> None:
        """Tell a job to stop."""
        self.serials[_CAUSE] = CAUSES.index(cause)
        self.serials[_TOLD] = serial

    def told(self, serial: int) -> str | None:
        """Why this job was asked to stop, if it was."""
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

    def withhold_parts(self, serial: int) -> None:
        """Ask the worker to begin no further part of this job."""
        self.serials[_IN_PARTS] = serial

    def close(self) -> None:
        """Give the memory back; what it said last stays readable.

        Another thread may be in the middle of a look, so nothing is released under it: its own reference keeps the
        memory for as long as that takes.
        """
        last = memoryview(bytearray(self.serials.tobytes()))
        self._moments, self.serials = last.cast("d"), last.cast("Q")
        self.serials[LOG_SIZE] = 0
        self._memory = mmap.mmap(-1, SIZE)
        self.write = self._memory.write


def make_page() -> tuple[Page, int]:
    """A new page and the descriptor to hand to the worker, which the caller owns."""
    fd = anonymous_file()
    try:
        os.ftruncate(fd, SIZE)
        return Page(fd), fd
    except BaseException:
        os.close(fd)
        raise
