"""The programs of this user on this machine whose pools were made with ``monitor=True``, and what they say."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import msgspec

from steadypool.model.monitor_messages import Question
from steadypool.model.snapshots import Snapshot
from steadypool.pools.monitor import socket_dir
from steadypool.pools.monitor.peer_credentials import peer_uid

SECONDS = 0.5
"""That a program may take to answer: a page does not wait for one that is stopped."""
MOST_PROGRAMS = 20
LARGEST = 4_000_000
READ = 64 * 1024


class _Envelope(msgspec.Struct):
    kind: str
    body: msgspec.Raw


def snapshots() -> list[Snapshot]:
    """What those say that answer."""
    return [found for _, found in _snapshots()]


def stack_of(job_id: str, arguments: bool) -> str:
    """Where a running job is now, with its arguments or without; empty: no program on this machine says so."""
    for pid, snapshot in _snapshots():
        for pool in snapshot.pools:
            rows = (*pool.stats.worker_rows, *pool.stuck_rows)
            if any(row.job_id == job_id for row in rows):
                said = _ask(pid, Question("stack", pool.number, job_id))
                if said is not None and said.kind == "stack":
                    return _without_facts(msgspec.json.decode(said.body, type=str), arguments)
    return ""


def _without_facts(text: str, arguments: bool) -> str:
    """The stack alone: the lines before it say what the job was called with."""
    lines = text.splitlines()
    while not arguments and lines and not lines[0].lstrip().startswith(("File ", "Traceback", "Stack", "#")):
        del lines[0]
    return "\n".join(lines)


def _snapshots() -> Iterator[tuple[int, Snapshot]]:
    for pid in sorted(socket_dir.find(os.geteuid()))[:MOST_PROGRAMS]:
        said = _ask(pid, Question("glance"))
        if said is None or said.kind != "snapshot":
            continue
        try:
            yield pid, msgspec.json.decode(said.body, type=Snapshot)
        except msgspec.MsgspecError:
            continue  # it runs another version


def _ask(pid: int, question: Question) -> _Envelope | None:
    """What it answers; ``None``: nothing in time."""
    path = socket_dir.find(os.geteuid()).get(pid)
    if path is None:
        return None
    try:
        with socket_dir.connect(path) as connection:
            if peer_uid(connection) not in (None, os.geteuid()):
                return None
            connection.settimeout(SECONDS)
            connection.sendall(msgspec.json.encode(question) + b"\n")
            return msgspec.json.decode(_read_line(connection), type=_Envelope)
    except (OSError, msgspec.MsgspecError):
        return None


def _read_line(connection: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\n") and len(found) < LARGEST:
        more = connection.recv(READ)
        if not more:
            break
        found += more
    return found
