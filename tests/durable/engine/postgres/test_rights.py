"""Least rights: each of the three roles can do its part, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from steadypool.durable.engine.errors import EngineError
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter, NewJob
from tests.durable.engine.postgres.server import TABLES, in_database

JOB = NewJob("app.work", b'{"a":["secret"]}')


@pytest.fixture
def as_role(address: str) -> Callable[[str], Engine]:
    def open_as(role: str) -> Engine:
        return open_engine(in_database(address, name_of(address), f"some_{role}"))

    return open_as


def name_of(address: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(address)["dbname"])


def test_an_enqueuer_puts_and_cancels_and_reads_nothing(as_role: Callable[[str], Engine]) -> None:
    engine = as_role("enqueuer")
    [placed] = engine.put_many([JOB])
    engine.cancel(placed.number, placed.nonce)
    for refused in (
        lambda: engine.get(placed.id),
        lambda: engine.list(JobFilter()),
        lambda: engine.register("w", 1),
        lambda: engine.claim(1, ["default"], 1),
        lambda: engine.pause("default", True),
        lambda: engine.prune(1),
    ):
        with pytest.raises(EngineError, match="permission denied"):
            refused()
    engine.close()


def test_an_enqueuer_s_own_transaction(address: str) -> None:
    engine = open_engine(address)
    with psycopg.connect(in_database(address, name_of(address), "some_enqueuer")) as connection:
        [placed] = engine.put_on(connection, [JOB])
    assert engine.get(placed.id) is not None
    engine.close()


def test_a_reader_reads_and_changes_nothing(as_role: Callable[[str], Engine], address: str) -> None:
    owner = open_engine(address)
    [placed] = owner.put_many([JOB])
    engine = as_role("reader")
    assert engine.get(placed.id) is not None and len(engine.list(JobFilter())) == 1 and engine.stats().queues
    for refused in (
        lambda: engine.put_many([JOB]),
        lambda: engine.cancel(placed.number, placed.nonce),
        lambda: engine.retry(1, 1),
    ):
        with pytest.raises(EngineError, match="permission denied"):
            refused()
    engine.close()
    owner.close()


@pytest.mark.parametrize("role", ["enqueuer", "worker", "reader"])
def test_nobody_touches_a_table(role: str, address: str) -> None:
    with psycopg.connect(in_database(address, name_of(address), f"some_{role}"), autocommit=True) as connection:
        for table in TABLES:
            for statement in (f"SELECT * FROM steadypool.{table}", f"DELETE FROM steadypool.{table}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)  # type: ignore[call-overload]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT steadypool.take_key('', 'x', 1, NULL, now())")


def test_who_has_no_role_does_not_see_the_schema(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DO $$ BEGIN CREATE USER nobody_s; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    engine = open_engine(in_database(address, name_of(address), "nobody_s"))
    with pytest.raises(EngineError, match="permission denied"):
        engine.put_many([JOB])
    engine.close()
