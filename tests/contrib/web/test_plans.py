"""Every page finds its rows by an index: no statement goes through all of a table that grows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import psycopg

from steadypool import Queue
from steadypool.contrib.web import Access, dashboard
from steadypool.durable.engine.figures import Ended
from steadypool.durable.engine.records import NewJob
from tests.contrib.web.client import Client
from tests.durable.engine.postgres import server
from tests.durable.engines import ENGINES, EngineKind

PAGES = (
    *(
        "/",
        "/errors",
        "/schedules",
        "/queues",
        "/limits",
        "/batches",
        "/workers",
        "/job?id=job-5",
        "/confirm?action=retry&all=1",
    ),
    *(f"/jobs?{which}" for which in ("", "below=900", "task=t1", "tag=x", "queue=default", "error=E", "age=put:60")),
    *(f"/jobs?state={state}" for state in ("available", "scheduled", "retryable", "running", "completed", "waiting")),
    *(f"/jobs?state={state}&task=t1&age=ended:60" for state in ("discarded", "cancelled", "completed")),
)
GROWING = ("jobs", "ready", "delayed", "gated", "waiting", "history", "errors", "minutes", "keys")


def fill(queue: Queue) -> None:
    engine = queue.engine
    engine.put_many([NewJob(f"app.t{n % 5}", b"{}", priority=n % 2, tags=("x",)) for n in range(1000)])
    engine.put_many([NewJob("app.later", b"{}", delay=60.0) for _ in range(100)])
    engine.figures.add([Ended("default", f"app.t{n}", 1) for n in range(50)])


def test_on_sqlite(make_client: Callable[..., Client], queue: Queue) -> None:
    client = make_client()
    fill(queue)
    client.get("/")
    store: Any = client.dashboard._reader.engine
    statements: list[str] = []
    with store._store.peek() as connection:
        connection.set_trace_callback(statements.append)
    for page in PAGES:
        assert client.get(page).status == 200, page
    plans = {}
    with store._store.peek() as connection:
        connection.set_trace_callback(None)
        for statement in statements:
            if statement.lstrip().startswith(("SELECT", "WITH")):
                plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
                plans[statement] = [detail for *_, detail in plan]
    assert len(plans) > 50
    scans = {
        (step, statement)
        for statement, steps in plans.items()
        for step in steps
        if re.match(r"SCAN \w+", step) and "VIRTUAL TABLE" not in step and not is_short(step, statement)
    }
    assert scans == set()


def is_short(step: str, statement: str) -> bool:
    """Whether that goes through a table that does not grow, or ends with the page."""
    table = step.split()[1]
    named = re.search(rf"(?:FROM|JOIN) (\w+) (?:AS )?{table}\b|(?:FROM|JOIN) ({table})\b", statement)
    name = next(filter(None, named.groups()), table) if named else table
    if name not in GROWING:
        return True
    return "LIMIT" in statement


def test_on_postgres(tmp_path: Any) -> None:
    [kind] = [kind for kind in ENGINES if kind.name == "postgres"]
    look_on(kind, tmp_path)


def look_on(kind: EngineKind, folder: Any) -> None:
    """In a session that reads all of a table only where no index would do, however few rows there are."""
    assert kind.store_with_tables is not None
    with kind.store_with_tables(folder) as url, Queue(f"{url}&options=-c%20enable_seqscan%3Doff") as queue:
        fill(queue)
        with psycopg.connect(url, autocommit=True) as connection:
            before = scans_of(connection)
            app = dashboard(queue, access=Access.read("ann"))
            for page in PAGES:
                assert Client(app).get(page).status == 200, page
            app.close()  # its session says what it has done
            after = scans_of(connection)
    assert {table: after[table] - before[table] for table in after if after[table] != before[table]} == {}


def test_the_role_that_reads_sees_every_page() -> None:
    with server.clean_database() as url, Queue(url) as queue:
        fill(queue)
        batch = queue.batch("of one")
        batch.seal()
        reader = server.in_database(url, urlsplit(url).path[1:], "some_reader")
        app = dashboard(Queue(reader), access=Access.act("ann"))
        for page in (*PAGES, f"/batch?id={batch.id}"):
            assert Client(app).get(page).status == 200, page
        answer = Client(app).post("/do/pause", [("what", "queue"), ("name", "default")])
        assert answer.status == 503 and "permission denied" in answer.text
        app.close()


def scans_of(connection: Any) -> dict[str, int]:
    """How often all of a table was read so far."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    connection.execute("SELECT pg_stat_clear_snapshot()")
    found = connection.execute(
        "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE schemaname = 'steadypool' AND relname = ANY (%s)",
        [list(GROWING)],
    )
    return dict(found.fetchall())
