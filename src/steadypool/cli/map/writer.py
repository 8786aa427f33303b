"""The output: JSON Lines, of which a reader never sees half a line."""

from __future__ import annotations

import mmap
import os
import select
import stat
import sys

from steadypool.cli.exit_codes import OutputClosed, OutputFailed, UsageError

STDOUT = 1
STDERR = 2
WHOLE = select.PIPE_BUF
"""Bytes that a pipe takes or refuses as one piece, so that a kill cannot cut them."""
PAGE = mmap.PAGESIZE
"""A write to a file can be cut by a kill where a page of the file ends, and nowhere else."""


class LineWriter:
    """Writes lines past Python's own buffers.

    - Lines are written in the order of `add`, each with its end in the same write.
    - After `flush` returns, they are with the kernel: killing this process loses none of them.
    - Short lines go out several to a write, but never so many that a kill could cut the write: no more than a
      pipe takes as one piece, and up to the end of a file's page. That leaves one line in many (and any longer
      than a pipe's piece or a file's page), which SIGKILL can cut if it comes in the very microsecond.
    - Where the disk fills up in the middle of a line, the line's beginning is taken back.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.descriptor = descriptor
        self.name = name
        mode = os.fstat(descriptor).st_mode
        self.has_reader = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        """Whether another process reads the other end, and may leave."""
        self._regular = stat.S_ISREG(mode)
        self._position = os.fstat(descriptor).st_size if self._regular else 0
        """Where in the file the next write goes."""
        self._waiting: list[bytes] = []

    @classmethod
    def create(cls, path: str) -> LineWriter:
        """Write to a new file at *path*, or to one that is emptied."""
        try:
            return cls(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), path)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None

    @classmethod
    def take_stdout(cls) -> LineWriter:
        """Keep standard output for results alone: what jobs print, also from C code, goes to standard error."""
        try:
            results = os.dup(STDOUT)
        except OSError as error:
            raise UsageError(f"cannot write standard output: {error.strerror}; use --output FILE") from None
        sys.stdout.flush()
        os.dup2(STDERR, STDOUT)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        return cls(results, "standard output")

    def add(self, line: str) -> None:
        """Put *line*, which has no line's end yet, behind those that wait for `flush`."""
        self._waiting.append(encode(line))

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OutputClosed: the reader of a pipe has left.
            OutputFailed: nothing more can be written.
        """
        lines, self._waiting = self._waiting, []
        piece: list[bytes] = []
        room = self._room()
        for line in lines:
            if piece and len(line) > room:
                self._write(b"".join(piece))
                piece, room = [], self._room()
            piece.append(line)
            room -= len(line)
        if piece:
            self._write(b"".join(piece))

    def _room(self) -> int:
        """How many bytes the next write may have so that a kill cannot cut it."""
        return PAGE - self._position % PAGE if self._regular else WHOLE

    def _write(self, piece: bytes) -> None:
        written = 0
        try:
            while written < len(piece):
                written += os.write(self.descriptor, piece[written:])
        except (BrokenPipeError, ConnectionResetError):
            raise OutputClosed(self.name) from None
        except OSError as error:
            self._take_back(written - (piece.rfind(b"\n", 0, written) + 1))
            raise OutputFailed(f"cannot write {self.name}: {error.strerror}") from None
        self._position += written

    def _take_back(self, size: int) -> None:
        if self._regular and size:
            position = os.lseek(self.descriptor, -size, os.SEEK_CUR)
            os.ftruncate(self.descriptor, position)


def encode(line: str) -> bytes:
    """A line of JSON as UTF-8; in ASCII where it holds bytes of a file name that are no UTF-8."""
    try:
        return f"{line}\n".encode()
    except UnicodeEncodeError:
        escaped = (char if char.isascii() else _escaped(char) for char in line)
        return f"{''.join(escaped)}\n".encode()


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
