"""``steadypool demo --durable``: a worker is killed with ``kill -9`` half-way, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from steadypool.cli.demo import durable_jobs
from steadypool.cli.exit_codes import DONE, SOME_FAILED
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.records import JobFilter, JobRecord, QueueStats
from steadypool.durable.engine.states import ENDED, JobState
from steadypool.durable.engine.url import URL_VARIABLE
from steadypool.model.clock import monotonic

FILES = 600
"""Enough work that a worker is in the middle of it when it is killed."""
LEASE = 2.0
LIMIT = 60.0
"""Seconds that any one step of it may take."""
PAGE = 10_000


class DurableDemo:
    """One showing."""

    def __init__(self, console: Console, workers: int, files: Sequence[str]) -> None:
        self._console = console
        self._workers = workers
        self._files = files[:: max(1, len(files) // FILES)][:FILES]
        self._began = monotonic()

    def run(self) -> int:
        """Show it; the exit code is 0 if every job has ended."""
        with tempfile.TemporaryDirectory(prefix="steadypool-demo-") as folder:
            os.environ[URL_VARIABLE] = f"sqlite:///{Path(folder) / 'jobs.db'}"
            try:
                return self._show(durable_jobs.queue)
            finally:
                durable_jobs.queue.close()

    def _show(self, queue: Queue) -> int:
        self._console.print(f"steadypool demo --durable: a queue in one SQLite file, {queue.url}\n", highlight=False)
        queue.enqueue_many(durable_jobs.survey, [(path,) for path in self._files])
        self._say(f"{len(self._files)} jobs are enqueued, each a source file to read, hash and parse")
        first = self._start_worker()
        self._wait_until_half_way(queue)
        first.kill()
        first.wait()
        left = queue.stats().queues[0]
        self._say(
            f"half-way: kill -9 to the worker, process {first.pid}. {left.completed + left.discarded} jobs have ended, "
            f"{left.running} were in its hands, {left.available} wait"
        )
        second = self._start_worker("--until-empty")
        self._say(
            f"another worker starts, process {second.pid}; what the dead one held is free when its lease of "
            f"{LEASE:g} s is over"
        )
        second.wait(LIMIT)
        return self._account(queue)

    def _start_worker(self, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "steadypool.cli", "work", f"{durable_jobs.__name__}:queue", "--quiet"]
        options = ["--kind", "process", "--workers", str(self._workers), "--lease", str(LEASE)]
        return subprocess.Popen([*command, *options, *more], stderr=subprocess.DEVNULL)

    def _wait_until_half_way(self, queue: Queue) -> None:
        until = monotonic() + LIMIT
        listener = queue.engine.listener("ends")
        try:
            while _ended(queue.stats().queues[0]) < len(self._files) // 2 and monotonic() < until:
                listener.wait(0.5)
        finally:
            listener.close()

    def _account(self, queue: Queue) -> int:
        records = queue.list(JobFilter(limit=PAGE))
        ended = [record for record in records if record.state in ENDED]
        lost = len(self._files) - len(ended)
        self._say("it has ended, since nothing is left to do\n")
        self._console.print(
            f"enqueued          {len(self._files)}\n"
            f"completed         {_count(records, JobState.COMPLETED)}\n"
            f"failed            {_count(records, JobState.DISCARDED)}  (files that are no Python)\n"
            f"lost              {lost}\n"
            f"run again         {sum(record.losses > 0 for record in records)}  (what the dead worker held)\n",
            highlight=False,
        )
        return DONE if lost == 0 else SOME_FAILED

    def _say(self, text: str) -> None:
        self._console.print(Text(f"{monotonic() - self._began:5.1f} s  {text}"), soft_wrap=True)


def _ended(row: QueueStats) -> int:
    return row.completed + row.discarded + row.cancelled


def _count(records: Sequence[JobRecord], state: JobState) -> int:
    return sum(record.state is state for record in records)
