"""The tables and functions, as numbered files of SQL: `sql/0001.sql` brings an empty schema to version 1.

A file that was released is never changed; a new version appends one. ``works_from`` says how old a Steadypool may be
that works with a version: during a deploy two of them do. So a step adds tables, columns and functions; what an older
Steadypool calls stays until a later release.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import psycopg

from steadypool.durable.engine.errors import SchemaMismatch
from steadypool.durable.engine.figures import KEEP_MINUTES
from steadypool.durable.engine.records import BEHIND, KEEP_GIVEN_UP, SET_ASIDE
from steadypool.durable.engine.turns import GATE_BUSY, LANES_AT_ONCE, REPLACED, TURNED_AWAY

WORKS_FROM = (1, 1)
"""For each version from 1 on: the oldest version of this file whose code works with those tables."""
VERSION = len(WORKS_FROM)
_FILES = (("0001.sql",), ("0002.sql", "0002_limits.sql", "0002_links.sql", "0002_batches.sql"))
"""Of each version."""
OLDEST = 2
"""The oldest version of the tables that this code works with."""
_OURS = """SELECT 1 FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attname IN ('version', 'works_from') AND NOT attisdropped HAVING count(*) = 2"""
_OTHERS = """SELECT what, name FROM (
    SELECT 'the table or view' AS what, relname AS name, relnamespace AS namespace FROM pg_class
    UNION ALL SELECT 'the function', proname, pronamespace FROM pg_proc
    UNION ALL SELECT 'the type', typname, typnamespace FROM pg_type
    UNION ALL SELECT 'the operator', oprname, oprnamespace FROM pg_operator
) x JOIN pg_namespace n ON n.oid = x.namespace WHERE n.nspname = %s LIMIT 1"""
_LOCK = 5_281_190_773  # any number, as long as it is the same for all who migrate


def found_version(cursor: psycopg.Cursor[Any], schema: str) -> tuple[int, int]:
    """Version of the tables, and the oldest code that works with them; ``(0, 0)`` if there are none."""
    if not cursor.execute(_OURS, [f"{schema}.versions"]).fetchall():
        return 0, 0  # or it is another program's
    [row] = cursor.execute(f"SELECT version, works_from FROM {schema}.versions").fetchall()
    return row[0], row[1]


def check_version(found: tuple[int, int], schema: str, url: str) -> None:
    """Do nothing if this code works with these tables.

    Raises:
        SchemaMismatch: it does not, or there are none.
    """
    version, works_from = found
    if version == 0:
        raise SchemaMismatch(f"there are no tables in the schema {schema} of {url} yet; run: steadypool migrate {url}")
    if version < OLDEST:
        raise SchemaMismatch(
            f"the tables have version {version}, and this Steadypool needs {OLDEST} or later; workers that are at work "
            f"may go on meanwhile; run: steadypool migrate {url}"
        )
    if works_from > VERSION:
        raise SchemaMismatch(
            f"the tables have version {version}, which works with Steadypools that know {works_from} or later; this "
            f"one knows {VERSION}: use a later Steadypool"
        )


def pending_steps(found: int, schema: str) -> tuple[str, ...]:
    """The SQL that brings tables of version *found* up to date."""
    return tuple(_filled(text, schema) for text in all_steps()[found:])


def apply_pending(cursor: psycopg.Cursor[Any], schema: str) -> tuple[int, tuple[str, ...]]:
    """Bring the tables up to date, in the transaction that *cursor* is in; the version found, and what was run.

    Raises:
        SchemaMismatch: they are of a later version; or there are none, and the schema is not the queue's alone.
    """
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    found, _ = found_version(cursor, schema)
    if found > VERSION:
        raise SchemaMismatch(
            f"the tables have version {found}, later than the {VERSION} that this Steadypool knows: use a later one"
        )
    steps = pending_steps(found, schema)
    if steps:
        if found == 0:
            _make_schema(cursor, schema)
        for step in steps:
            cursor.execute(step.encode())
        cursor.execute(f"DELETE FROM {schema}.versions")
        cursor.execute(f"INSERT INTO {schema}.versions VALUES (%s, %s)", [VERSION, WORKS_FROM[VERSION - 1]])
        cursor.execute(f"SELECT {schema}.grant_roles()")
    return found, steps


def roles_sql(schema: str = "steadypool") -> str:
    """SQL that makes the three roles and gives them their rights. To be run by who may create roles, after `migrate`.

    A later `migrate` gives the roles what its new functions need; no second grant is needed.
    """
    return _read("roles.sql").replace("@schema@", schema)


def _make_schema(cursor: psycopg.Cursor[Any], schema: str) -> None:
    # Empty, or not there: the first step takes rights to all functions that it finds. IF NOT EXISTS would ask for the
    # right to create schemas even where there is nothing to create.
    if not cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema]).fetchall():
        cursor.execute(f"CREATE SCHEMA {schema}")
        return
    for what, name in cursor.execute(_OTHERS, [schema]).fetchall():
        raise SchemaMismatch(
            f"the schema {schema} has something in it that is not the queue's, {what} {name}, and nothing was changed: "
            "a queue needs a schema of its own; leave schema=... out of the address, or name another"
        )
    if cursor.execute("SELECT 1 WHERE has_schema_privilege('public', %s, 'CREATE')", [schema]).fetchall():
        raise SchemaMismatch(
            f"every user may create functions in the schema {schema}, which the queue's own would then call: leave "
            "schema=... out of the address, or name another"
        )


@cache
def all_steps() -> tuple[str, ...]:
    """The files, in order."""
    return tuple("".join(map(_read, names)) for names in _FILES)


def _filled(text: str, schema: str) -> str:
    """The text with what this program has to say in it, so that it is said in one place."""
    values = {
        "@schema@": schema,
        "@keep_given_up@": f"{KEEP_GIVEN_UP:.0f}",
        "@keep_minutes@": f"{KEEP_MINUTES:.0f}",
        "@set_aside@": SET_ASIDE,
        "@behind@": BEHIND,
        "@turned_away@": TURNED_AWAY,
        "@replaced@": REPLACED,
        "@lanes_at_once@": str(LANES_AT_ONCE),
        "@gate_busy@": str(GATE_BUSY),
    }
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _read(name: str) -> str:
    return (files(__package__) / "sql" / name).read_text(encoding="utf-8")
