"""Checks of ``manage.py check``, besides those of each backend's settings (`SteadypoolBackend.check`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core import checks
from django.db import DatabaseError, connections
from django.db.utils import OperationalError

from steadypool.contrib.django import registry
from steadypool.contrib.django.backend import SteadypoolBackend
from steadypool.contrib.django.framework import InvalidTaskBackend, task_backends
from steadypool.durable.engine.errors import EngineError, SchemaMismatch
from steadypool.durable.engine.sqlite.driver import has_wal_reset_bug, sqlite_version

TAG = "steadypool"


def backends() -> Iterator[SteadypoolBackend]:
    """Those of the settings that are ours."""
    for alias in task_backends.settings:
        try:
            backend = task_backends[alias]
        except InvalidTaskBackend:
            continue  # the framework says so
        if isinstance(backend, SteadypoolBackend):
            yield backend


def usable() -> Iterator[SteadypoolBackend]:
    """Those whose settings are in order."""
    return (backend for backend in backends() if not any(one.id != "steadypool.E002" for one in backend.check()))


@checks.register(TAG)
def check_installed(**_: Any) -> Iterator[checks.CheckMessage]:
    """The backport of the framework has to be installed, and does not say so itself."""
    if "django_tasks" in sys.modules and "django.tasks" not in sys.modules and not apps.is_installed("django_tasks"):
        hint = "Add it: without it no setting of TASKS is checked, and nothing is logged of tasks."
        yield checks.Error("django_tasks is not in INSTALLED_APPS.", hint=hint, id="steadypool.E007")


@checks.register(TAG)
def check_modules(**_: Any) -> Iterator[checks.CheckMessage]:
    """The modules of tasks can be imported."""
    for modules in {tuple(backend.steadypool_options.modules) for backend in usable()}:
        try:
            registry.discover(modules)
        except Exception as error:
            text = f"A module of tasks cannot be imported: {type(error).__name__}: {error}"
            yield checks.Error(text, id="steadypool.E008")


@checks.register(TAG)
def check_places(**_: Any) -> Iterator[checks.CheckMessage]:
    """What one has to know of where the jobs are kept."""
    for backend in usable():
        options = backend.steadypool_options
        if options.url is not None and connections.settings:
            yield checks.Warning(
                f"TASKS[{backend.alias!r}] keeps its jobs in another store than DATABASES: an enqueue is at once, and "
                "not part of a transaction.",
                hint="Enqueue within transaction.on_commit(...), or name a database of the project's with 'database'.",
                id="steadypool.W001",
            )
        elif options.url is None and _reads_before_it_may_write(connections[options.database]):
            yield checks.Warning(
                f"DATABASES[{options.database!r}] is SQLite, where a transaction that reads and then writes fails with "
                "'database is locked' if another has written in between, such as a job's.",
                hint=f"DATABASES[{options.database!r}]['OPTIONS'] = {{'transaction_mode': 'IMMEDIATE', 'timeout': 20}}",
                id="steadypool.W005",
            )


def _reads_before_it_may_write(connection: Any) -> bool:
    mode = connection.settings_dict["OPTIONS"].get("transaction_mode") or "DEFERRED"
    return connection.vendor == "sqlite" and not connection.is_in_memory_db() and mode.upper() == "DEFERRED"


@checks.register(TAG, deploy=True)
def check_sqlite(**_: Any) -> Iterator[checks.CheckMessage]:
    """SQLite before 3.51.3 can damage a file that several programs write to."""
    version = sqlite_version("sqlite3")
    for backend in usable():
        options = backend.steadypool_options
        if options.url is None and connections[options.database].vendor == "sqlite" and has_wal_reset_bug(version):
            yield checks.Warning(
                f"SQLite {'.'.join(map(str, version))} can damage a file that several processes write to, and the "
                f"workers of TASKS[{backend.alias!r}] write to the file of the project.",
                hint="Use PostgreSQL, a Python with SQLite 3.51.3, or a file for the jobs alone (OPTIONS['url']).",
                id="steadypool.W003",
            )


@checks.register(TAG, deploy=True)
def check_limits(**_: Any) -> Iterator[checks.CheckMessage]:
    """A task without a time limit may hold a worker's slot for ever."""
    for task in registry.known_tasks():
        if isinstance(task.get_backend(), SteadypoolBackend) and getattr(task, "timeout", None) is None:
            yield checks.Warning(
                f"{task.module_path} has no time limit.",
                hint="@task(timeout=60) ends an attempt that hangs.",
                obj=task.module_path,
                id="steadypool.W002",
            )


@checks.register(TAG, deploy=True)
def check_tables(**_: Any) -> Iterator[checks.CheckMessage]:
    """The tables are there, and of a version that works."""
    for backend in usable():
        try:
            schema = backend.queue.engine.schema()
        except SchemaMismatch as error:
            yield checks.Error(str(error), id="steadypool.E009")
            continue
        except (DatabaseError, OperationalError, EngineError) as error:
            text = f"The tables of TASKS[{backend.alias!r}] could not be looked at: {error}"
            yield checks.Warning(text, id="steadypool.W004")
            continue
        if schema.found > schema.wanted:
            text = f"The tables of TASKS[{backend.alias!r}] have version {schema.found}, later than {schema.wanted}."
            yield checks.Error(text, hint="Use a later Steadypool.", id="steadypool.E009")
        elif schema.pending:
            text = f"The tables of TASKS[{backend.alias!r}] are missing, or of version {schema.found}."
            hint = f"Run manage.py migrate, or manage.py steadypool --backend {backend.alias} migrate."
            yield checks.Error(text, hint=hint, id="steadypool.E009")
