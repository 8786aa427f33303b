"""A queue has a schema of its own: nothing else is touched by `migrate`."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from steadypool import Queue
from steadypool.durable.engine.errors import SchemaMismatch
from steadypool.durable.engine.postgres.schema import VERSION
from tests.durable.engine.postgres import server

THINGS = {
    "the function slugify": "FUNCTION {}.slugify(t text) RETURNS text LANGUAGE sql AS $$ SELECT lower(t) $$",
    "the table or view versions": "TABLE {}.versions (id int, item text)",
    "the type mood": "TYPE {}.mood AS ENUM ('well')",
}


@pytest.fixture
def empty() -> Iterator[str]:
    with server.database() as url:
        yield url


@pytest.mark.parametrize("schema", ["public", "theirs"])
@pytest.mark.parametrize("thing", THINGS)
def test_a_schema_with_something_else_in_it_is_left_alone(empty: str, schema: str, thing: str) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())
        connection.execute(f"CREATE {THINGS[thing].format(schema)}".encode())
        before = connection.execute("SELECT relname, relacl FROM pg_class ORDER BY oid").fetchall()
        functions = connection.execute("SELECT proname, proacl FROM pg_proc ORDER BY oid").fetchall()
        with Queue(f"{empty}&schema={schema}") as queue:
            with pytest.raises(SchemaMismatch, match=thing):
                queue.engine.migrate()
            with pytest.raises(SchemaMismatch, match="there are no tables"):
                queue.stats()
            with pytest.raises(SchemaMismatch, match=thing):
                queue.work(kind="thread")
        assert before == connection.execute("SELECT relname, relacl FROM pg_class ORDER BY oid").fetchall()
        assert functions == connection.execute("SELECT proname, proacl FROM pg_proc ORDER BY oid").fetchall()


def test_a_schema_in_which_everybody_may_create_is_refused(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    with Queue(f"{empty}&schema=public") as queue, pytest.raises(SchemaMismatch, match="every user may create"):
        queue.engine.migrate()


@pytest.mark.parametrize("schema", ["public", "made_before", "new"])
def test_an_empty_schema_is_taken(empty: str, schema: str) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA made_before")
    with Queue(f"{empty}&schema={schema}") as queue:
        assert queue.engine.migrate().found == 0
        assert queue.engine.migrate().found == VERSION
        assert queue.list() == []
