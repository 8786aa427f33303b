"""A checkpoint of a long run: which lines are done, and what came of them. On the embedded engine's own store.

What has gathered is written in one transaction (`flush`), which survives the death of the process. A run
that was killed reads the results of what it had done instead of doing it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from steadypool.durable.address import SqliteAddress
from steadypool.durable.errors import OtherRun
from steadypool.durable.sqlite.store import Store

PATIENCE = 10.0
_TABLES = (
    "CREATE TABLE IF NOT EXISTS journal_run (name TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS journal (line INTEGER PRIMARY KEY, digest BLOB NOT NULL, result TEXT NOT NULL)",
)


class Journal:
    """The journal in the file at *path*, for the run called *run*.

    Raises:
        OtherRun: the file is the journal of another run.
        EngineError: it cannot be used.
    """

    def __init__(self, path: str, run: str) -> None:
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
        return str(result)

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
        self.flush()
        self._store.close()

    def _write(self, rows: Sequence[tuple[int, bytes, str]]) -> None:
        with self._store.write(make_tables=False) as connection:
            connection.executemany("INSERT OR REPLACE INTO journal VALUES (?, ?, ?)", rows)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()
