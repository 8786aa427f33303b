"""``steadypool import-celery-beat`` of django-celery-beat's tables, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.program import Program
from tests.cli.queue.beat import pasted
from tests.durable.engine.postgres import server

TABLES = """
CREATE TABLE django_celery_beat_intervalschedule (id {id}, every integer NOT NULL, period varchar(24) NOT NULL);
CREATE TABLE django_celery_beat_crontabschedule (
    id {id}, minute varchar(240) NOT NULL, hour varchar(96) NOT NULL, day_of_week varchar(64) NOT NULL,
    day_of_month varchar(124) NOT NULL, month_of_year varchar(64) NOT NULL, timezone varchar(63) NOT NULL
);
CREATE TABLE django_celery_beat_solarschedule (
    id {id}, event varchar(24) NOT NULL, latitude numeric(9, 6) NOT NULL, longitude numeric(9, 6) NOT NULL
);
CREATE TABLE django_celery_beat_clockedschedule (id {id}, clocked_time {moment} NOT NULL);
CREATE TABLE django_celery_beat_periodictask (
    id {id}, name varchar(200) NOT NULL UNIQUE, task varchar(200) NOT NULL, args text NOT NULL, kwargs text NOT NULL,
    queue varchar(200) NULL, exchange varchar(200) NULL, routing_key varchar(200) NULL, expires {moment} NULL,
    enabled bool NOT NULL, last_run_at {moment} NULL, total_run_count integer NOT NULL, date_changed {moment} NOT NULL,
    description text NOT NULL, crontab_id integer NULL, interval_id integer NULL, solar_id integer NULL,
    clocked_id integer NULL, one_off bool NOT NULL, start_time {moment} NULL, priority integer NULL,
    headers text NOT NULL, expire_seconds integer NULL
);
INSERT INTO django_celery_beat_intervalschedule VALUES (1, 15, 'minutes'), (2, 7, 'microseconds');
INSERT INTO django_celery_beat_crontabschedule VALUES
    (1, '30', '2', '*', '*', '*', 'Europe/Berlin'),
    (2, '0', '4', '*', '*', '*', 'UTC'), (3, '0', '4', '7', '*', '*', 'UTC');
INSERT INTO django_celery_beat_solarschedule VALUES (1, 'sunset', 52.5, 13.4);
INSERT INTO django_celery_beat_clockedschedule VALUES (1, '2030-01-01 12:00:00');
"""
"""As the migrations of version 2.9 leave them."""
DEFAULTS = {
    "task": "shop.tasks.add", "args": "[]", "kwargs": "{}", "enabled": True, "total_run_count": 0, "headers": "{}",
    "date_changed": "2026-01-01 00:00:00", "description": "", "one_off": False,
}  # fmt: skip
TASKS: list[dict[str, Any]] = [
    {"name": "nightly", "crontab_id": 1, "args": "[1, null]", "kwargs": '{"deep": true}', "queue": "mail"},
    {"name": "off", "interval_id": 1, "enabled": False, "start_time": "2020-01-01 00:00:00", "queue": ""},
    {"name": "celery.backend_cleanup", "task": "celery.backend_cleanup", "crontab_id": 2, "expire_seconds": 43200},
    {"name": "sun", "solar_id": 1},
    {"name": "once", "clocked_id": 1, "one_off": True},
    {"name": "first", "interval_id": 1, "one_off": True},
    {"name": "fast", "interval_id": 2},
    {"name": "seven", "crontab_id": 3},
    {"name": "waits", "interval_id": 1, "expire_seconds": 60},
    {"name": "ends", "interval_id": 1, "expires": "2030-01-01 00:00:00"},
    {"name": "later", "interval_id": 1, "start_time": "2999-01-01 00:00:00"},
    {"name": "route", "interval_id": 1, "routing_key": "x"},
    {"name": "first come", "interval_id": 1, "priority": 0},
    {"name": "headed", "interval_id": 1, "headers": '{"a": 1}'},
    {"name": "broken", "interval_id": 1, "args": "[1"},
    {"name": "none"},
    {"name": "lost", "interval_id": 99},
]
REFUSED = {
    "celery.backend_cleanup": "housekeeping of Celery's own",
    "sun": "it is solar (sunset)",
    "once": "it is one_off",
    "first": "it is one_off",
    "fast": "an interval of 1 second or more",
    "seven": "its day_of_week '7' is none that Celery takes: '7' is none of 0-6",
    "waits": "it has expires",
    "ends": "it ends at 2030-01-01 00:00:00",
    "later": "it begins at 2999-01-01 00:00:00",
    "route": "no option routing_key='x'",
    "first come": "its priority means the opposite",
    "headed": "no option headers={'a': 1}",
    "broken": "its args are no JSON such as []: '[1'",
    "none": "its schedule is None",
    "lost": "there is no row 99 in django_celery_beat_intervalschedule",
}


@pytest.fixture(scope="module", autouse=True)
def shared_server() -> Iterator[None]:
    yield
    server.remove_shared_server()


@pytest.fixture(params=["sqlite", "postgresql", "schema"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database with the tables of a Django program."""
    if request.param == "sqlite":
        with closing(sqlite3.connect(tmp_path / "django db.sqlite3")) as connection:
            fill(connection, "integer PRIMARY KEY AUTOINCREMENT", "datetime", "?")
        yield f"sqlite:///{tmp_path}/django%20db.sqlite3"
        return
    with server.database() as url:
        schema = "apps" if request.param == "schema" else "public"
        with psycopg.connect(url) as connection:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            connection.execute(f"SET search_path TO {schema}")
            fill(connection, "serial PRIMARY KEY", "timestamp with time zone", "%s")
        yield f"{url}{'&' if '?' in url else '?'}schema=apps" if schema == "apps" else url


def fill(connection: Any, serial: str, moment: str, mark: str) -> None:
    for statement in TABLES.format(id=serial, moment=moment).split(";"):
        if statement.strip():
            connection.execute(statement)
    for number, task in enumerate(TASKS):
        row = {"id": number, **DEFAULTS, **task}
        marks = ", ".join([mark] * len(row))
        statement = f"INSERT INTO django_celery_beat_periodictask ({', '.join(row)}) VALUES ({marks})"
        connection.execute(statement, list(row.values()))
    connection.commit()


def test_what_is_printed_runs_and_each_other_entry_has_its_reason(tables: str, program: Program) -> None:
    done = program.run("import-celery-beat", tables)
    assert done.code == 1
    said = dict(line.removeprefix("refused ").split(": ", 1) for line in done.err.splitlines())
    assert said.keys() == REFUSED.keys()
    assert {name: reason for name, reason in said.items() if REFUSED[name] not in reason} == {}
    queue = pasted(done.out, f"sqlite:///{program.folder}/jobs.db")
    nightly, off = queue.schedules.list()
    assert (str(nightly.schedule), nightly.state) == ("30 2 * * * Europe/Berlin", "active")
    job = json.loads(nightly.row.job)
    assert (job["payload"], job["queue"]) == ({"args": [1, None], "kwargs": {"deep": True}}, "mail")
    assert (str(off.schedule), off.state, off.task) == ("every 0:15:00 UTC", "paused", "shop.tasks.add")
    queue.close()


def test_tables_of_an_older_version_are_read(program: Program) -> None:
    path = program.folder / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        fill(connection, "integer PRIMARY KEY", "datetime", "?")
        connection.execute("DELETE FROM django_celery_beat_periodictask WHERE name <> 'nightly'")
        for column in ("clocked_id", "expire_seconds", "priority", "headers", "start_time", "one_off"):
            connection.execute(f"ALTER TABLE django_celery_beat_periodictask DROP COLUMN {column}")
        connection.execute("ALTER TABLE django_celery_beat_crontabschedule DROP COLUMN timezone")
        connection.execute("DROP TABLE django_celery_beat_clockedschedule")
        connection.commit()
    done = program.run("import-celery-beat", f"sqlite:///{path}", "--tz", "Asia/Tokyo")
    assert (done.code, done.err) == (0, "") and "Cron('30 2 * * *', tz='Asia/Tokyo')" in done.out


def test_a_server_that_cannot_be_reached_is_said_without_the_password(program: Program) -> None:
    done = program.run("import-celery-beat", "postgresql://me:secret@127.0.0.1:1/shop")
    assert done.code == 2 and "cannot be reached" in done.err and "secret" not in done.err
