"""The tables, as numbered steps. A step that was released is never changed; a new version appends one.

jobs      one row for each job that has not ended; written once, deleted once, unless it comes back from a claim
ready     what may be claimed, in the order in which it is
delayed   what waits for a moment; with its task, queue and rank: for a worker that knows the task (`sqlite.aside`)
workers   who works, by a random number, for which queues and tasks; renewing a lease touches this row alone
leases    one row for each claim of many jobs, by a random number: ``[[number, token], …]``, and the lowest and highest
history   jobs that have ended, until ``keep_until``
errors    failed attempts, of jobs and of history
keys      what is taken: ids (scope ``''``) and unique keys (scope: the task)
cancels   running jobs that are to be cancelled
queues    those that are paused
counters  the last number given to a job; by how many seconds a test has moved the clock

Version 2:

schedules    what is put on a schedule; ``due`` is when its next job is to be put (`sqlite.schedules`)
limits       limits: what the code says, and what was set by hand; ``gated``: available jobs with gates or a lane,
             instead of ``ready``; ``holders``: who has a place of a gate; ``gate_states``: when the next start of each
             is due if they come evenly spaced (`durable.engine.turns`)
batches      batches: how many members each has, and how many of them have ended (`sqlite.batches`)
edges        which job waits for which; ``waiting``: where it stands meanwhile, and when it may run (`sqlite.edges`)
notes        what jobs have saved for their next run (`durable.engine.notes`)
starts       who began each attempt, and when
minutes      what ended in each minute
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
    (
        *(
            f"ALTER TABLE {table} ADD COLUMN {column}"
            for table in ("jobs", "history")
            for column in ("tags TEXT", "gates TEXT", "batch INTEGER", "on_discarded TEXT", "lane TEXT")
        ),
        *(
            f"ALTER TABLE {table} ADD COLUMN {column}"
            for table in ("history", "errors")
            for column in ("worker TEXT", "started_at REAL")
        ),
        "ALTER TABLE workers ADD COLUMN queues TEXT",
        "ALTER TABLE workers ADD COLUMN tasks TEXT",
        "CREATE INDEX jobs_of_batch ON jobs (batch, number) WHERE batch IS NOT NULL",
        "CREATE INDEX history_of_batch ON history (batch, number) WHERE batch IS NOT NULL",
        """CREATE TABLE schedules (
            name TEXT PRIMARY KEY, origin TEXT NOT NULL, app TEXT, release TEXT, definition TEXT NOT NULL,
            job TEXT NOT NULL, hash TEXT NOT NULL, due REAL NOT NULL, last_due REAL, last_job TEXT,
            last_number INTEGER, last_nonce INTEGER, last_skip TEXT, last_skip_at REAL,
            fired INTEGER NOT NULL DEFAULT 0, skipped INTEGER NOT NULL DEFAULT 0,
            paused INTEGER NOT NULL DEFAULT 0, retired_at REAL, seen_at REAL NOT NULL) WITHOUT ROWID""",
        "CREATE INDEX schedules_due ON schedules (due) WHERE NOT paused AND retired_at IS NULL",
        "CREATE INDEX schedules_in_code ON schedules (app) WHERE origin = 'code'",
        """CREATE TABLE limits (name TEXT NOT NULL, key TEXT NOT NULL, by_hand INTEGER NOT NULL, running INTEGER,
            starts INTEGER, per REAL, burst INTEGER, over TEXT NOT NULL DEFAULT 'wait', app TEXT, release TEXT,
            seen_at REAL NOT NULL, PRIMARY KEY (name, key, by_hand)) WITHOUT ROWID""",
        """CREATE TABLE gated (queue TEXT NOT NULL, gates TEXT NOT NULL, lane TEXT NOT NULL, rank INTEGER NOT NULL,
            number INTEGER NOT NULL, PRIMARY KEY (queue, gates, lane, rank, number)) WITHOUT ROWID""",
        "CREATE UNIQUE INDEX gated_job ON gated (number)",
        """CREATE TABLE holders (gate TEXT NOT NULL, key TEXT NOT NULL, number INTEGER NOT NULL,
            PRIMARY KEY (gate, key, number)) WITHOUT ROWID""",
        "CREATE INDEX holders_job ON holders (number)",
        """CREATE TABLE gate_states (gate TEXT NOT NULL, key TEXT NOT NULL, tat REAL NOT NULL,
            PRIMARY KEY (gate, key)) WITHOUT ROWID""",
        "CREATE INDEX gate_states_idle ON gate_states (tat)",
        """CREATE TABLE batches (number INTEGER PRIMARY KEY, name TEXT NOT NULL, parent INTEGER, then_job TEXT,
            finally_job TEXT, on_failure TEXT NOT NULL, total INTEGER NOT NULL DEFAULT 0,
            ended INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
            sealed INTEGER NOT NULL DEFAULT 0, cancelling INTEGER NOT NULL DEFAULT 0, counted TEXT,
            told INTEGER NOT NULL DEFAULT 0, made_at REAL NOT NULL, cancelled_at REAL, then_at REAL, finished_at REAL,
            keep_until REAL)""",
        "CREATE INDEX batches_cancelling ON batches (number) WHERE cancelling",
        "CREATE INDEX batches_to_tell ON batches (number) WHERE finished_at IS NOT NULL AND NOT told",
        "CREATE INDEX batches_of_parent ON batches (parent) WHERE parent IS NOT NULL",
        "CREATE INDEX batches_to_prune ON batches (keep_until) WHERE keep_until IS NOT NULL",
        "CREATE INDEX batches_to_list ON batches (made_at, number)",
        """CREATE TABLE edges (before INTEGER NOT NULL, job INTEGER NOT NULL, nonce INTEGER NOT NULL,
            place INTEGER NOT NULL, needs TEXT NOT NULL, state TEXT NOT NULL, checked INTEGER NOT NULL,
            PRIMARY KEY (before, job)) WITHOUT ROWID""",
        "CREATE INDEX edges_of_job ON edges (job, place)",
        "CREATE INDEX edges_open ON edges (job) WHERE state = 'open'",
        "CREATE INDEX edges_unchecked ON edges (before) WHERE NOT checked",
        "CREATE TABLE waiting (job INTEGER PRIMARY KEY, due REAL)",
        """CREATE TABLE notes (job INTEGER PRIMARY KEY, token INTEGER NOT NULL, saves INTEGER NOT NULL,
            state BLOB NOT NULL, at REAL NOT NULL)""",
        "CREATE TABLE behind (owner INTEGER PRIMARY KEY, number INTEGER NOT NULL, due REAL)",
        "CREATE INDEX behind_of_job ON behind (number)",
        """CREATE TABLE minutes (queue TEXT NOT NULL, task TEXT NOT NULL, minute REAL NOT NULL,
            completed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
            discarded INTEGER NOT NULL DEFAULT 0, ran REAL NOT NULL DEFAULT 0,
            PRIMARY KEY (queue, task, minute)) WITHOUT ROWID""",
        "CREATE INDEX minutes_by_time ON minutes (minute)",
    ),
)
VERSION = len(STEPS)
OLDEST = 2
"""The oldest version of the tables that this code works with: it is `migrate` that brings older ones up to date."""


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
