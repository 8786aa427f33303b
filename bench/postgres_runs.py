"""Runs of contenders on PostgreSQL, each a few processes (`bench.postgres_sides`) on a database of its own."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import sleep, time
from types import TracebackType
from typing import Any

import psutil

from bench.postgres_peers import PEERS, why_missing
from bench.postgres_sides import KINDS
from bench.tally import Tally
from tests.durable.engine.postgres import server

OBAN_PYTHON = "STEADYPOOL_BENCH_OBAN_PYTHON"
"""Names another interpreter for oban, which needs 3.12, with requirements/bench.txt installed."""
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
SETTINGS = DURABLE | {"shared_buffers": "512MB", "max_wal_size": "4GB", "max_connections": "100"}
OURS = tuple(KINDS)
AHEAD = 5000
"""How many jobs wait at most while many pass."""


def peers() -> list[str]:
    """Those that can be measured here."""
    return [name for name in PEERS if not missing(name)]


def missing(name: str) -> str | None:
    """Why a peer cannot be measured here."""
    return None if name == "oban" and OBAN_PYTHON in os.environ else why_missing(name)


class Side:
    """One process of a contender, which is ready, unless another one waits for that."""

    def __init__(self, contender: str, side: str, url: str, *more: object, wait: bool = True) -> None:
        python = os.environ.get(OBAN_PYTHON, sys.executable) if contender == "oban" else sys.executable
        command = [python, "-m", "bench.postgres_sides", contender, side, url, *map(str, more)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        if wait:
            self.line_with("ready")

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        """End it, and what it has started: a peer's child would keep running."""
        family = [self.process.pid, *(child.pid for child in self._children())]
        for pid in family:
            try:
                psutil.Process(pid).kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()

    def go(self) -> None:
        """Give it the word."""
        self.tell("")

    def tell(self, line: str) -> None:
        """Write a line to it."""
        print(line, file=self.process.stdin, flush=True)

    def line_with(self, begin: str) -> str:
        """The next line that begins so: some peers print what they do."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(begin):
                return line
        raise RuntimeError(f"{self.process.args} has ended before its time")

    def send(self, what: str, numbers: Sequence[float | None], path: Path) -> None:
        """Have it put jobs with these numbers, or with the moment at which that is done."""
        self.tell(json.dumps([what, numbers, str(path)]))
        self.line_with("sent")

    def cpu(self) -> float:
        """Seconds of CPU that it has used, with its children."""
        family = [psutil.Process(self.process.pid), *self._children()]
        return sum(sum(one.cpu_times()[:2]) for one in family)

    def _children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


class Run:
    """A process that puts jobs, and some that work on them, started together."""

    def __init__(self, name: str, what: str, jobs: int, *, workers: int = 1, batch: int = 100) -> None:
        with server.database() as url, tempfile.TemporaryDirectory(prefix="steadypool-bench-") as folder:
            more = (what, jobs, batch, Path(folder, "tally"))
            sides = [Side(name, "produce", url, *more, 0, 0)]
            sides += [Side(name, "consume", url, *more, place, 0, wait=False) for place in range(1, workers + 1)]
            for side in sides[1:]:
                side.line_with("ready")
            server_before, began = server_cpu(), time()
            for side in sides:
                side.go()
            said = [json.loads(side.line_with("{")) for side in sides]
            self.server = (server_cpu() - server_before) / jobs
            for side in sides:
                side.process.wait()
        ended = min(one["ended"] for one in said[1:] or said)
        self.rate = jobs / (ended - began)
        self.cpu = [{part: seconds / jobs for part, seconds in one["cpu"].items()} for one in said]

    @property
    def putting(self) -> float:
        """CPU seconds a job of the process that puts."""
        return sum(self.cpu[0].values())

    @property
    def working(self) -> float:
        """CPU seconds a job of all who work."""
        return sum(sum(one.values()) for one in self.cpu[1:])


class Flow:
    """Many jobs through a short queue, by one worker: rates while they pass, and what the tables take at the end."""

    FIFTHS = 5

    def __init__(self, url: str, name: str, jobs: int, holder: Any) -> None:
        what = "forgotten" if name in OURS else "nothing"
        with tempfile.TemporaryDirectory(prefix="steadypool-bench-") as folder:
            tally = Tally(Path(folder, "tally"))
            more = (what, jobs, 250, Path(folder, "tally"))
            with (
                Side(name, "produce", url, *more, 0, 5000) as putting,
                Side(name, "consume", url, *more, 1, 0) as works,
            ):
                if holder is not None:
                    holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    holder.execute("SELECT 1")
                moments = [time()]
                putting.go()
                works.go()
                for fifth in range(1, self.FIFTHS + 1):
                    while tally.total() < jobs * fifth // self.FIFTHS:
                        sleep(0.01)
                    moments.append(time())
                works.line_with("{")
        self.rates = [jobs / self.FIFTHS / (b - a) for a, b in itertools.pairwise(moments)]


def server_cpu() -> float:
    """Seconds that the server's processes have used, those that have ended included."""
    assert server._shared is not None
    assert server._shared._process is not None
    main = psutil.Process(server._shared._process.pid)
    total = sum(main.cpu_times()[:4])
    for child in main.children():
        try:
            total += sum(child.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return total
