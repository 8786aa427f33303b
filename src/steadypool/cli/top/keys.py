"""What is typed, key by key, while a terminal is in raw mode."""

from __future__ import annotations

import os
import re
import termios
import tty
from types import TracebackType
from typing import Any, Self

_SEQUENCES = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b[Z": "back tab",
    b"\t": "tab",
    b"\r": "enter",
    b"\n": "enter",
    b"\x1b": "escape",
}
_KEY = re.compile(rb"\x1b[\[O][^A-Za-z~\x1b]*[A-Za-z~]?|[\x1b\t\r\n -~]")
"""A sequence, up to the letter or tilde that ends it; or one byte."""


def keys_in(data: bytes) -> list[str]:
    """The keys that these bytes stand for: names of special keys, and characters. What is unknown is left out."""
    keys = [_SEQUENCES.get(key, key.decode(errors="replace")) for key in _KEY.findall(data)]
    return [key for key in keys if not key.startswith("\x1b")]


class Keyboard:
    """A ``with`` block in which a terminal gives each key at once and shows none. Ctrl-C works; Ctrl-Z does not."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before: list[Any] = []

    def fileno(self) -> int:
        """For ``select``: readable when something was typed."""
        return self._descriptor

    def read(self) -> list[str] | None:
        """What was typed; ``None`` if the terminal is gone."""
        try:
            data = os.read(self._descriptor, 1024)
        except OSError:
            return None
        return keys_in(data) if data else None

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._descriptor)
        tty.setcbreak(self._descriptor)
        now = termios.tcgetattr(self._descriptor)
        now[6][termios.VSUSP] = b"\0"  # suspended, it would leave the terminal as it is now
        termios.tcsetattr(self._descriptor, termios.TCSANOW, now)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
        except termios.error:
            return  # the terminal is gone
