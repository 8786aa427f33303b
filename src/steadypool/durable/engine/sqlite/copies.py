"""The file as a whole, while it is used: a copy of it, and giving back the room that is not needed any more."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from steadypool.durable.engine.errors import EngineError, EngineFull
from steadypool.durable.engine.sqlite.store import Transactions

INCREMENTAL = 2
"""The setting of a file that gives pages back a few at a time. Those that a queue has made have it."""
PAGES_AT_ONCE = 500
"""In one transaction: 2 MB, some ten milliseconds, for which others wait."""


def back_up(store: Transactions, target: str) -> int:
    """Copy the file, as it is at one moment, to *target*; returns the size of that.

    Others go on meanwhile. The log beside the file cannot begin anew until the copy is made, and grows by what they
    write.

    Raises:
        OSError: there is something at *target* already, or no folder for it.
        OSError, EngineError: it cannot be written; what had been made of it is removed.
    """
    folder, part = os.path.dirname(os.path.abspath(target)), f"{target}.part"
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder} to put {os.path.basename(target)} into")
    for path in (target, part):
        if os.path.lexists(path):
            raise FileExistsError(f"there is a file {path} already: name another, or remove it")
    try:
        with store.peek() as connection:
            connection.execute("VACUUM INTO ?", (part,)).fetchall()
        _sync(part)
        os.link(part, target)  # unlike a rename, it does not replace what has come meanwhile
    except EngineFull as error:
        raise EngineFull(f"there is no room left for {target}: {error.__cause__}") from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
    _sync(folder)
    return os.path.getsize(target)


def compact(store: Transactions) -> tuple[int, int]:
    """Give back to the file system what the file does not need, a little at a time; the size before and after.

    Raises:
        EngineError: the file can only be made smaller as a whole, while no process uses it.
    """
    with store.peek() as connection:
        [[setting]] = connection.execute("PRAGMA auto_vacuum").fetchall()
    if setting != INCREMENTAL:
        raise EngineError(
            f"{store.path} was made by another program, without the setting by which a file gives room back while it "
            "is used. Stop what uses it, and run once: "
            f"sqlite3 {store.path} 'PRAGMA auto_vacuum = INCREMENTAL; VACUUM'"
        )
    store.checkpoint()
    before = Path(store.path).stat().st_size
    while _give_back_some(store):
        pass
    store.checkpoint()
    return before, Path(store.path).stat().st_size


def _give_back_some(store: Transactions) -> bool:
    """Whether there may be more."""
    with store.write() as connection:
        [[before]] = connection.execute("PRAGMA freelist_count").fetchall()
        connection.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})").fetchall()
        [[after]] = connection.execute("PRAGMA freelist_count").fetchall()
    return bool(0 < after < before)


def _sync(path: str) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
