"""What was lost and what ran twice when something went wrong on PostgreSQL: ours and the peers, done the same to all.

Two workers, and jobs of 20 ms that each leave a line. A worker that ends by itself is started again, as a
service manager would.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep

import psycopg

from bench.postgres_runs import OURS, Side, peers
from bench.rounds import Effort
from bench.tables import Table, at_most
from tests.durable.engine.postgres import server

PATIENCE = 10.0
"""Seconds without any job after which a run is over: what has not run by then counts as not run."""
TERMINATIONS = 10
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
JOBS = {"procrastinate": 600}
KINDS = OURS[:2]


def faults(effort: Effort) -> Table:
    """All, for all."""
    rows, data, targets = [], {}, []
    for title, fault in FAULTS.items():
        for name in (*KINDS, *peers()):
            run = FaultRun(name, JOBS.get(name, 3_000) // (5 if effort.quick else 1), fault)
            rows.append((f"{title}: {name}", *run.figures()))
            data[f"{title}, {name}"] = run.to_dict()
            if name in KINDS:
                targets.append(at_most(f"{title}, {name}: none lost", run.lost, 0.0))
                targets.append(at_most(f"{title}, {name}: over within 10 s", run.seconds, 10.0))
    columns = (
        "",
        "jobs",
        "not run",
        "ran twice",
        "workers that ended",
        "longest pause, s",
        "seconds from the fault to the last job",
    )
    note = (
        "Two workers, jobs of 20 ms, the fault after a quarter of them; a worker that ends by itself is started "
        f"again. Not run: not when nothing had happened for {PATIENCE:g} s. Some of those would run later: by their "
        "defaults, pgqueuer takes jobs back after 30 s, chancy after 90 to 150 s, oban after 5 minutes, procrastinate "
        "when a task that asks for it is written. Ours takes them back after 6 s."
    )
    return Table("postgres-faults", "PostgreSQL: lost and repeated jobs", columns, rows, data, note, targets)


class FaultRun:
    """One contender and one fault."""

    def __init__(self, name: str, jobs: int, fault: Callable[[FaultRun], None]) -> None:
        self.name, self.jobs = name, jobs
        self.ended = 0
        self._path = Path()
        with server.database() as self.url, tempfile.TemporaryDirectory(prefix="steadypool-bench-") as folder:
            self._path = Path(folder, "lines")
            with Side(name, "send", self.url, "line") as sender:
                self.workers = [self._start(), self._start()]
                for first in range(0, jobs, 100):
                    sender.send("line", list(range(first, min(jobs, first + 100))), self._path)
            self.wait_for(jobs // 4)
            began = perf_counter()
            fault(self)
            self.wait_for(jobs)
            self.seconds = perf_counter() - began
            for worker in self.workers:
                worker.__exit__(None, None, None)
            ran = self.ran()
        self.lost = jobs - len(ran)
        self.again = sum(ran.values()) - len(ran)

    def figures(self) -> tuple[str, ...]:
        """As they stand in the table."""
        seconds = self.seconds - (PATIENCE if self.lost else 0.0)
        counts = (f"{count:,}" for count in (self.jobs, self.lost, self.again, self.ended))
        return (*counts, f"{self.pause:.1f}" + (" or more" if self.lost else ""), f"{seconds:.1f}")

    def to_dict(self) -> dict[str, float]:
        """As numbers."""
        return {
            "jobs": self.jobs, "lost": self.lost, "again": self.again, "pause": self.pause, "seconds": self.seconds
        }  # fmt: skip

    def ran(self) -> Counter[str]:
        """Which jobs have run, and how often."""
        return Counter(self._path.read_text().split()) if self._path.exists() else Counter()

    def wait_for(self, jobs: int) -> None:
        """Until so many have run, or nothing has happened for a while."""
        self.pause = 0.0
        seen, since = -1, perf_counter()
        while seen < jobs:
            count = len(self.ran())
            now = perf_counter()
            if count != seen:
                seen, since = count, now
            self.pause = max(self.pause, now - since)
            if now - since > PATIENCE:
                return
            self._start_again()
            sleep(0.05)

    def _start_again(self) -> None:
        for place, worker in enumerate(self.workers):
            if worker.process.poll() is not None:
                self.ended += 1
                worker.__exit__(None, None, None)
                try:
                    self.workers[place] = self._start()
                except RuntimeError:
                    continue  # it has ended before it was ready, and is started again the next time

    def _start(self) -> Side:
        return Side(self.name, "serve", self.url, "line")


def kill(run: FaultRun) -> None:
    """One of two is killed, and not started again."""
    victim = run.workers.pop()
    victim.process.kill()
    victim.process.wait()


def terminate(run: FaultRun) -> None:
    """All sessions are ended, ten times."""
    with psycopg.connect(server.admin_url(), autocommit=True) as connection:
        for _ in range(TERMINATIONS):
            connection.execute(TERMINATE, [psycopg.conninfo.conninfo_to_dict(run.url)["dbname"]])
            sleep(0.1)


def restart(run: FaultRun) -> None:
    """The server is stopped, and started a second later."""
    assert server._shared is not None
    server._shared.stop()
    sleep(1.0)
    server._shared.start()


FAULTS: dict[str, Callable[[FaultRun], None]] = {
    "kill -9 of one of two workers": kill,
    "sessions ended ten times": terminate,
    "server restarted": restart,
}
