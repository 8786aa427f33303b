"""The address of a queue that is kept in a database of Django's: what a worker connects to, by itself."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured

from steadypool.durable.engine.url import PostgresAddress, SqliteAddress, parse_postgres

VENDORS = ("sqlite", "postgresql")


def url_of(connection: Any, schema: str, pooled: bool) -> str:
    """The address of the queue in the database that *connection*, one of Django's, is to; with its password.

    Raises:
        ImproperlyConfigured: there can be none.
    """
    if connection.vendor == "sqlite":
        return f"sqlite:///{quote(file_of(connection))}"
    if connection.vendor != "postgresql":
        raise ImproperlyConfigured(
            f"the database {connection.alias!r} is one of {connection.vendor}, and a queue is kept in SQLite or "
            "PostgreSQL: name another as OPTIONS['database'] of the task backend"
        )
    given = connection.get_connection_params()
    known = {name: str(given[name]) for name in _libpq_keywords() & given.keys() if given[name] is not None}
    database = known.pop("dbname", "")
    known["schema"] = schema
    if pooled:
        known["pooled"] = "yes"
    settings = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(known.items()))
    return f"postgresql:///{quote(database, safe='')}?{settings}"


def postgres_address(connection: Any, schema: str, pooled: bool) -> PostgresAddress:
    """The same, in its parts."""
    return parse_postgres(url_of(connection, schema, pooled))


def sqlite_address(connection: Any) -> SqliteAddress:
    """The file that *connection* is to; ``:memory:`` for none."""
    return SqliteAddress(":memory:" if connection.is_in_memory_db() else file_of(connection))


def file_of(connection: Any) -> str:
    """The path of the database's file.

    Raises:
        ImproperlyConfigured: it has none.
    """
    name = str(connection.settings_dict["NAME"])
    if connection.is_in_memory_db():
        raise ImproperlyConfigured(
            f"the database {connection.alias!r} is in the memory of this process, where no worker finds the jobs: give "
            "it a file as NAME; in a test, run the jobs with steadypool.contrib.django.testing.run_jobs()"
        )
    return name.removeprefix("file:").partition("?")[0] if name.startswith("file:") else name


@cache
def _libpq_keywords() -> frozenset[str]:
    from psycopg.pq import Conninfo

    return frozenset(option.keyword.decode() for option in Conninfo.get_defaults())
