"""A hundred thousand schedules: how much a look costs of which one is due, and how long all of them at one moment take.

Their jobs go to a queue that no worker works on: what is measured is the putting. The database and four workers share
the machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from time import perf_counter, sleep
from typing import Any

import psycopg

from bench.rounds import Effort
from bench.tables import Table, Target
from steadypool import Every, JobState, Queue
from steadypool.durable.client.ticks import kept_as
from steadypool.durable.engine.records import JobFilter, tick_of_id
from tests.durable.engine.postgres import server

MANY = 100_000
WORKERS = 4
MOST_SECONDS, MOST_PAGES = 60.0, 10
queue = Queue()


@queue.task(queue="elsewhere")
def invoice(tenant: int) -> None:
    """What each schedule puts."""


def schedules(effort: Effort) -> Table:
    """The table. Needs the shared server of `bench.postgres`."""
    many = MANY // (10 if effort.quick else 1)
    with server.database(server.template()) as url:
        pages = _pages(url, many)
        postgres = _flood(url, many)
    with tempfile.TemporaryDirectory(prefix="steadypool-bench-") as folder:
        sqlite = _flood(f"sqlite:///{folder}/jobs.db", many)
    rows = [
        ("pages read by a look of which one is due, PostgreSQL", f"{pages}"),
        (f"all due at once, {WORKERS} workers, PostgreSQL", f"{postgres:.1f} s"),
        (f"all due at once, {WORKERS} workers, SQLite", f"{sqlite:.1f} s"),
    ]
    targets = [
        Target(f"at most {MOST_PAGES} pages", pages, pages <= MOST_PAGES),
        Target(
            f"each put once within {MOST_SECONDS:.0f} s", max(postgres, sqlite), max(postgres, sqlite) <= MOST_SECONDS
        ),
    ]
    data = {"schedules": many, "pages": pages, "postgres": postgres, "sqlite": sqlite}
    return Table("schedules", f"{many:,} schedules", ("", "figure"), rows, data, targets=targets)


def _pages(url: str, many: int) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        _fill_postgres(connection, many)
        connection.execute("UPDATE steadypool.schedules SET due = now() - interval '1 s' WHERE name = 'tenant-7'")
        connection.execute("VACUUM ANALYZE steadypool.schedules")
        look = "SELECT name FROM steadypool.due_schedules('{}', 100, 0)"
        for _ in range(3):  # what the session learns once is not looked up again
            connection.execute(look.encode())
        [[plan]] = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {look}".encode()).fetchall()
        connection.execute("DELETE FROM steadypool.schedules")
    return int(plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"])


def _fill_postgres(connection: psycopg.Connection[Any], many: int) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY steadypool.schedules (name, origin, definition, job, hash, due, seen_at) FROM STDIN") as copy,
    ):
        for row in _rows(many):
            copy.write_row((*row, "2100-01-01", "2000-01-01"))


def _rows(many: int) -> list[tuple[str, str, str, str, str]]:
    made = [kept_as(f"tenant-{n}", Every(days=30), invoice.call(n).to_json(), 0.0) for n in range(many)]
    return [(new.name, "data", new.definition, new.job, new.hash) for new in made]


def _flood(url: str, many: int) -> float:
    """Seconds from the moment at which all are due until all jobs are there."""
    os.environ["STEADYPOOL_URL"] = url
    with closing(Queue(url)) as store:
        store.engine.migrate()
        _fill(url, many)
        command = [sys.executable, "-m", "steadypool.cli", "work", "bench.schedules:queue", "--kind", "thread"]
        workers = [
            subprocess.Popen([*command, "--workers", "1", "--log-level", "error"], stderr=subprocess.DEVNULL)
            for _ in range(WORKERS)
        ]
        try:
            while len(store.stats().workers) < WORKERS:
                sleep(0.05)
            began = perf_counter()
            _make_due(url)
            while store.engine.schedules.due([], 1).rows:
                sleep(0.1)
            seconds = perf_counter() - began
            sleep(1.0)
            _check_once(store, many)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
    return seconds


def _check_once(store: Queue, many: int) -> None:
    """Each schedule has put one job, and no other."""
    waiting = frozenset({JobState.AVAILABLE})
    put = {tick_of_id(record.id) for record in store.engine.list(JobFilter(waiting, limit=2 * many))}
    if len(put) != many or _put(store) != many:
        raise RuntimeError(f"{_put(store)} jobs for {len(put)} ticks of {many} schedules")


def _put(store: Queue) -> int:
    return sum(row.available for row in store.stats().queues)


def _fill(url: str, many: int) -> None:
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as connection:
            _fill_postgres(connection, many)
        return
    _in_file(
        url,
        "INSERT INTO schedules (name, origin, definition, job, hash, due, seen_at) VALUES (?, ?, ?, ?, ?, 4e9, 0)",
        _rows(many),
    )


def _make_due(url: str) -> None:
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE steadypool.schedules SET due = date_trunc('second', now())")
        return
    _in_file(url, "UPDATE schedules SET due = CAST(strftime('%s', 'now') AS REAL)", [()])


def _in_file(url: str, statement: str, rows: list[Any]) -> None:
    """In a process of its own, by the turn of the queue's own writers."""
    program = (
        "import json, sys; from steadypool import Queue\n"
        "with Queue(sys.argv[1]).engine._store.write() as c: c.executemany(sys.argv[2], json.load(sys.stdin))"
    )
    subprocess.run([sys.executable, "-c", program, url, statement], input=json.dumps(rows), text=True, check=True)
