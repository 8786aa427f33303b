"""The programs on this machine that can be watched, and why one cannot."""

from __future__ import annotations

import os
import pwd
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from steadypool.cli.exit_codes import UsageError
from steadypool.pools.monitor import socket_dir
from steadypool.pools.monitor.peer_credentials import peer_uid

HINT = "give a pool of it monitor=True, or run `steadypool map`"


@dataclass(frozen=True, slots=True)
class Program:
    """One program that can be watched."""

    pid: int
    path: Path
    """Its socket."""
    uid: int
    """Whose it is."""

    @property
    def command_line(self) -> str:
        """How it was started, as far as that can be known."""
        try:
            return " ".join(psutil.Process(self.pid).cmdline())
        except psutil.Error:
            return "?"

    def connect(self) -> socket.socket:
        """A connection to it.

        Raises:
            UsageError: it does not let itself be watched, or another program answers in its place.
        """
        try:
            connection = socket_dir.connect(self.path)
        except TimeoutError as error:
            raise UsageError(f"process {self.pid} does not answer; is it stopped?") from error
        except OSError as error:
            raise UsageError(f"process {self.pid} cannot be watched any more: {error.strerror or error}") from error
        if peer_uid(connection) not in (None, self.uid):
            connection.close()
            raise UsageError(f"who answers for process {self.pid} is another user's program")
        return connection


def find_program(pid: int | None) -> Program:
    """The program with that *pid*, or the only one there is.

    Raises:
        UsageError: there is none, or it cannot be watched; or there are several.
    """
    if pid is not None:
        return _program_with(pid)
    found = find_programs()
    if not found:
        raise UsageError(f"no program of yours can be watched: {HINT}")
    if len(found) > 1:
        lines = [f"  {program.pid}  {program.command_line[:100]}" for program in found]
        raise UsageError("\n".join(["several programs can be watched; give the pid of one:", *lines]))
    return found[0]


def find_programs() -> list[Program]:
    """All programs of this user that can be watched, by pid."""
    uid = os.geteuid()
    return [Program(pid, path, uid) for pid, path in sorted(socket_dir.find(uid).items())]


def _program_with(pid: int) -> Program:
    try:
        owner = psutil.Process(pid).uids().effective
    except psutil.NoSuchProcess as error:
        raise UsageError(f"there is no process {pid}") from error
    if os.geteuid() not in (0, owner):
        others = "root" if owner == 0 else f"{_name_of(owner)} and root"
        raise UsageError(f"process {pid} is {_name_of(owner)}'s: only {others} can watch it")
    path = socket_dir.find(owner).get(pid)
    if path is None:
        raise UsageError(f"process {pid} cannot be watched: {HINT}")
    return Program(pid, path, owner)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
