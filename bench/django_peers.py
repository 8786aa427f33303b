"""The backend for Django's tasks beside others, on one PostgreSQL: ``python -m bench.django_peers``.

It needs Python 3.12 with Django 6.1, and runs django-tasks-db and django-ox if they are installed. Each round of each
backend is a database of its own: jobs are enqueued, and then workers with four jobs at a time run them. It counts from
the first job that has ended. ``--slow`` also kills a worker, and waits for as long as ten minutes.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg

from bench.postgres_runs import SETTINGS
from tests.durable.engine.postgres import server

PROJECT = Path(__file__).with_name("django_project")
JOBS, AT_A_TIME, ROUNDS = 1500, 4, 3
LONGEST_KILL = 600.0
WORKERS = {
    ("steadypool", "thread"): ["steadypool", "work", "--workers", f"{AT_A_TIME}", "-q"],
    ("steadypool", "process"): ["steadypool", "work", "--kind", "process", "--workers", f"{AT_A_TIME}", "-q"],
    ("db", "process"): ["db_worker", "-v0"],
    ("ox", "thread"): ["ox_worker", "--concurrency", f"{AT_A_TIME}"],
    ("ox", "process"): ["ox_worker", "--processes", f"{AT_A_TIME}"],
}
"""django-tasks-db runs one job in each worker: there are four of these."""
LEFT = {
    "steadypool": "SELECT count(*) FROM steadypool.jobs",
    "db": "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status IN ('READY', 'RUNNING')",
    "ox": "SELECT count(*) FROM django_ox_oxtask WHERE status NOT IN ('SUCCESSFUL', 'FAILED')",
}
# How many attempts have begun of the one job that there is.
BEGUN = {
    "steadypool": "SELECT (SELECT count(*) FROM steadypool.errors) + (SELECT count(*) FROM steadypool.leases)",
    "ox": "SELECT coalesce(max(attempts), 0) FROM django_ox_oxtask",
}
SIDES = [
    side
    for side, module in (("steadypool", "steadypool"), ("db", "django_tasks_db"), ("ox", "django_ox"))
    if importlib.util.find_spec(module)
]


class Site:
    """The project on one backend, with a database of its own."""

    def __init__(self, side: str, url: str) -> None:
        self.side = side
        self.url = url
        parts = urlsplit(url)
        self._environment = os.environ | {
            "BENCH_SIDE": side,
            "BENCH_NAME": parts.path[1:],
            "BENCH_HOST": parts.hostname or parse_qs(parts.query)["host"][0],
            "BENCH_USER": parts.username or "",
        }
        self.manage("migrate", "--run-syncdb", "-v0")

    def manage(self, *words: str) -> None:
        """Run a command of Django's, to its end."""
        subprocess.run([sys.executable, "manage.py", *words], cwd=PROJECT, env=self._environment, check=True)

    def enqueue(self, task: str, count: int) -> None:
        """Enqueue that many jobs."""
        code = "from django.db import transaction; from rows import tasks\nwith transaction.atomic():\n"
        self.manage("shell", "-v0", "-c", f"{code}    for number in range({count}): tasks.{task}.enqueue(number)")

    @contextmanager
    def workers(self, kind: str, end: signal.Signals = signal.SIGTERM) -> Iterator[None]:
        """A block in which they work."""
        command = [sys.executable, "manage.py", *WORKERS[self.side, kind]]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        count = AT_A_TIME if self.side == "db" else 1
        running = [
            subprocess.Popen(command, cwd=PROJECT, env=self._environment, start_new_session=True, **quiet)
            for _ in range(count)
        ]
        try:
            yield
        finally:
            for process in running:
                os.killpg(process.pid, end)
            for process in running:
                process.wait()

    def ask(self, statement: str) -> int:
        """A number of the database's."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            [number] = connection.execute(statement).fetchone() or (0,)
            return int(number)


def rate(site: Site, task: str, kind: str) -> tuple[float, float]:
    """Jobs a second, and milliseconds of processor time for each."""
    site.enqueue(task, JOBS)
    before = _cpu()
    with site.workers(kind):
        while (left := site.ask(LEFT[site.side])) == JOBS:
            sleep(0.02)
        began, first = perf_counter(), left
        while site.ask(LEFT[site.side]):
            sleep(0.02)
        taken = perf_counter() - began
    return first / max(taken, 1e-3), (_cpu() - before) / JOBS * 1e3


def recovery(site: Site) -> float | None:
    """Seconds until the job of a worker that was killed runs again; ``None``: it did not, for long."""
    if site.side not in BEGUN:
        return None
    site.manage("shell", "-v0", "-c", "from rows import tasks; tasks.sleep.enqueue(3600)")
    with site.workers("thread", signal.SIGKILL):
        _until(lambda: site.ask(BEGUN[site.side]) >= 1, 60.0)
        idle = site.workers("thread", signal.SIGKILL)
        idle.__enter__()
        sleep(5.0)
    try:
        return _until(lambda: site.ask(BEGUN[site.side]) >= 2, LONGEST_KILL)
    finally:
        idle.__exit__(None, None, None)


def _until(is_so: Callable[[], bool], limit: float) -> float | None:
    began = perf_counter()
    while not is_so():
        if perf_counter() - began > limit:
            return None
        sleep(0.05)
    return perf_counter() - began


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the medians of each backend."""
    if server.ELSEWHERE not in os.environ:
        server._shared = server.Server(**SETTINGS).start()  # each commit waits for the disk
    try:
        for side, kind in WORKERS:
            for task in ("nothing", "save") if side in SIDES else ():
                runs = []
                for _ in range(ROUNDS):
                    with server.database() as url:
                        runs.append(rate(Site(side, url), task, kind))
                jobs, cpu = (statistics.median(figures) for figures in zip(*runs, strict=True))
                print(f"{side:10} {kind:8} {task:8} {jobs:8,.0f} jobs/s  {cpu:6.2f} ms of processor time", flush=True)
        for side in SIDES if "--slow" in sys.argv else ():
            with server.database() as url:
                print(f"{side:10} runs a killed worker's job again after {recovery(Site(side, url))} s", flush=True)
    finally:
        server.remove_shared_server()


if __name__ == "__main__":
    main()
