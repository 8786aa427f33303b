"""A schema of PostgreSQL for tests: made once, emptied after each test, and dropped at the end."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Self

import psycopg

from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.url import parse_postgres

KEPT = ("versions",)
"""Tables that say what the others are like."""


class Schema:
    """A ``with`` block in which there is one.

    Args:
        url: of the database.
        worker: tells apart those who test beside each other on one database; by default the processes.
    """

    def __init__(self, url: str, worker: str = "") -> None:
        self._name = f"steadypool_test_{os.getpid()}{worker and f'_{worker}'}"
        self._parameters = parse_postgres(url).parameters
        place, _, settings = url.partition("?")
        kept = [one for one in settings.split("&") if one and not one.startswith("schema=")]
        self.url = f"{place}?{'&'.join([*kept, f'schema={self._name}'])}"
        """Of the store in it."""

    def __enter__(self) -> Self:
        engine = open_engine(self.url)
        engine.migrate()
        engine.close()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(psycopg.OperationalError):  # the database has gone, and the schema with it
            self._run(f"DROP SCHEMA IF EXISTS {self._name} CASCADE")

    def empty(self) -> None:
        """Delete everything but the tables, and have its clock be the true one."""
        with self._connect() as connection:
            connection.execute(f"SELECT {self._name}.move_clock(-shift) FROM {self._name}.clock".encode())
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> ALL (%s)",
                [self._name, list(KEPT)],
            ).fetchall()
            connection.execute("; ".join(f"DELETE FROM {self._name}.{table}" for (table,) in tables).encode())

    def _run(self, statement: str) -> None:
        with self._connect() as connection:
            connection.execute(statement.encode())

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(**self._parameters)  # type: ignore[arg-type]
