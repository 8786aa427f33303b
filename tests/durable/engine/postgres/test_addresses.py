"""Addresses that go through libpq: what stands in them holds in the session."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from steadypool import EngineGone, Queue
from steadypool.durable.engine.protocol import Engine

SETTINGS = (
    "SELECT current_setting('statement_timeout'), current_setting('application_name'), "
    "current_setting('default_transaction_isolation')"
)


def settings_of(queue: Queue) -> tuple[str, str, str]:
    engine: Engine = queue.engine
    engine.stats()
    [found] = engine._session.call(SETTINGS)  # type: ignore[attr-defined]
    return tuple(found)  # type: ignore[return-value]


def test_options_and_names_with_spaces(address: str) -> None:
    with Queue(f"{address}&options=-c%20statement_timeout%3D5000&application_name=my%20app") as queue:
        assert settings_of(queue) == ("5s", "my app", "read committed")


def test_the_environment_s_options(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=6000")
    monkeypatch.setenv("PGAPPNAME", "their app")
    with Queue(address) as queue:
        assert settings_of(queue) == ("6s", "their app", "read committed")


def test_a_service(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            f"ALTER DATABASE {connection.info.dbname} SET default_transaction_isolation = 'serializable'"
        )  # type: ignore[call-overload]
    where = conninfo_to_dict(address)
    lines = [f"{name}={where[name]}" for name in ("host", "user", "dbname")]
    file = tmp_path / "services"
    file.write_text("\n".join(["[mine]", *lines, "options=-c statement_timeout=7000", "application_name=served", ""]))
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    for queue in (Queue("postgresql://?service=mine"), Queue("postgresql:///?service=mine")):
        with queue:
            assert settings_of(queue) == ("7s", "served", "read committed")
    monkeypatch.setenv("PGSERVICE", "mine")
    with Queue("postgresql://") as queue:
        assert settings_of(queue) == ("7s", "served", "read committed")


def test_a_database_with_a_name_to_be_quoted(address: str) -> None:
    name = "jobs #1 / a%b"
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"'.encode())
    host = conninfo_to_dict(address)["host"]
    try:
        with Queue(f"postgresql://owner@/jobs%20%231%20%2F%20a%25b?host={host}") as queue:
            queue.engine.migrate()
            assert queue.list() == []
    finally:
        with psycopg.connect(address, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def test_a_setting_that_the_server_refuses_is_no_matter_of_poolers(address: str) -> None:
    with Queue(f"{address}&options=-c%20statement_timeout%3Dsoon") as queue, pytest.raises(EngineGone) as refused:
        queue.stats()
    assert "statement_timeout" in str(refused.value) and "pooled" not in str(refused.value)
