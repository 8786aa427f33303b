"""A real pseudo-terminal with a program on it, and a screen that understands what the program draws."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping
from time import monotonic

import pyte

from tests.pools.contract.stage import WAIT

KEYS = {"up": "\x1b[A", "down": "\x1b[B", "escape": "\x1b", "tab": "\t", "enter": "\r"}


class Terminal:
    """``steadypool`` with *arguments*, on a terminal of so many columns and lines."""

    def __init__(
        self, *arguments: str, environment: Mapping[str, str], columns: int = 80, lines: int = 24, wait: float = WAIT
    ) -> None:
        self._master, slave = pty.openpty()
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._wait = wait
        self._set_size(columns, lines)
        self.before = termios.tcgetattr(slave)
        environment = {key: value for key, value in environment.items() if key not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "steadypool.cli", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._slave = slave

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size, as its user would."""
        self.screen.resize(lines, columns)
        self._set_size(columns, lines)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            os.write(self._master, KEYS.get(key, key).encode())

    @property
    def text(self) -> str:
        """What is to be seen now."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait_for(self, *wanted: str) -> str:
        """Wait until all of that is to be seen at a time; a line may break where there is a space.

        Where the lines of a stack break depends on the folder that this checkout is in.
        """
        return self.wait_until(
            lambda text: all(one in text or one in _joined(text) for one in wanted), " and ".join(wanted)
        )

    def wait_until(self, is_so: Callable[[str], bool], what: str = "it") -> str:
        until = monotonic() + self._wait
        while not is_so(self.text):
            assert self._read(until - monotonic()), f"waited for {what}, but there is\n{self.text}"
        return self.text

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], (), (), max(0.0, seconds))
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:
            return False
        self._stream.feed(data)
        return bool(data)

    def wait_exited(self) -> None:
        """Wait until the process is gone, and keep the terminal. What it still draws is read, or it might block."""
        until = monotonic() + self._wait
        while self.process.poll() is None:
            assert monotonic() < until, f"it has not ended; there is\n{self.text}"
            self._read(0.02)

    def wait_ended(self) -> int:
        """Wait until the program has ended; its exit code."""
        os.close(self._slave)
        self._slave = -1
        while self._read(self._wait):
            pass
        return self.process.wait(self._wait)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *left: object) -> None:
        self.close()


def _joined(text: str) -> str:
    return " ".join(text.split())
