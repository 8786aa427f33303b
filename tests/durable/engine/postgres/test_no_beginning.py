"""A worker to which the database says no when it begins: one line, and exit code 2."""

from __future__ import annotations

import os

import psycopg
import pytest

from steadypool import EngineGone, Queue
from tests.durable.engine.postgres.server import in_database
from tests.durable.programs import start_worker

HINDRANCES = {
    "read only": "ALTER DATABASE {database} SET default_transaction_read_only = on",
    "no right": "CREATE USER {user}",
    "no right any more": "CREATE USER {user} IN ROLE steadypool_worker; "
    "REVOKE EXECUTE ON FUNCTION steadypool.register_for FROM steadypool_worker",
    "no connection": "CREATE USER {user} IN ROLE steadypool_worker CONNECTION LIMIT 0",
    "one connection": "CREATE USER {user} IN ROLE steadypool_worker CONNECTION LIMIT 1",
    "no login": "CREATE ROLE {user} IN ROLE steadypool_worker",
    "no table": "ALTER TABLE steadypool.workers RENAME TO others",
}


@pytest.mark.parametrize("kind", ["thread", "process"])
@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_a_worker_that_may_not_begin(address: str, monkeypatch: pytest.MonkeyPatch, hindrance: str, kind: str) -> None:
    user = f"hindered_{os.getpid()}"
    with psycopg.connect(address, autocommit=True) as admin:
        statement = HINDRANCES[hindrance].format(database=admin.info.dbname, user=user)
        admin.execute(statement.encode())
        name = user if "{user}" in HINDRANCES[hindrance] else None
        monkeypatch.setenv("STEADYPOOL_URL", in_database(address, admin.info.dbname, name) if name else address)
        worker = start_worker("--kind", kind, "--until-empty")
        code = worker.end()
        if name:
            admin.execute(f"DROP OWNED BY {user}".encode())
            admin.execute(f"DROP ROLE {user}".encode())
        admin.execute(f"ALTER DATABASE {admin.info.dbname} RESET default_transaction_read_only".encode())
    said = "".join(worker.said)
    assert code == 2 and said.count("\n") == 1 and said.startswith("Error: "), said


def test_one_that_finds_the_tables_locked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADYPOOL_URL", address)
    with psycopg.connect(address) as admin:
        admin.execute("LOCK TABLE steadypool.workers IN ACCESS EXCLUSIVE MODE")
        worker = start_worker("--kind", "thread", "--until-empty")
        assert worker.end() == 2
    said = "".join(worker.said)
    assert said.count("\n") == 1 and "took longer than" in said, said


def test_one_whose_database_is_not_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADYPOOL_URL", in_database(address, "none_of_ours"))
    worker = start_worker("--kind", "thread", "--until-empty")
    assert worker.end() == 2
    said = "".join(worker.said)
    assert said.count("\n") == 1 and "does not exist" in said, said


def test_an_enqueue_where_nothing_can_be_written(address: str) -> None:
    """It says what is certain: a database that only reads has taken nothing."""
    queue = Queue(f"{address}&options=-c%20default_transaction_read_only%3Don")
    task = queue.task(name="t")(same)
    with queue, pytest.raises(EngineGone, match="nothing was enqueued") as raised:
        task.enqueue(1)
    assert raised.value.nothing_happened


def same(number: int) -> int:
    return number
