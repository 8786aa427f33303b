"""The durable queue on PostgreSQL beside the raw engine and the peers: ``make bench-durable ARGS=postgres``.

One server for all, started for this (`tests/durable/postgres/server.py`), with a commit that waits for the disk and
otherwise its own defaults; each run in a database of its own. The peers run their own workers in one process.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from time import perf_counter, sleep, time
from typing import Any

import psutil
import psycopg

from bench.durable import PER_TICK, _latencies
from bench.rounds import Effort, percentile
from bench.tables import Table, at_least, in_unit
from tests.durable.postgres import server

RAW = "raw engine"
OURS = ("steadypool, threads", "steadypool, processes")
PEERS = ("procrastinate", "pgqueuer")
"""Not chancy, whose worker did not get through a run here, nor oban, which needs Python 3.12."""
SLOWER = {"procrastinate": 60, "pgqueuer": 10}
"""They get that fraction of the jobs: as many as take a second or two."""
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
SETTINGS = DURABLE | {"shared_buffers": "512MB", "max_wal_size": "4GB", "max_connections": "100"}


def tables(effort: Effort) -> Iterator[Table]:
    """All tables."""
    server._shared = server.Server(**SETTINGS).start()
    try:
        yield end_to_end("nothing", effort)
        yield end_to_end("millisecond", effort)
        yield enqueueing(effort)
        yield latency(effort)
        yield bloat(effort)
        yield recovery(effort)
    finally:
        server.remove_shared_server()


class Run:
    """One contender, once: a process that enqueues and one that works, started together."""

    def __init__(self, contender: str, jobs: int, batch: int, work: str, sides: Sequence[str]) -> None:
        with server.database() as url:
            arguments = [url, str(jobs), str(batch), work]
            started = {side: _start(contender, side, arguments) for side in sides}
            began = time()
            for process in started.values():
                print(file=process.stdin, flush=True)
            said = {side: json.loads(_line_with(process, "{")) for side, process in started.items()}
            for process in started.values():
                process.communicate()
        self.seconds = (said[sides[-1]]["ended"] - began) / jobs
        self.cpu = {side: found["cpu"] / jobs for side, found in said.items()}


def _start(contender: str, side: str, arguments: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.postgres_sides", contender, side, *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    _line_with(process, "ready")
    return process


def _line_with(process: subprocess.Popen[str], begin: str) -> str:
    """The next line that begins so: some peers print what they do."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(begin):
            return line
    raise RuntimeError(f"{process.args} has ended before its time")


def end_to_end(work: str, effort: Effort) -> Table:
    """Enqueue, claim, run, settle: one process enqueues by the hundred while another works."""
    contenders = (RAW, *OURS, *PEERS) if work == "nothing" else (*OURS, *PEERS)
    most = (3_000 if effort.quick else 20_000) if work == "nothing" else (1_000 if effort.quick else 5_000)
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for _ in range(effort.rounds // 2 + 1):
        for name in contenders:
            jobs = most // SLOWER.get(name, 1)
            runs[name].append(Run(name, jobs, 100, work, ("produce", "consume")))
    rate = {name: statistics.median(1 / run.seconds for run in found) for name, found in runs.items()}
    rows = [(name, *_figures(found), f"{rate[OURS[0]] / rate[name]:.1f}") for name, found in runs.items()]
    best = max(rate[name] for name in PEERS)
    targets = [at_least(f"{ours}: 10 times procrastinate", rate[ours] / rate["procrastinate"], 10.0) for ours in OURS]
    targets += [at_least(f"{ours}: twice the fastest peer", rate[ours] / best, 2.0) for ours in OURS]
    if RAW in rate:
        targets += [at_least(f"{ours}: 1/3 of the raw engine", rate[ours] / rate[RAW], 1 / 3) for ours in OURS]
    title = "PostgreSQL: jobs that do nothing" if work == "nothing" else "PostgreSQL: jobs of a millisecond"
    columns = ("", "jobs/s", "range", "CPU µs a job: enqueue", "work", "times steadypool, threads")
    note = (
        "Every commit waits for the disk. The raw engine is SQL alone, in batches of 100, and runs nothing. CPU is "
        "that of the two processes; the server's is not in it."
    )
    data = {name: {"jobs_per_second": rate[name], "cpu": [run.cpu for run in found]} for name, found in runs.items()}
    return Table(f"postgres-{work}", title, columns, rows, data, note, targets)


def _figures(runs: list[Run]) -> tuple[str, ...]:
    rates = sorted(1 / run.seconds for run in runs)
    cpu = {side: statistics.median(run.cpu[side] for run in runs) for side in runs[0].cpu}
    spread = f"{rates[0]:,.0f} to {rates[-1]:,.0f}"
    return (f"{statistics.median(rates):,.0f}", spread, *(in_unit(seconds, "µs") for seconds in cpu.values()))


def enqueueing(effort: Effort) -> Table:
    """Enqueueing alone."""
    rows, data = [], {}
    for name, batch in [(name, batch) for name in (RAW, OURS[0], *PEERS) for batch in (1, 100, 1000)]:
        jobs = (200 if effort.quick else 1_000) * (1 if batch == 1 else 10)
        found = [Run(name, jobs, batch, "nothing", ("produce",)) for _ in range(1 if effort.quick else 3)]
        rate = statistics.median(1 / run.seconds for run in found)
        shown = "steadypool" if name in OURS else name
        rows.append((f"{shown}, {batch} at a time", f"{rate:,.0f}", in_unit(found[0].cpu["produce"], "µs")))
        data[rows[-1][0]] = rate
    return Table("postgres-enqueue", "PostgreSQL: enqueueing", ("", "jobs/s", "CPU µs a job"), rows, data)


class OurWorker:
    """``steadypool work`` as a process."""

    def __init__(self, url: str, *options: str) -> None:
        os.environ["STEADYPOOL_URL"] = url
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
    """From the call of ``enqueue`` to the start in another process; and what an idle worker costs."""
    rows, data = [], {}
    count, seconds = (50, 2) if effort.quick else (300, 10)
    for kind in ("thread", "process"):
        with server.database() as url:
            worker = OurWorker(url, "--kind", kind, "--workers", "2")
            idle = _idle_cpu(worker.process.pid, seconds)
            for load, beside in (("idle", 0), ("half load", PER_TICK)):
                values = data[f"{kind}, {load}"] = _latencies(count, beside)
                figures = (in_unit(percentile(values, share), "ms") for share in (50, 99))
                rows.append((f"--kind {kind}, {load}", *figures, f"{idle * 100:.1f} %"))
            worker.stop()
    title = "PostgreSQL: from enqueue to the start of the job, in another process"
    return Table("postgres-latency", title, ("", "p50, ms", "p99, ms", "CPU of an idle worker"), rows, data)


def _idle_cpu(pid: int, seconds: float) -> float:
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    before = sum(sum(one.cpu_times()[:2]) for one in family)
    sleep(seconds)
    return (sum(sum(one.cpu_times()[:2]) for one in family) - before) / seconds


def bloat(effort: Effort) -> Table:
    """Many jobs through a short queue, with and without a session that holds a snapshot."""
    rows, data = [], {}
    jobs = 20_000 if effort.quick else 500_000
    for held in (False, True):
        with server.database() as url, psycopg.connect(url) as holder:
            rates, size = _through(url, jobs, holder if held else None)
        title = "with a held snapshot" if held else "without"
        rows.append((title, f"{rates[0]:,.0f}", f"{rates[-1]:,.0f}", f"{size / 1e6:,.0f}"))
        data[title] = {"rates": rates, "bytes": size}
    columns = ("", "jobs/s, first fifth", "last fifth", "tables and indexes, MB")
    return Table("postgres-bloat", f"PostgreSQL: {jobs:,} jobs through a queue of 5,000", columns, rows, data)


def _through(url: str, jobs: int, holder: Any) -> tuple[list[float], int]:
    from steadypool.durable.opening import open_engine
    from steadypool.durable.records import NewJob, Settlement, Verdict

    engine = open_engine(url)
    engine.migrate()
    who = engine.register("bench", 3600)
    new = [NewJob("t", b'{"number":1}', keep=0.0)] * 250
    for _ in range(20):
        engine.put_many(new)
    if holder is not None:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT 1")
    rates: list[float] = []
    done: list[Any] = []
    leases: set[int] = set()
    for _ in range(5):
        began = perf_counter()
        for _ in range(jobs // 5 // 250):
            engine.put_many(new)
            answer = engine.claim(who, ["default"], 250, done, list(leases))
            done = [Settlement(claim.number, claim.token, Verdict.COMPLETE) for claim in answer.claims]
            leases = {claim.lease for claim in answer.claims}
        rates.append(jobs / 5 / (perf_counter() - began))
    engine.close()
    with psycopg.connect(url) as connection:
        [(size,)] = connection.execute(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = 'steadypool'::regnamespace "
            "AND relkind = 'r'"
        ).fetchall()
    return rates, int(size)


def recovery(effort: Effort) -> Table:
    """From ``kill -9`` of a worker until what it held runs again, and what was lost and repeated."""
    rows, data = [], {}
    for number in range(1 if effort.quick else 3):
        with server.database() as url:
            found = _recover(url, 1_000 if effort.quick else 5_000)
        rows.append((str(number + 1), *(f"{value:,}" if isinstance(value, int) else f"{value:.1f}" for value in found)))
        data[str(number)] = found
    columns = ("run", "jobs", "held at the kill", "lost", "run again", "seconds until all had ended")
    return Table("postgres-recovery", "PostgreSQL: kill -9 of one of two workers, lease 6 s", columns, rows, data)


def _recover(url: str, jobs: int) -> tuple[int, int, int, int, float]:
    from bench import durable_jobs
    from steadypool.durable.records import JobFilter
    from steadypool.durable.states import JobState

    victim = OurWorker(url, "--kind", "process", "--workers", "2", "--name", "victim")
    other = OurWorker(url, "--kind", "process", "--workers", "2", "--name", "other")
    durable_jobs.queue.close()
    queue = durable_jobs.queue
    queue.enqueue_many(durable_jobs.millisecond, [(n,) for n in range(jobs)])
    while queue.stats().queues[0].completed < jobs // 4:
        sleep(0.01)
    victim.process.kill()
    began = perf_counter()
    held = sum(row.running for row in queue.stats().workers if row.name == "victim")
    while queue.stats().queues[0].completed < jobs and perf_counter() - began < 60:
        sleep(0.05)
    seconds = perf_counter() - began
    records = queue.list(JobFilter(limit=jobs * 2))
    other.stop()
    queue.close()
    lost = jobs - sum(record.state is JobState.COMPLETED for record in records)
    return jobs, held, lost, sum(record.losses > 0 for record in records), seconds
