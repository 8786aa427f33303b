"""The log beside a file (``-wal``) and its index (``-shm``): what to do when they are removed while they are used.

SQLite does not notice. It goes on in the removed log, which no other process sees; one that opens the file later makes
a log of its own. What the one commits, the other loses. So before each transaction and after each commit it is looked
whether the log is still the one that was opened, and if it is not:

* No other process has made another: everything committed is still in the removed log, which is open here. It is copied
  into the file (a checkpoint, in our turn), all connections of the process are closed, a new log is made, and nothing
  is lost. Other processes of ours find out in their turn, and have nothing left to save: none commits to a removed log.
* Another program has: the two logs cannot be brought together. Ours is left, and the other one left alone: a close must
  not checkpoint over it, nor delete it.

In both cases the caller gets `EngineGone`, and the next call opens what is there. A process that opens a file which
others have locked, and finds no log beside it, makes none (`check_not_missing`): so where all who use the file are
ours, and the system tells who has locked it (Linux), it is the first case.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from steadypool.durable.engine.errors import EngineGone
from steadypool.durable.engine.sqlite.connections import Connections, Identity, alone_with, connections_to, identity_of
from steadypool.durable.engine.sqlite.lock_holders import SHARED_FIRST, SHARED_SIZE, holders_of
from steadypool.model.clock import monotonic, sleep

Log = tuple[Identity | None, Identity | None]
SETTLE = 1.0
"""Seconds for which a log may be missing while another process opens or closes the file."""
LOOK_AGAIN = 0.02


def log_of(path: str) -> Log | None:
    """Which files the log and its index are; ``None`` unless both are there."""
    found = _found(path)
    return None if None in found else found


def log_in_use(path: str, identity: Identity | None) -> Log | None:
    """The same for a new connection: the log that others of this process have open, if there are any."""
    return next((one.log for one in connections_to(identity) if one.log is not None), None) or log_of(path)


def is_lost(mine: Connections, identity: Identity) -> bool:
    """Whether the log beside the file is another than the one that this process has open."""
    found = _found(mine.path)
    if found == mine.log and identity == mine.identity:
        return False  # all connections of a process to one file have noted the same
    for connections in connections_to(identity):
        if connections.log is None and None not in found:
            connections.log = found  # the file was none with a log when it was opened
        elif connections.log is not None and connections.log != found:
            return True
    return False


def save(path: str, identity: Identity, seconds: float) -> tuple[bool, EngineGone]:
    """Save what can be saved, and close what this process has open on the file. In one's turn to write.

    Returns:
        Whether all is saved, and it is for the caller to make a new log at once; and the error to raise.
    """
    lost = f"the log beside {path} was removed while it was used"
    with alone_with(identity, seconds) as mine:
        if not mine:
            return False, EngineGone(f"{lost}; the next call sees to it")
        had = next((one.log for one in mine if one.log is not None), (None, None))
        if any(now is not None and now != then for now, then in zip(_found(path), had, strict=True)):
            _close_leaving_log(path, mine)
            return False, EngineGone(
                f"{lost}, and another process has made a new one: if that was a Steadypool, it has saved what was "
                "committed; else what was committed since the last checkpoint is lost. The next call uses what is there"
            )
        if not _checkpoint(mine):
            return False, EngineGone(f"{lost}; the next call tries to save it")
        for one in mine:
            one.close()
        return True, EngineGone(f"{lost}; what was committed is saved in the file, and the next call goes on with it")


def check_not_missing(path: str) -> None:
    """Do nothing, unless others have the file open and the log beside it is missing.

    Raises:
        EngineGone: it is: to make another would be the end of what they have committed.
    """
    until = monotonic() + SETTLE
    while None in _found(path) and identity_of(path) is not None:
        holders = holders_of(path)
        if holders is None or not holders.of_file:
            return
        if monotonic() >= until:
            pids = ", ".join(map(str, sorted(holders.of_file)))
            raise EngineGone(
                f"the log beside {path} was removed while it is used, by process {pids}: nothing is lost as soon as "
                "that uses the queue again, or ends in order"
            )
        sleep(LOOK_AGAIN)


def _found(path: str) -> Log:
    return identity_of(f"{path}-wal"), identity_of(f"{path}-shm")


def _checkpoint(mine: list[Connections]) -> bool:
    connection = next((one.writer or one.reader for one in mine if one.writer or one.reader), None)
    if connection is None:
        return True  # the file was made anew in the place of one that was removed: of that nothing is open here
    [[busy, *_]] = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    return not busy


def _close_leaving_log(path: str, mine: list[Connections]) -> None:
    with _locked_from_elsewhere(path):
        for one in mine:
            one.close(_close_without_checkpoint)


def _close_without_checkpoint(connection: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        # Since Python 3.12; before, the lock from elsewhere has to do.
        setting = getattr(sqlite3, "SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE", None)
        if setting is not None:
            cast(Any, connection).setconfig(setting, True)
    else:
        import apsw

        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.close()


@contextmanager
def _locked_from_elsewhere(path: str) -> Iterator[None]:
    """Hold SQLite's shared lock as another process would: a close then does not think that it is the last.

    It is a lock of the open file (Linux), not of the process, so the two exclude each other.
    """
    set_lock = getattr(fcntl, "F_OFD_SETLK", None)
    if set_lock is None:
        yield
        return
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.fcntl(file, set_lock, struct.pack("hhqqi0q", fcntl.F_RDLCK, os.SEEK_SET, SHARED_FIRST, SHARED_SIZE, 0))
        yield
    finally:
        os.close(file)  # it drops the locks of this process on the file, which has closed all it had open
