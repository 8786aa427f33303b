"""The tables, as numbered steps. A step that was released is never changed; a new version appends one.

jobs      one row for each job that has not ended; written once, deleted once, unless it comes back from a claim
ready     what may be claimed, in the order in which it is
delayed   what waits for a moment; with its task, queue and rank: for a worker that knows the task (`sqlite.aside`)
workers   who works, by a random number; renewing a lease touches this row alone
leases    one row for each claim of many jobs, by a random number: ``[[number, token], …]``, and the lowest and highest
history   jobs that have ended, until ``keep_until``
errors    failed attempts, of jobs and of history
keys      what is taken: ids (scope ``''``) and unique keys (scope: the task)
cancels   running jobs that are to be cancelled
queues    those that are paused
counters  the last number given to a job
"""

from __future__ import annotations

from typing import Any

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE jobs (
            number INTEGER PRIMARY KEY, nonce INTEGER NOT NULL, id TEXT, queue TEXT NOT NULL,
            task TEXT NOT NULL, rank INTEGER NOT NULL,
            attempt INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0, losses INTEGER NOT NULL DEFAULT 0,
            returns INTEGER NOT NULL DEFAULT 0, enqueued_at REAL NOT NULL, expires_at REAL, keep REAL NOT NULL,
            unique_key TEXT, unique_held INTEGER NOT NULL DEFAULT 0, options BLOB, payload BLOB NOT NULL)""",
        """CREATE TABLE ready (queue TEXT NOT NULL, rank INTEGER NOT NULL, number INTEGER NOT NULL,
            PRIMARY KEY (queue, rank, number)) WITHOUT ROWID""",
        """CREATE TABLE delayed (due REAL NOT NULL, number INTEGER NOT NULL, retry INTEGER NOT NULL,
            task TEXT, queue TEXT, rank INTEGER, PRIMARY KEY (due, number)) WITHOUT ROWID""",
        "CREATE UNIQUE INDEX delayed_job ON delayed (number)",
        "CREATE INDEX delayed_to_list ON delayed (retry, number)",
        "CREATE INDEX delayed_aside ON delayed (task, rank, number) WHERE task IS NOT NULL",
        """CREATE TABLE workers (number INTEGER PRIMARY KEY, name TEXT NOT NULL, since REAL NOT NULL,
            boot TEXT NOT NULL, steady_until REAL NOT NULL, wall_until REAL NOT NULL, progress TEXT)""",
        """CREATE TABLE leases (number INTEGER PRIMARY KEY, worker INTEGER NOT NULL, lowest INTEGER NOT NULL,
            highest INTEGER NOT NULL, jobs TEXT NOT NULL, since REAL NOT NULL)""",
        "CREATE INDEX leases_of_worker ON leases (worker)",
        """CREATE TABLE history (
            number INTEGER PRIMARY KEY, nonce INTEGER NOT NULL, id TEXT, queue TEXT NOT NULL,
            task TEXT NOT NULL, rank INTEGER NOT NULL,
            attempt INTEGER NOT NULL, crashes INTEGER NOT NULL, losses INTEGER NOT NULL, returns INTEGER NOT NULL,
            enqueued_at REAL NOT NULL, keep REAL NOT NULL, unique_key TEXT, unique_held INTEGER NOT NULL,
            options BLOB, payload BLOB,
            state TEXT NOT NULL, ended_at REAL NOT NULL, keep_until REAL NOT NULL, result BLOB, reason TEXT NOT
            NULL)""",
        "CREATE INDEX history_to_prune ON history (keep_until)",
        "CREATE INDEX history_discarded ON history (queue) WHERE state = 'discarded'",
        "CREATE INDEX history_to_list ON history (state, number) WHERE state <> 'completed'",
        """CREATE TABLE errors (job INTEGER NOT NULL, attempt INTEGER NOT NULL, at REAL NOT NULL, outcome TEXT NOT NULL,
            type_name TEXT NOT NULL, message TEXT NOT NULL, traceback TEXT NOT NULL)""",
        "CREATE INDEX errors_of_job ON errors (job)",
        """CREATE TABLE keys (scope TEXT NOT NULL, key TEXT NOT NULL, job INTEGER NOT NULL, until REAL,
            PRIMARY KEY (scope, key)) WITHOUT ROWID""",
        "CREATE INDEX keys_to_prune ON keys (until) WHERE until IS NOT NULL",
        "CREATE TABLE cancels (job INTEGER PRIMARY KEY, nonce INTEGER NOT NULL)",
        "CREATE TABLE queues (name TEXT PRIMARY KEY, paused INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO counters VALUES ('job', 0)",
    ),
)
VERSION = len(STEPS)
OLDEST = 1
"""The oldest version of the tables that this code works with: two versions of workers run side by side in a deploy."""


def found_version(connection: Any) -> int:
    """Which version the tables of *connection* have; 0 if there are none."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'steadypool_schema'").fetchall():
        return 0
    [[version]] = connection.execute("SELECT version FROM steadypool_schema").fetchall()
    return int(version)


def pending_statements(found: int) -> tuple[str, ...]:
    """What brings tables of version *found* up to date."""
    return tuple(statement for step in STEPS[found:] for statement in step)


def apply_pending(connection: Any, found: int) -> tuple[str, ...]:
    """Run it, in the transaction that *connection* is in."""
    statements = pending_statements(found)
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.execute("CREATE TABLE IF NOT EXISTS steadypool_schema (version INTEGER NOT NULL)").fetchall()
    connection.execute("DELETE FROM steadypool_schema").fetchall()
    connection.execute("INSERT INTO steadypool_schema VALUES (?)", (VERSION,)).fetchall()
    return statements
