"""From the address of a store to its engine: the one place that knows which engines there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steadypool.durable.engine.url import check_url, parse_postgres, parse_sqlite

if TYPE_CHECKING:
    from steadypool.durable.engine.protocol import Engine


def open_engine(url: str) -> Engine:
    """An engine for *url*. Nothing is connected yet.

    Raises:
        TypeError, ValueError: for an invalid address, saying what a right one looks like.
        ImportError: the engine needs a library that is not installed, naming the extra to install.
    """
    scheme = check_url(url)
    if scheme == "sqlite":
        from steadypool.durable.engine.sqlite.engine import SqliteEngine

        return SqliteEngine(parse_sqlite(url))
    try:
        from steadypool.durable.engine.postgres.engine import PostgresEngine
    except ImportError as error:
        raise ImportError(
            f"a queue on PostgreSQL needs psycopg 3: pip install 'steadypool[postgres]' ({error})"
        ) from error
    return PostgresEngine(parse_postgres(url))


def roles_sql(url: str) -> str:
    """The SQL that makes the roles of the queue at *url*; see `durable.engine.postgres.schema.roles_sql`.

    Raises:
        TypeError, ValueError, ImportError: as of `open_engine`; ValueError also for a store without roles.
    """
    if check_url(url) == "sqlite":
        raise ValueError(
            f"only a queue on postgresql:// has roles, not {url}: the rights to a file are those of its folder"
        )
    open_engine(url)
    from steadypool.durable.engine.postgres.schema import roles_sql as of_schema

    return of_schema(parse_postgres(url).schema)
