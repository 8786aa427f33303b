"""Programs that jobs on threads or an event loop have started: found by a mark in their environment, and ended.

A thread cannot be stopped, and what it has started knows nothing of the worker. So a worker of its own process (that is
``steadypool work``) puts a mark into its environment, which every program that a job starts inherits, and so does what
that starts in turn. At its end it ends what has the mark; if it is killed, the helper process of its heartbeat does.

A program in a session of its own (``start_new_session``, ``setsid``) was meant to be on its own: it is named and left.
A child that was forked and runs no other program has not got the mark; it is found only as a child.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from steadypool.durable.worker.program_mark import MARK

TERM_GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL."""
_OWN_COMMANDS = (
    "-m steadypool.durable.worker.heartbeat_helper",
    "from multiprocessing.resource_tracker import main",
    "from multiprocessing.forkserver import main",
)
"""Of the helper of the heartbeat, and of the servers that a pool of processes has."""


@dataclass(frozen=True, slots=True)
class Programs:
    """What became of the programs that had a mark, in words: their command lines."""

    ended: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    """Those in sessions of their own."""


def end_programs(mark: str, session: int) -> Programs:
    """End the programs with that mark which are in *session*, that of the worker."""
    if not mark:
        return Programs()
    mine, others = _apart(_marked(mark), session)
    names = tuple(_described(mine)), tuple(_described(others))
    for process in mine:
        _signal(process, kill=False)
    _, alive = psutil.wait_procs(mine, TERM_GRACE)
    # Looked for once more: one of them may have started another meanwhile.
    for process in {*alive, *_apart(_marked(mark), session)[0]}:
        _signal(process, kill=True)
    return Programs(*names)


def _marked(mark: str) -> list[psutil.Process]:
    own = os.getpid()
    found = {process for process in psutil.process_iter() if process.pid != own and _has_mark(process, mark)}
    if mark.partition("-")[0] == str(own):
        found |= set(psutil.Process().children(recursive=True))
    return sorted((process for process in found if not _is_own(process)), key=lambda process: process.pid)


def _is_own(process: psutil.Process) -> bool:
    """Whether the worker has started it and no job: it ends with the worker. Or it has ended already."""
    command = _command(process)
    if not any(text in command for text in _OWN_COMMANDS):
        return not command
    parent = process.parent() if process.is_running() else None
    return parent is None or _command(parent) != command  # what a fork server has forked shows the server's command


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _has_mark(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False  # of another user, or it has ended


def _apart(processes: Iterable[psutil.Process], session: int) -> tuple[list[psutil.Process], list[psutil.Process]]:
    mine: list[psutil.Process] = []
    others: list[psutil.Process] = []
    for process in processes:
        try:
            (mine if os.getsid(process.pid) == session else others).append(process)
        except OSError:
            continue  # it has ended
    return mine, others


def _described(processes: Iterable[psutil.Process]) -> Iterable[str]:
    for process in processes:
        try:
            yield f"{' '.join(process.cmdline()) or process.name()} (pid {process.pid})"
        except psutil.Error:
            continue


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.Error:
        return  # it has ended, or is not ours to end
