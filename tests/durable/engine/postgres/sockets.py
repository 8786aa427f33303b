"""Connections as the client counts them: a server goes on to list a session for a while after it was closed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def connections_like(descriptor: int) -> int:
    """How many connections this process has to the server that *descriptor* is connected to, itself included."""
    wanted = peer_of(descriptor)
    return sum(peer == wanted for peer in _peers())


def peer_of(descriptor: int) -> object:
    """What the socket *descriptor* is connected to.

    Raises:
        OSError: it is no socket, or not connected.
    """
    its = socket.socket(fileno=descriptor)
    try:
        return its.getpeername()
    finally:
        its.detach()


def _peers() -> Iterator[object]:
    for name in os.listdir("/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd"):
        with suppress(OSError):  # no socket, or closed meanwhile
            yield peer_of(int(name))
