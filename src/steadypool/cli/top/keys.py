"""What is typed, key by key, while a terminal is in raw mode."""

from __future__ import annotations

import os
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
_LONGEST_FIRST = sorted(_SEQUENCES, key=len, reverse=True)


def keys_in(data: bytes) -> list[str]:
    """The keys that these bytes stand for: names of special keys, and characters. What is unknown is left out."""
    keys = []
    while data:
        sequence = next((known for known in _LONGEST_FIRST if data.startswith(known)), None)
        if sequence == b"\x1b" and data[1:2] in (b"[", b"O"):
            data = data[_length_of_sequence(data) :]  # a key that means nothing here
        elif sequence is not None:
            keys.append(_SEQUENCES[sequence])
            data = data[len(sequence) :]
        else:
            if data[:1].isascii() and data[:1].decode().isprintable():
                keys.append(data[:1].decode())
            data = data[1:]
    return keys


def _length_of_sequence(data: bytes) -> int:
    """Up to the letter or tilde that ends it."""
    for at in range(2, len(data)):
        if data[at : at + 1].isalpha() or data[at : at + 1] == b"~":
            return at + 1
    return len(data)


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
