"""The durable queue beside the raw engine and the peers: ``python -m bench durable``, or ``make bench-durable``."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter, sleep, time
from typing import Any

from bench.durable_sides import SERVERS
from bench.rounds import Effort, percentile
from bench.tables import Table, at_least, at_most, in_unit

RAW = "raw engine"
OURS = ("steadypool, threads", "steadypool, processes")
PEERS = ("huey, threads", "litequeue, one loop")
SLOW = frozenset(PEERS)
"""They write one job at a time: a tenth of the jobs tells as much."""


def tables(effort: Effort) -> Iterator[Table]:
    """All tables."""
    yield end_to_end("nothing", effort)
    yield end_to_end("millisecond", effort)
    yield enqueueing(effort)
    yield latency(effort)
    yield backlog(effort)
    yield recovery(effort)


PATIENCE = 15.0
"""Seconds without any job after which what has not run is lost."""


class Run:
    """One contender, once: a process that enqueues and one that works, started together."""

    def __init__(self, contender: str, jobs: int, batch: int, work: str, sides: Sequence[str]) -> None:
        with tempfile.TemporaryDirectory(prefix="steadypool-bench-") as folder:
            arguments = [contender, folder, str(jobs), str(batch), work]
            started = {side: self._start(side, arguments) for side in sides}
            began = time()
            for process in started.values():
                print(file=process.stdin, flush=True)
            said = {side: json.loads(process.stdout.readline()) for side, process in started.items()}  # type: ignore[union-attr]
            for process in started.values():
                process.communicate()
        self.seconds = (said[sides[-1]]["ended"] - began) / jobs
        self.cpu = {side: found["cpu"] / jobs for side, found in said.items()}

    def _start(self, side: str, arguments: list[str]) -> subprocess.Popen[str]:
        contender, *rest = arguments
        command = [sys.executable, "-m", "bench.durable_sides", contender, side, *rest]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{' '.join(command)} did not get ready")
        return process


def end_to_end(work: str, effort: Effort) -> Table:
    """Enqueue, claim, run, settle: one process enqueues by the hundred while another works."""
    contenders = (RAW, *OURS, *PEERS) if work == "nothing" else (*OURS, *PEERS)
    most = (3_000 if effort.quick else 20_000) if work == "nothing" else (1_000 if effort.quick else 5_000)
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for _ in range(effort.rounds // 2 + 1):
        for name in contenders:
            jobs = most // 10 if name in SLOW else most
            runs[name].append(Run(name, jobs, 100, work, ("produce", "consume")))
    rows = [(name, *_figures(found)) for name, found in runs.items()]
    rate = {name: statistics.median(1 / run.seconds for run in found) for name, found in runs.items()}
    best_peer = max(rate[name] for name in PEERS)
    targets = [at_least(f"{ours}: 5 times the faster peer", rate[ours] / best_peer, 5.0) for ours in OURS]
    if RAW in rate:
        targets += [at_least(f"{ours}: 1/4 of the raw engine", rate[ours] / rate[RAW], 0.25) for ours in OURS]
    title = "jobs that do nothing" if work == "nothing" else "jobs of a millisecond (8 workers)"
    data = {name: {"jobs_per_second": rate[name], "cpu": [run.cpu for run in found]} for name, found in runs.items()}
    columns = ("", "jobs/s", "range", "CPU µs a job: enqueue", "work")
    note = "Every commit waits for the disk. The raw engine is SQL alone, in batches of 100, and runs nothing."
    return Table(f"durable-{work}", f"End to end, {title}", columns, rows, data, note, targets)


def _figures(runs: list[Run]) -> tuple[str, ...]:
    rates = sorted(1 / run.seconds for run in runs)
    cpu = {side: statistics.median(run.cpu[side] for run in runs) for side in runs[0].cpu}
    spread = f"{rates[0]:,.0f} to {rates[-1]:,.0f}"
    return (f"{statistics.median(rates):,.0f}", spread, *(in_unit(seconds, "µs") for seconds in cpu.values()))


def enqueueing(effort: Effort) -> Table:
    """Enqueueing alone."""
    cases = [(name, batch) for name in (RAW, OURS[0]) for batch in (1, 100, 1000)] + [(name, 1) for name in PEERS]
    rows, data = [], {}
    for name, batch in cases:
        jobs = (200 if effort.quick else 1_000) * (1 if batch == 1 else 10)
        found = [Run(name, jobs, batch, "nothing", ("produce",)) for _ in range(3)]
        rate = statistics.median(1 / run.seconds for run in found)
        shown = "steadypool" if name in OURS else name
        rows.append((f"{shown}, {batch} at a time", f"{rate:,.0f}", in_unit(found[0].cpu["produce"], "µs")))
        data[rows[-1][0]] = rate
    return Table("durable-enqueue", "Enqueueing", ("", "jobs/s", "CPU µs a job"), rows, data)


class OurWorker:
    """``steadypool work`` as a process, in a folder of its own."""

    def __init__(self, folder: str, *options: str) -> None:
        os.environ["STEADYPOOL_URL"] = f"sqlite:///{folder}/ours.db"
        command = [sys.executable, "-m", "steadypool.cli", "work", "bench.durable_jobs:queue", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        while "is ready" not in (line := self.process.stderr.readline()):
            if not line:
                raise RuntimeError("the worker has not started")

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate()


def latency(effort: Effort) -> Table:
    """From the call of ``enqueue`` to the start in another process."""
    rows, data = [], {}
    count = 50 if effort.quick else 300
    for kind in ("thread", "process"):
        with tempfile.TemporaryDirectory() as folder:
            worker = OurWorker(folder, "--kind", kind, "--workers", "2")
            for load in ("idle", "half load"):
                values = data[f"{kind}, {load}"] = _latencies(count, 0 if load == "idle" else PER_TICK)
                figures = (percentile(values, 50), percentile(values, 99), max(values))
                rows.append((f"--kind {kind}, {load}", *(in_unit(value, "ms") for value in figures)))
            worker.stop()
    title = "From enqueue to the start of the job, in another process"
    worst = max(percentile(values, 50) for name, values in data.items() if name.endswith("idle"))
    targets = [at_least("p50 below 5 ms: 5 ms / p50", 0.005 / worst, 1.0)]
    return Table("durable-latency", title, ("", "p50, ms", "p99, ms", "most, ms"), rows, data, targets=targets)


PER_TICK = 10
"""At half load: jobs of a millisecond, enqueued with each that is measured; two workers could do twenty in that
time."""


def _latencies(count: int, beside: int) -> list[float]:
    from bench import durable_jobs

    durable_jobs.queue.close()
    handles = []
    for _ in range(count):
        if beside:
            durable_jobs.queue.enqueue_many(durable_jobs.millisecond, [(n,) for n in range(beside)])
        handles.append(durable_jobs.since.enqueue(time()))
        sleep(0.01)
    values = [handle.result(30) for handle in handles]
    durable_jobs.queue.close()
    return values[5:]


def backlog(effort: Effort) -> Table:
    """How fast jobs are done while many more wait."""
    rows, data = [], {}
    for waiting in (1_000, 10_000, 100_000) if effort.quick else (1_000, 10_000, 100_000, 1_000_000):
        with tempfile.TemporaryDirectory() as folder:
            rate = _rate_with(folder, waiting, min(waiting, 3_000 if effort.quick else 20_000))
        rows.append((f"{waiting:,}", f"{rate:,.0f}"))
        data[str(waiting)] = rate
    return Table("durable-backlog", "With so many jobs waiting", ("waiting", "jobs/s, claimed and settled"), rows, data)


def _rate_with(folder: str, waiting: int, jobs: int) -> float:
    from steadypool.durable.opening import open_engine
    from steadypool.durable.records import NewJob, Settlement, Verdict

    engine = open_engine(f"sqlite:///{folder}/jobs.db")
    for first in range(0, waiting, 10_000):
        engine.put_many([NewJob("t", b'{"number":1}')] * min(10_000, waiting - first))
    who = engine.register("bench", 600)
    done: list[Any] = []
    began = perf_counter()
    for _ in range(jobs // 100):
        answer = engine.claim(who, ["default"], 100, done)
        done = [Settlement(claim.number, claim.token, Verdict.COMPLETE, result=b"1") for claim in answer.claims]
    rate = jobs / (perf_counter() - began)
    engine.close()
    return rate


def recovery(effort: Effort) -> Table:
    """A worker is killed in the middle of its work, and another takes its place: what was lost, and what ran twice."""
    rows, data = [], {}
    jobs = 600 if effort.quick else 3_000
    for name in SERVERS:
        with tempfile.TemporaryDirectory(prefix="steadypool-bench-") as folder:
            found = _killed(name, folder, jobs)
        kills, lost, again, seconds = found
        rows.append((name, f"{jobs:,}", str(kills), str(lost), str(again), f"{seconds:.1f}"))
        data[name] = found
    columns = ("", "jobs", "kills", "lost", "ran twice", "seconds from the last kill to the last job")
    title = "kill -9 of the worker, three times; a new one at once"
    note = f"Lost: has not run when nothing has happened for {PATIENCE:g} s. Our lease has its default of 6 s."
    ours = data["steadypool, processes"]
    targets = [at_most("ours: none lost", ours[1], 0.0)]
    return Table("durable-recovery", title, columns, rows, data, note, targets)


def _killed(name: str, folder: str, jobs: int) -> tuple[int, int, int, float]:
    path = f"{folder}/lines"
    command = [sys.executable, "-m", "bench.durable_sides", name]
    subprocess.run([*command, "fill", folder, path, str(jobs)], check=True)
    kills = 3
    for kill in range(1, kills + 1):
        worker = subprocess.Popen([*command, "serve", folder, path])
        _wait_for(path, jobs * kill // (kills + 1))
        worker.kill()
        worker.wait()
    killed = time()
    worker = subprocess.Popen([*command, "serve", folder, path])
    numbers = _wait_for(path, jobs)
    ended = os.stat(path).st_mtime
    worker.kill()
    worker.wait()
    return kills, jobs - len(set(numbers)), len(numbers) - len(set(numbers)), ended - killed


def _wait_for(path: str, jobs: int) -> list[str]:
    """Until so many different jobs have run, or nothing has happened for a while; which have run."""
    seen, since = 0, perf_counter()
    while True:
        numbers = Path(path).read_text().splitlines() if os.path.exists(path) else []
        if len(set(numbers)) >= jobs or perf_counter() - since > PATIENCE:
            return numbers
        if len(numbers) != seen:
            seen, since = len(numbers), perf_counter()
        sleep(0.02)
