"""The connection to a program that is watched: questions out, what it says in."""

from __future__ import annotations

import socket

import msgspec

from steadypool import __version__
from steadypool.cli.exit_codes import UsageError
from steadypool.model.monitor_messages import Ending, Question
from steadypool.model.snapshots import Snapshot

READ_SIZE = 256 * 1024


class _Envelope(msgspec.Struct):
    kind: str
    body: msgspec.Raw


class Text(str):
    """What was asked for, to be read by people: where a job is, or what has failed."""


class Notice(str):
    """Something that the program has to say about a question."""


Said = Snapshot | Ending | Text | Notice


class Link:
    """A connection. Reading and asking do not wait."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._partial = b""
        self.is_open = True

    def fileno(self) -> int:
        """For ``select``: readable when something was said."""
        return self._connection.fileno()

    def ask(self, question: Question) -> None:
        """Ask. A program that has ended is noticed by `read`."""
        try:
            self._connection.sendall(msgspec.json.encode(question) + b"\n")
        except OSError:
            return

    def read(self) -> list[Said]:
        """What was said since the last read; waits for the first of it. At the end, `is_open` becomes false.

        Raises:
            UsageError: the program speaks another language, that of another version.
        """
        try:
            data = self._connection.recv(READ_SIZE)
        except OSError:
            data = b""
        if not data:
            self.close()
            return []
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [_decode(line) for line in lines]

    def close(self) -> None:
        """Leave."""
        self.is_open = False
        self._connection.close()


def _decode(line: bytes) -> Said:
    try:
        envelope = msgspec.json.decode(line, type=_Envelope)
        match envelope.kind:
            case "snapshot":
                return msgspec.json.decode(envelope.body, type=Snapshot)
            case "ended":
                return msgspec.json.decode(envelope.body, type=Ending)
            case "stack" | "errors":
                return Text(msgspec.json.decode(envelope.body, type=str))
            case "draining":
                return Notice(f"pool {msgspec.json.decode(envelope.body, type=str)!r} begins to drain")
            case _:
                return Notice(msgspec.json.decode(envelope.body, type=str))
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"the program runs another version of Steadypool than this {__version__}, which cannot read it: {error}"
        ) from error
