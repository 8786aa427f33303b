"""Tables of version 1 with jobs in them are brought up to date, and lose nothing; an old worker goes on beside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from steadypool.durable.engine.errors import SchemaMismatch
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.postgres import rows
from steadypool.durable.engine.postgres import schema as postgres_schema
from steadypool.durable.engine.postgres.engine import PostgresEngine
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import EnqueueResult, JobFilter, NewJob
from steadypool.durable.engine.sqlite import schema as sqlite_schema
from steadypool.durable.engine.url import PostgresAddress, parse_postgres
from tests.durable.conformance.steps import again, complete, give_up, job, put, take, worker
from tests.durable.engine.postgres import server


def _version_one() -> dict[ModuleType, dict[str, Any]]:
    return {
        postgres_schema: {"VERSION": 1, "OLDEST": 1, "all_steps": lambda: (postgres_schema._read("0001.sql"),)},
        sqlite_schema: {"VERSION": 1, "OLDEST": 1, "STEPS": sqlite_schema.STEPS[:1]},
    }


class VersionOne(PostgresEngine):
    """Puts, registers and claims as version 1 does. All else that it calls is as it was."""

    def __init__(self, address: PostgresAddress) -> None:
        super().__init__(address)
        self._claims._plain = self._claims._plain.replace("steadypool.is_gated()", "false")

    def put_many(self, jobs: Sequence[NewJob], *, waits: bool = True) -> list[EnqueueResult]:
        [answer] = self._session.call(_PUT, [*rows.columns_of(jobs), True, None if waits else "20ms"])
        return rows.placed_of(jobs, answer)

    def register(
        self, name: str, seconds: float, queues: Sequence[str] | None = None, tasks: Sequence[str] | None = None
    ) -> int:
        [(number,)] = self._call("register(%s, %s::float8)", [name, seconds])
        return int(number)


_PUT = (
    "SELECT * FROM steadypool.put(%b::bytea[], %s::text[], %s::text[], %s::bigint[], %s::float8[], %s::float8[], "
    "%s::text[], %s::text[], %s::float8[], %s::float8[], %s::float8[], %b::bytea[], %s, %s::text)"
)


def open_version_one(url: str) -> VersionOne:
    return VersionOne(parse_postgres(url))


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/jobs.db"
        return
    with server.database() as url:
        yield url


def fill(url: str) -> None:
    """Jobs in every state, by tables of version 1. The statements are those of version 1 on both engines."""
    if url.startswith("sqlite"):
        fill_file(url)
        return
    engine = open_version_one(url)
    engine.migrate()
    who = worker(engine)
    for name in ("completed", "discarded", "running", "retryable"):
        put(engine, id=name)
    done, given_up, _, later = take(engine, who)
    engine.settle_many([complete(done, b"1"), give_up(given_up), again(later, 60.0)])
    put(engine, id="available", priority=7)
    put(engine, id="scheduled", delay=60.0)
    engine.close()


def fill_file(url: str) -> None:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    sqlite_schema.apply_pending(connection, 0)
    states = ("completed", "discarded", "running", "retryable", "available", "scheduled")
    connection.execute("UPDATE counters SET value = 6 WHERE name = 'job'")
    for number, name in enumerate(states, 1):
        connection.execute("INSERT INTO keys VALUES ('', ?, ?, NULL)", (name, number))
        if number <= 2:
            connection.execute(
                "INSERT INTO history VALUES (?, 9, ?, 'default', 't', 0, 1, 0, 0, 1, 1.0, 60.0, NULL, 0, NULL, "
                "CAST('{}' AS BLOB), ?, 2.0, 4e9, NULL, '')",
                (number, name, name),
            )
            continue
        connection.execute(
            "INSERT INTO jobs (number, nonce, id, queue, task, rank, enqueued_at, keep, payload) "
            "VALUES (?, 9, ?, 'default', 't', ?, 1.0, 60.0, CAST('{}' AS BLOB))",
            (number, name, -7 if name == "available" else 0),
        )
    connection.execute("INSERT INTO workers VALUES (5, 'old', 1.0, 'another boot', 0.0, 4e9, NULL)")
    connection.execute("INSERT INTO leases VALUES (6, 5, 3, 3, '[[3, 1]]', 1.0)")
    connection.execute("INSERT INTO delayed (due, number, retry) VALUES (4e9, 4, 1), (4e9, 6, 0)")
    connection.execute("INSERT INTO ready VALUES ('default', -7, 5)")
    connection.commit()
    connection.close()


def test_jobs_in_every_state_outlive_the_step(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as one:
        for module, names in _version_one().items():
            for name, value in names.items():
                one.setattr(module, name, value)
        fill(store)
    engine = open_engine(store)
    with pytest.raises(SchemaMismatch, match="steadypool migrate"):
        engine.put_many([job()])
    found = engine.migrate()
    assert (found.found, found.wanted) == (1, 2) and found.pending
    assert engine.migrate().pending == ()
    records = {record.id: record for record in engine.list(JobFilter())}
    assert {job_id: record.state.value for job_id, record in records.items()} == {name: name for name in records}
    assert len(records) == 6 and records["available"].priority == 7
    check_that_they_go_on(engine)
    engine.close()


def check_that_they_go_on(engine: Engine) -> None:
    who = worker(engine)
    [claim] = take(engine, who)
    assert claim.id == "available"
    engine.settle_many([complete(claim, b"2")])
    discarded, later = engine.get("discarded"), engine.get("retryable")
    assert discarded is not None and later is not None
    engine.retry(discarded.number, discarded.nonce)
    engine.retry(later.number, later.nonce)
    claims = take(engine, who)
    assert {claim.id for claim in claims} == {"discarded", "retryable"}
    engine.settle_many([complete(one) for one in claims])
    assert {r.id for r in engine.list(JobFilter()) if r.state.value == "completed"} == {
        "completed",
        "available",
        "discarded",
        "retryable",
    }


def test_a_worker_of_version_one_goes_on_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL. What it calls is what version 1 has called: its functions keep their signatures."""
    with server.database() as url:
        with monkeypatch.context() as one:
            for name, value in _version_one()[postgres_schema].items():
                one.setattr(postgres_schema, name, value)
            old = open_version_one(url)
            old.migrate()
            who = worker(old)
            put(old, id="before")
        signatures = _signatures(url)
        new = open_engine(url)
        new.migrate()
        assert signatures.items() <= _signatures(url).items()
        assert [row.queues for row in new.workers()] == [None], "it has not said which it serves"
        put(old, id="by the old one")
        put(new, id="by the new one")
        claims = take(old, who)
        assert {claim.id for claim in claims} == {"before", "by the old one", "by the new one"}
        old.settle_many([complete(claims[0]), give_up(claims[1]), again(claims[2])])
        assert {record.state.value for record in new.list(JobFilter())} == {"completed", "discarded", "available"}
        old.close()
        new.close()


def _signatures(url: str) -> dict[str, str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT p.oid::regprocedure::text, pg_get_function_result(p.oid) FROM pg_proc p "
            "WHERE p.pronamespace = 'steadypool'::regnamespace"
        )
        return dict(found.fetchall())
