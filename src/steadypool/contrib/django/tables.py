"""The tables of the queue, made by ``manage.py migrate`` over Django's connection.

A file of SQLite is set to its write-ahead log, for good: the processes of a queue write in this way, and take a file
that is in use without such a log for one whose log was removed. Django's own connections then do so, too.
"""

from __future__ import annotations

from typing import Any

from steadypool.contrib.django.system_checks import usable


def make_tables(_: Any, schema_editor: Any) -> None:
    """Bring the tables up to date in the database that is being migrated, if a backend keeps its jobs there."""
    for backend in usable():
        if backend.queue.alias == schema_editor.connection.alias:
            if schema_editor.connection.vendor == "sqlite":
                with schema_editor.connection.cursor() as cursor:
                    cursor.execute("PRAGMA journal_mode = WAL")
            backend.queue.engine.migrate()
