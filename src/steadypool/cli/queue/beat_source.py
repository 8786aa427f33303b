"""Where entries of Celery beat are read: a mapping in a module, or the tables of django-celery-beat."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from steadypool.cli.exit_codes import UsageError
from steadypool.cli.queue.target import as_usage_errors
from steadypool.cli.target import load_object
from steadypool.durable.engine.url import check_url, parse_postgres, parse_sqlite

Entries = Iterator[tuple[str, Callable[[], Mapping[str, Any]]]]
"""By name, each with what reads it: one that cannot be read does not stop the others."""
KINDS = ("interval", "crontab", "solar", "clocked")
OPTIONS = ("queue", "exchange", "routing_key", "priority")


def from_module(spec: str) -> tuple[Entries, str]:
    """The entries of an app's configuration, or of a mapping, and the time zone.

    Raises:
        UsageError: *spec* is neither.
    """
    found = load_object(spec, "APP", "shop.celery:app")
    zone = "UTC"
    if hasattr(found, "conf"):
        found.finalize()  # as beat does: tasks may add entries then
        zone, found = str(found.timezone), found.conf.beat_schedule
    if not isinstance(found, Mapping):
        raise UsageError(f"{spec} is no Celery app, and no mapping such as its beat_schedule, but {found!r}")
    return ((str(name), partial(_as_entry, entry)) for name, entry in found.items()), zone


def _as_entry(given: Any) -> dict[str, Any]:
    if not hasattr(given, "__iter__") or isinstance(given, str):
        raise TypeError(f"it is {given!r:.100}, and no mapping with a task and a schedule")
    return dict(given)  # a ScheduleEntry, too


def from_database(url: str) -> Entries:
    """The entries of django-celery-beat's tables; they are only read.

    Raises:
        UsageError: they cannot be.
    """
    with as_usage_errors():
        connection, errors = _connect_sqlite(url) if check_url(url) == "sqlite" else _connect_postgres(url)
    try:
        with closing(connection):
            tasks = _rows(connection, "periodictask")
            wanted = [kind for kind in KINDS if any(task.get(f"{kind}_id") is not None for task in tasks)]
            schedules = {kind: {row["id"]: row for row in _rows(connection, f"{kind}schedule")} for kind in wanted}
    except errors as error:
        raise UsageError(f"the tables of django-celery-beat cannot be read: {str(error).splitlines()[0]}") from error
    return ((task["name"], partial(_entry, task, schedules)) for task in tasks)


def _connect_sqlite(url: str) -> tuple[Any, type[Exception]]:
    path = parse_sqlite(url).path
    try:
        return sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True), sqlite3.Error
    except sqlite3.Error as error:
        raise UsageError(f"{path} cannot be opened: {error}") from error


def _connect_postgres(url: str) -> tuple[Any, type[Exception]]:
    try:
        import psycopg
    except ImportError as error:
        raise UsageError(
            f"tables on PostgreSQL need psycopg 3: pip install 'steadypool[postgres]' ({error})"
        ) from error
    address = parse_postgres(url)
    try:
        connection = psycopg.connect(**{"connect_timeout": "10", **address.parameters})  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise UsageError(f"{address.url} cannot be reached: {str(error).splitlines()[0]}") from error
    connection.read_only = True
    if "schema=" in url:
        connection.execute(f"SET search_path TO {address.schema}")
    return connection, psycopg.Error


def _rows(connection: Any, table: str) -> list[dict[str, Any]]:
    cursor = connection.execute(f"SELECT * FROM django_celery_beat_{table} ORDER BY id")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _entry(task: Mapping[str, Any], schedules: Mapping[str, Mapping[Any, Mapping[str, Any]]]) -> dict[str, Any]:
    """A row in the form of an entry of a mapping; columns that older tables lack count as empty."""
    [kind, *_] = [kind for kind in KINDS if task.get(f"{kind}_id") is not None] or [""]
    options = {
        **{name: task.get(name) for name in OPTIONS},
        "expires": task.get("expire_seconds"),
        "headers": _json(task, "headers", "{}"),
    }
    return {
        "task": task["task"],
        "schedule": _schedule(kind, task[f"{kind}_id"], schedules[kind]) if kind else None,
        "args": _json(task, "args", "[]"),
        "kwargs": _json(task, "kwargs", "{}"),
        "options": options,
        **{name: task.get(name) for name in ("one_off", "start_time", "expires")},
        "enabled": task["enabled"],
    }


def _json(task: Mapping[str, Any], column: str, empty: str) -> Any:
    text = task.get(column) or empty
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if type(found) is not type(json.loads(empty)):
        raise ValueError(f"its {column} are no JSON such as {empty}: {text!r:.100}")
    return found


def _schedule(kind: str, number: Any, rows: Mapping[Any, Mapping[str, Any]]) -> Any:
    """What is due, with the attributes that Celery's own schedules have."""
    if number not in rows:
        raise LookupError(f"there is no row {number} in django_celery_beat_{kind}schedule")
    row = rows[number]
    if kind == "interval":
        return timedelta(**{row["period"]: row["every"]})
    if kind == "crontab":
        fields = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        return SimpleNamespace(**{f"_orig_{name}": row[name] for name in fields}, tz=row.get("timezone"))
    return SimpleNamespace(**row)
