"""The input: lines read one small block at a time, and only when the run has room for more."""

from __future__ import annotations

import os
import stat
from collections import deque
from dataclasses import dataclass

from steadypool.cli.exit_codes import UsageError

STDIN = 0
BLOCK = 1 << 16
"""Bytes of one read, and so of the lines held before they are submitted (a longer line is held whole)."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input."""

    number: int
    """Counted from 1."""
    text: str
    size: int
    """Its bytes in the input, the line's end included."""


class LineSource:
    """Lines of a file or of standard input.

    `read_block` is the only call that reads. On a pipe or terminal it blocks unless `descriptor` is ready, so
    the caller waits for that first, together with everything else it waits for; a regular file never blocks.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.descriptor = descriptor
        self.name = name
        self.at_end = False
        """The input is read to its end; lines may still be held."""
        status = os.fstat(descriptor)
        self.blocks = not stat.S_ISREG(status.st_mode)
        """Whether a read may block."""
        self.size = None if self.blocks else max(0, status.st_size - os.lseek(descriptor, 0, os.SEEK_CUR))
        """How many bytes there are to read; ``None`` if that is unknown."""
        self._number = 0
        self._whole: deque[bytes] = deque()
        self._rest = bytearray()

    @classmethod
    def open(cls, path: str | None) -> LineSource:
        """The file at *path*, or standard input for ``None`` and ``"-"``."""
        try:
            if path is None or path == "-":
                return cls(STDIN, "standard input")
            if os.path.isdir(path):
                raise UsageError(f"{path} is a directory; give a file with one job on each line")
            return cls(os.open(path, os.O_RDONLY), path)
        except OSError as error:
            raise UsageError(f"cannot read {path or 'standard input'}: {error.strerror}") from None

    def is_file(self, path: str) -> bool:
        """Whether the file at *path* is the one that is read here."""
        try:
            return not self.blocks and os.path.samestat(os.fstat(self.descriptor), os.stat(path))
        except OSError:
            return False

    def read_block(self) -> None:
        """Read once. At the end of the input a last line needs no line's end."""
        try:
            block = os.read(self.descriptor, BLOCK)
        except OSError as error:
            raise UsageError(f"cannot read {self.name}: {error.strerror}") from None
        self._rest += block
        if not block:
            self.at_end = True
            if self._rest:
                self._whole.append(bytes(self._rest))
                self._rest.clear()
        elif b"\n" in block:
            *whole, rest = bytes(self._rest).split(b"\n")
            self._whole.extend(line + b"\n" for line in whole)
            self._rest = bytearray(rest)

    def next_line(self) -> Line | None:
        """The next line that is held, or ``None`` if another block must be read first."""
        if not self._whole:
            return None
        raw = self._whole.popleft()
        self._number += 1
        content = raw.removesuffix(b"\n").removesuffix(b"\r")
        if self._number == 1:
            content = content.removeprefix(BYTE_ORDER_MARK)
        # File names may hold any bytes: they come through as `os.fsdecode` would have them.
        return Line(self._number, content.decode("utf-8", "surrogateescape"), len(raw))

    def forget(self) -> None:
        """Give up the lines that are held and read no more."""
        self.at_end = True
        self._whole.clear()
        self._rest.clear()

    @property
    def holds_line(self) -> bool:
        """Whether `next_line` has one."""
        return bool(self._whole)

    @property
    def is_used_up(self) -> bool:
        """Nothing is held and nothing will come."""
        return self.at_end and not self._whole
