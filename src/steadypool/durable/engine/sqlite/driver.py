"""The two libraries that reach SQLite from Python, made to look alike, and their errors made ours.

One process must not open one file with both: each would drop the file locks of the other when it closes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from steadypool.durable.engine.errors import (
    EngineBusy,
    EngineError,
    EngineFull,
    EngineGone,
    EngineRefused,
    SchemaMismatch,
)

TOO_BIG, CONSTRAINT, MISMATCH = 18, 19, 20
BUSY, LOCKED, READONLY, IO_ERROR, FULL, CANNOT_OPEN = 5, 6, 8, 10, 13, 14
LEAST = (3, 24, 0)
"""The oldest SQLite that understands our statements (upserts)."""

WAL_RESET_BUG = ((3, 7, 0), (3, 51, 3))
"""Versions from the first on and before the second can damage a file when one connection checkpoints while another
commits and begins the write-ahead log anew."""
WAL_RESET_MENDED = {(3, 44): 6, (3, 50): 7}
"""Lines of older versions in which it was mended too, and since when."""


class Connection(Protocol):
    """What both libraries' connections have."""

    def execute(self, statement: str, values: Any = ..., /) -> Any:
        """Run one statement; returns something with ``fetchall``."""

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> Any:
        """Run one statement for each row."""

    def close(self) -> None:
        """Close it."""


def connect(path: str, driver: str, *, read_only: bool = False) -> Any:
    """A connection that begins no transaction on its own, for use by any thread, one at a time."""
    if driver == "apsw":
        apsw = _import_apsw()
        flags = apsw.SQLITE_OPEN_READWRITE if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        return apsw.Connection(path, flags=flags)
    from urllib.parse import quote

    mode = "rw" if read_only else "rwc"
    return sqlite3.connect(f"file:{quote(path)}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False)


def set_busy_timeout(connection: Any, seconds: float) -> None:
    """How long a statement waits for a lock of a program that does not know of our own."""
    connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


def sqlite_version(driver: str) -> tuple[int, ...]:
    """The version of the SQLite behind *driver*."""
    if driver == "apsw":
        return tuple(int(part) for part in _import_apsw().sqlite_lib_version().split("."))
    return sqlite3.sqlite_version_info


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether that version of SQLite has the bug."""
    first, mended = WAL_RESET_BUG
    if not first <= version < mended:
        return False
    patch = WAL_RESET_MENDED.get((version[0], version[1]))
    return patch is None or version[2] < patch


def errors_of(driver: str) -> tuple[type[BaseException], ...]:
    """What the library raises when SQLite says no, and when a value is nothing that SQLite could be given."""
    values = (UnicodeError, OverflowError, MemoryError)
    if driver == "apsw":
        return (_import_apsw().Error, *values)
    return (sqlite3.Error, *values)


def translate(error: BaseException, path: str) -> EngineError | SchemaMismatch:
    """Our error for the library's."""
    code = getattr(error, "sqlite_errorcode", None) or getattr(error, "extendedresult", None) or 0
    primary = int(code) & 0xFF
    if primary in (BUSY, LOCKED):
        return EngineBusy(f"{path} is locked by another connection: {error}")
    if primary == FULL:
        return EngineFull(f"there is no room left for {path}: {error}")
    if primary in (IO_ERROR, CANNOT_OPEN, READONLY):
        return EngineGone(f"{path} cannot be used: {error}")
    if primary in (TOO_BIG, CONSTRAINT, MISMATCH) or isinstance(error, (UnicodeError, OverflowError, MemoryError)):
        return EngineRefused(f"{path} cannot keep this: {type(error).__name__}: {error}")
    if "no such table" in str(error) or "no such column" in str(error):
        return SchemaMismatch(
            f"{path} has not the tables of a queue ({error}); run: steadypool migrate sqlite:///{path}"
        )
    return EngineError(f"{path}: {type(error).__name__}: {error}")


def _import_apsw() -> Any:
    try:
        import apsw
    except ImportError:
        raise ImportError(
            "driver=apsw needs the library apsw: pip install 'steadypool[apsw]', or leave driver=… out of the address"
        ) from None
    return apsw
