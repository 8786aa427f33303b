"""The programs of this user on this machine whose pools were made with ``monitor=True``, and what they say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from steadypool.model.monitor_messages import Question
from steadypool.model.snapshots import Snapshot
from steadypool.pools.monitor import socket_dir
from steadypool.pools.monitor.peer_credentials import peer_uid

SECONDS = 0.5
"""That a program may take to answer: a page does not wait for one that is stopped."""
MOST_PROGRAMS = 20
LARGEST = 4_000_000


class _Envelope(msgspec.Struct):
    kind: str
    body: msgspec.Raw


def snapshots() -> list[Snapshot]:
    """What those say that answer."""
    return [found for _, found in _snapshots()]


def stack_of(job_id: str, arguments: bool) -> str:
    """Where a running job is now, with its arguments or without; empty: no program on this machine says so."""
    for path, snapshot in _snapshots():
        for pool in snapshot.pools:
            rows = (*pool.stats.worker_rows, *pool.stuck_rows)
            if any(row.job_id == job_id for row in rows):
                said = _ask(path, Question("stack", pool.number, job_id))
                if said is not None and said.kind == "stack":
                    return _without_facts(msgspec.json.decode(said.body, type=str), arguments)
    return ""


def _without_facts(text: str, arguments: bool) -> str:
    """The stack alone: the lines before it say what the job was called with."""
    lines = text.splitlines()
    while not arguments and lines and not lines[0].lstrip().startswith(("File ", "Traceback", "Stack", "#")):
        del lines[0]
    return "\n".join(lines)


def _snapshots() -> Iterator[tuple[Path, Snapshot]]:
    for _, path in sorted(socket_dir.find(os.geteuid()).items())[:MOST_PROGRAMS]:
        said = _ask(path, Question("glance"))
        if said is None or said.kind != "snapshot":
            continue
        try:
            yield path, msgspec.json.decode(said.body, type=Snapshot)
        except msgspec.MsgspecError:
            continue  # it runs another version


def _ask(path: Path, question: Question) -> _Envelope | None:
    """What the program there answers; ``None``: nothing in time."""
    try:
        with socket_dir.connect(path) as connection, connection.makefile("rb") as answers:
            if peer_uid(connection) not in (None, os.geteuid()):
                return None
            connection.settimeout(SECONDS)
            connection.sendall(msgspec.json.encode(question) + b"\n")
            return msgspec.json.decode(answers.readline(LARGEST), type=_Envelope)
    except (OSError, msgspec.MsgspecError):
        return None
