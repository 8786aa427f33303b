"""Django, set up for the project, and what its tests share."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import django
import pytest

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connections, transaction  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402

from tests.cli.stage import Stage  # noqa: E402
from tests.patience import WAIT  # noqa: E402

setup_test_environment()
QUEUES_TABLES = {
    "postgresql": "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = 'steadypool' "
    "AND tablename NOT IN ('versions', 'clock')",
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
    "AND name NOT IN ('steadypool_schema', 'counters')",
}
"""What has jobs in it; of a file also the tables of Django's."""
PROJECT = Path(__file__).parents[1] / "project"


@pytest.fixture(scope="session", autouse=True)
def tables() -> Iterator[None]:
    """The tables of the project, and of its queues."""
    for alias in ("default", "other"):
        call_command("migrate", database=alias, run_syncdb=True, verbosity=0)
    yield
    connections.close_all()


@pytest.fixture
def committed(tables: None) -> Iterator[None]:
    """For tests whose transactions commit: what they have left is removed."""
    yield
    clear()


def clear() -> None:
    """Remove every order and every job."""
    from shop.models import Order, Signal

    for alias in ("default", "other"):
        connection = connections[alias]
        with transaction.atomic(using=alias), connection.cursor() as cursor:
            Order.objects.using(alias).all().delete()
            Signal.objects.using(alias).all().delete()
            cursor.execute(QUEUES_TABLES[connection.vendor])
            known = {"django_migrations", *connection.introspection.django_table_names()}
            for table in {name for [name] in cursor.fetchall()} - known:
                cursor.execute(f"DELETE FROM {table}")


def refreshed(results: dict[str, Any]) -> dict[str, Any]:
    """The same, as they are now."""
    for result in results.values():
        result.refresh()
    return results


def most_connections(said: str) -> dict[str, int]:
    """For each process of a worker that has said this: how many connections it has had at most."""
    most: dict[str, int] = {}
    for process, now in re.findall(r"^(\d+) has (\d+) connections$", said, re.MULTILINE):
        most[process] = max(int(now), most.get(process, 0))
    return most


class Manage:
    """``manage.py`` as a process of its own."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it, to its end."""
        process = self.start(*words, **environment)
        out, err = process.communicate(timeout=2 * WAIT)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start it."""
        process = subprocess.Popen(
            [sys.executable, "manage.py", *words],
            cwd=PROJECT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """Have none left behind."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def manage() -> Iterator[Manage]:
    """Starts ``manage.py``."""
    with closing(Manage()) as manage:
        yield manage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Where the jobs of ``wait_for_the_test`` wait for the test."""
    path = Path(os.environ["PROJECT_STAGE"])
    with Stage(path) as stage:
        yield stage
    path.unlink()
