"""A checkpoint of a long run: which lines are done, and what came of them. On the embedded engine's own store.

What has gathered is written in one transaction (`flush`), which survives the death of the process. A run
that was killed reads the results of what it had done instead of doing it again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Sequence

from steadypool.durable.engine.errors import EngineError, OtherRun
from steadypool.durable.engine.sqlite.store import Store
from steadypool.durable.engine.url import SqliteAddress

PATIENCE = 10.0
_TABLES = (
    "CREATE TABLE IF NOT EXISTS journal_run (name TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS journal (line INTEGER PRIMARY KEY, digest BLOB NOT NULL, result TEXT NOT NULL)",
)


class Journal:
    """The journal in the file at *path*, for the run called *run*.

    Raises:
        OtherRun: the file is the journal of another run, or another process writes to it at this moment.
        EngineError: it cannot be used.
    """

    def __init__(self, path: str, run: str) -> None:
        self._turn = _take_turn(path)
        try:
            self._open(path, run)
        except BaseException:
            os.close(self._turn)
            raise

    def _open(self, path: str, run: str) -> None:
        self._store = Store(SqliteAddress(path, "NORMAL"), PATIENCE)
        self._noted: list[tuple[int, bytes, str]] = []
        with self._store.write(make_tables=False) as connection:
            for statement in _TABLES:
                connection.execute(statement)
            found = connection.execute("SELECT name FROM journal_run").fetchall()
            if not found:
                connection.execute("INSERT INTO journal_run VALUES (?)", (run,))
            [[self.done]] = connection.execute("SELECT count(*) FROM journal").fetchall()
        if found and found[0][0] != run:
            raise OtherRun(f"{path} is the journal of another run ({found[0][0]}); give another file, or remove it")

    def result_of(self, line: int, text: str) -> str | None:
        """What came of that line in an earlier run; ``None`` if it is not done.

        Raises:
            OtherRun: the line was another one then.
        """
        if not self.done:
            return None
        with self._store.peek() as connection:
            found = connection.execute("SELECT digest, result FROM journal WHERE line = ?", (line,)).fetchall()
        if not found:
            return None
        digest, result = found[0]
        if digest != _digest(text):
            raise OtherRun(f"line {line} of the input is not what it was when the journal was written")
        return result.decode("utf-8", "surrogatepass") if isinstance(result, bytes) else str(result)

    def note(self, line: int, text: str, result: str) -> None:
        """A line is done."""
        self._noted.append((line, _digest(text), result))

    def flush(self) -> None:
        """Write down what was noted."""
        if self._noted:
            self._write(self._noted)
            self._noted = []

    def close(self) -> None:
        """Write down everything and close the file."""
        try:
            self.flush()
        finally:
            self._store.close()
            os.close(self._turn)

    def _write(self, rows: Sequence[tuple[int, bytes, str]]) -> None:
        stored = [(line, digest, _storable(result)) for line, digest, result in rows]
        with self._store.write(make_tables=False) as connection:
            connection.executemany("INSERT OR REPLACE INTO journal VALUES (?, ?, ?)", stored)


def _take_turn(path: str) -> int:
    """A descriptor that holds the journal for this process alone, until it is closed."""
    # A file of its own: to close one of the journal's would drop the locks that SQLite has on it.
    try:
        descriptor = os.open(f"{path}-run", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except FileNotFoundError:
        raise EngineError(f"the journal {path} cannot be made: there is no folder {os.path.dirname(path)}") from None
    except OSError as error:
        raise EngineError(f"the journal {path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise OtherRun(
            f"another run writes to the journal {path} now; wait for its end, or give another file"
        ) from error
    return descriptor


def _storable(result: str) -> str | bytes:
    """SQLite has no text for lone surrogates, which stand for bytes of the input that are no UTF-8."""
    return result if result.isascii() else result.encode("utf-8", "surrogatepass")


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()
