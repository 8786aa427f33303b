"""The durable queue on PostgreSQL beside the raw engine and the peers: ``make bench-durable ARGS=postgres``.

One server for all, started for this (`tests/durable/engine/postgres/server.py`), with a commit that waits for the disk
and otherwise its own defaults; each run in a database of its own. The peers run their own workers.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter, sleep

import psycopg

from bench.postgres_faults import faults
from bench.postgres_peers import PEERS, SLOTS
from bench.postgres_runs import OURS, SETTINGS, Flow, Run, Side, missing, peers, server_cpu
from bench.postgres_sides import RAW
from bench.rounds import Effort, percentile
from bench.schedules import schedules
from bench.tables import Table, Target, at_least, in_unit
from bench.workflows import workflows
from steadypool.durable.engine.open import open_engine
from tests.durable.engine.postgres import server

THREADS = OURS[0]
SLOWER = {"procrastinate": 80, "pgqueuer": 6, "chancy": 40, "oban": 30}
"""They get that fraction of the jobs: as many as take a second or two."""
JOBS = {"nothing": 40_000, "millisecond": 15_000}
FLOW = 500_000
FLOW_OF_PEERS = {"procrastinate": 4_000, "pgqueuer": 60_000, "chancy": 10_000, "oban": 10_000}
"""Fewer: a few seconds' worth."""
WORKERS = (1, 4)
Runs = dict[str, list[Run]]


def tables(effort: Effort) -> Iterator[Table]:
    """All tables."""
    server._shared = server.Server(**SETTINGS).start()
    try:
        halves: dict[str, float] = {}
        for what in JOBS:
            for workers in WORKERS:
                runs = _runs(what, workers, effort)
                yield end_to_end(what, workers, runs)
                if workers == 1:
                    yield parts(what, runs)
                if (what, workers) == ("millisecond", 1):
                    halves = {name: _rate(found) / 2 for name, found in runs.items()}
        yield enqueueing(effort)
        yield latency(effort, halves)
        yield looks(effort)
        yield bloat(effort)
        yield faults(effort)
        yield schedules(effort)
        yield workflows(effort)
    finally:
        server.remove_shared_server()


def _runs(what: str, workers: int, effort: Effort) -> Runs:
    contenders = [*([RAW] if what == "nothing" else []), *OURS, *peers()]
    runs: Runs = {name: [] for name in contenders}
    rounds = 1 if effort.quick else 3 if (what, workers) == ("nothing", 1) else 2
    for number in range(rounds):
        for name in contenders:
            if name in SLOWER and number == rounds - 1 > 0:
                continue  # their rates vary little beside the distance
            jobs = JOBS[what] * (1 if workers == 1 else 2) // SLOWER.get(name, 1)
            runs[name].append(Run(name, what, jobs // (5 if effort.quick else 1), workers=workers))
    return runs


def _rate(runs: Sequence[Run]) -> float:
    return statistics.median(run.rate for run in runs)


def end_to_end(what: str, workers: int, runs: Runs) -> Table:
    """Put, claim, run, settle: one process puts by the hundred while others work."""
    rate = {name: _rate(found) for name, found in runs.items()}
    rows = [(name, *_figures(found), f"{rate[THREADS] / rate[name]:.1f}") for name, found in runs.items()]
    rows += [(name, missing(name) or "", "", "", "", "") for name in PEERS if name not in runs]
    jobs = "jobs that do nothing" if what == "nothing" else "jobs that wait for a millisecond"
    crew = "1 worker" if workers == 1 else f"{workers} workers"
    columns = ("", "jobs/s", "range", "CPU µs a job: enqueue", "work", "times steadypool, threads")
    note = (
        f"Every commit waits for the disk. A worker is a process; the peers' run up to {SLOTS} jobs at a time "
        "(pgqueuer 100), our threads 2 that do nothing and as many that wait, our processes 2 and 8, our loop 200. "
        "The raw engine is SQL alone, in batches of 100, and runs nothing. CPU without the server's."
    )
    data = {name: {"jobs_per_second": rate[name], "cpu": [run.cpu for run in found]} for name, found in runs.items()}
    return Table(f"postgres-{what}-{workers}", f"PostgreSQL: {jobs}, {crew}", columns, rows, data, note, _targets(rate))


def _figures(runs: Sequence[Run]) -> tuple[str, ...]:
    rates = sorted(run.rate for run in runs)
    spread = f"{rates[0]:,.0f} to {rates[-1]:,.0f}"
    cpu = (statistics.median(run.putting for run in runs), statistics.median(run.working for run in runs))
    return (f"{statistics.median(rates):,.0f}", spread, *(in_unit(seconds, "µs") for seconds in cpu))


def _targets(rate: dict[str, float]) -> list[Target]:
    ours = max(OURS, key=lambda name: rate[name])
    targets = []
    best = max((name for name in PEERS if name in rate), key=lambda name: rate[name], default=None)
    if "procrastinate" in rate:
        targets += [at_least(f"{ours}: 10 times procrastinate", rate[ours] / rate["procrastinate"], 10.0)]
    if best is not None:
        targets += [at_least(f"{ours}: twice the fastest peer ({best})", rate[ours] / rate[best], 2.0)]
    if RAW in rate:
        targets += [at_least(f"{ours}: 1/3 of the raw engine", rate[ours] / rate[RAW], 1 / 3)]
    return targets


LOOPS = ("loop", "steadypool-durable", "children")
"""The peers' one loop does everything; ours feeds what runs jobs."""


def parts(what: str, runs: Runs) -> Table:
    """Where the time goes, by process and thread."""
    rows, data = [], {}
    for name, found in runs.items():
        run = max(found, key=lambda one: one.rate)
        work = run.cpu[1]
        own_loop, processes = sum(work.get(loop, 0.0) for loop in LOOPS[:2]), work[LOOPS[2]]
        rest = run.working - own_loop - processes
        spent = (run.putting, own_loop, rest, processes, run.server)
        shares = (f"{sum(spent) * run.rate:.2f}", f"{(own_loop + rest) * run.rate * 100:.0f} %")
        rows.append((name, *(in_unit(part, "µs") for part in spent), *shares))
        data[name] = dict(zip(("put", "loop", "rest", "processes", "server"), spent, strict=True))
    spent_by = ("who enqueues", "worker: the thread of its loop", "its other threads", "its processes", "server")
    columns = ("", *spent_by, "cores in use", "of the time one interpreter has")
    note = (
        f"CPU µs a job in the fastest of the runs above; how many of the {os.cpu_count()} cores all of it fills; and "
        "the share of its time in which the worker's interpreter, which runs one thread at a time, was at work."
    )
    kind = "that do nothing" if what == "nothing" else "of a millisecond"
    title = f"PostgreSQL: where the time goes, jobs {kind}, 1 worker"
    return Table(f"postgres-parts-{what}", title, columns, rows, data, note)


def enqueueing(effort: Effort) -> Table:
    """Enqueueing alone."""
    rows, data = [], {}
    for name, batch in [(name, batch) for name in (RAW, THREADS, *peers()) for batch in (1, 100, 1000)]:
        jobs = (200 if effort.quick else 1_000) * (1 if batch == 1 else 10)
        found = [Run(name, "nothing", jobs, workers=0, batch=batch) for _ in range(1 if effort.quick else 2)]
        shown = "steadypool" if name in OURS else name
        rows.append((f"{shown}, {batch} at a time", f"{_rate(found):,.0f}", in_unit(found[0].putting, "µs")))
        data[rows[-1][0]] = _rate(found)
    return Table("postgres-enqueue", "PostgreSQL: enqueueing", ("", "jobs/s", "CPU µs a job"), rows, data)


TICK = 0.01


def latency(effort: Effort, halves: dict[str, float]) -> Table:
    """From the call that enqueues to the start in another process; and what an idle worker costs."""
    rows, data = [], {}
    count, seconds = (50, 2) if effort.quick else (200, 5)
    for name in (*OURS, *peers()):
        with (
            server.database() as url,
            tempfile.TemporaryDirectory(prefix="steadypool-bench-") as folder,
            Side(name, "send", url, "since") as sender,
            Side(name, "serve", url, "since") as worker,
        ):
            sleep(1.0)
            idle = _idle_cpu(worker, seconds)
            beside = max(1, round(halves.get(name, 0.0) * TICK))
            alone = _latencies(sender, Path(folder, "alone"), count, 0)
            loaded = _latencies(sender, Path(folder, "loaded"), count, beside)
        figures = [in_unit(percentile(values, share), "ms") for values in (alone, loaded) for share in (50, 99)]
        rows.append((name, *figures, f"{idle * 100:.1f} %"))
        data[name] = {"idle": alone, "half load": loaded, "cpu": idle}
    title = "PostgreSQL: from enqueue to the start of the job, in another process"
    columns = ("", "idle: p50, ms", "p99, ms", "half load: p50, ms", "p99, ms", "CPU of an idle worker")
    note = "At half load: with half as many jobs of a millisecond beside them as one worker did in a second above."
    return Table("postgres-latency", title, columns, rows, data, note)


def _latencies(sender: Side, path: Path, count: int, beside: int) -> list[float]:
    for number in range(count):
        begin = perf_counter()
        if beside:
            sender.send("millisecond", [number] * beside, path)
        sender.send("since", [None], path)
        sleep(max(0.0, begin + TICK - perf_counter()))
    until = perf_counter() + 30
    values: list[str] = []
    while len(values) < count and perf_counter() < until:
        sleep(0.05)
        values = path.read_text().split() if path.exists() else []
    return [float(value) for value in values[5:]]


def _idle_cpu(worker: Side, seconds: float) -> float:
    before = worker.cpu()
    sleep(seconds)
    return (worker.cpu() - before) / seconds


def looks(effort: Effort) -> Table:
    """What the calls of a worker that has nothing to do cost the server."""
    rows, data = [], {}
    count = 300 if effort.quick else 1_000
    with server.database() as url:
        engine = open_engine(url)
        engine.migrate()
        worker = engine.register("bench", 600)
        calls: dict[str, Callable[[], object]] = {
            "claim": lambda: engine.claim(worker, ["default"], 2),
            "sweep": lambda: engine.sweep(25),
            "renewal": lambda: engine.renew(worker, 600),
        }
        for name, call in calls.items():
            before = server_cpu()
            for _ in range(count):
                call()
            data[name] = (server_cpu() - before) / count
            rows.append((name, in_unit(data[name], "µs")))
        engine.close()
    note = "docs/growing.md and examples/fleet.py reckon with them."
    title = "PostgreSQL: a call that finds nothing to do"
    return Table("postgres-looks", title, ("", "CPU µs in the server"), rows, data, note)


def bloat(effort: Effort) -> Table:
    """Many jobs through a short queue, with and without a session that holds a snapshot."""
    rows, data = [], {}
    for name in (OURS[1], *peers()):
        for held in (False, True):
            jobs = FLOW_OF_PEERS.get(name, FLOW) // (20 if effort.quick else 1)
            with server.database() as url:
                with psycopg.connect(url) as holder:
                    rates = Flow(url, name, jobs, holder if held else None).rates
                size = _size(url)
            title = f"{name}, {'with a held snapshot' if held else 'without'}"
            figures = (
                f"{jobs:,}",
                f"{rates[0]:,.0f}",
                f"{rates[-1]:,.0f}",
                f"{size / 1e6:,.0f}",
                f"{size / jobs:,.0f}",
            )
            rows.append((title, *figures))
            data[title] = {"rates": rates, "bytes": size}
    columns = ("", "jobs", "jobs/s, first fifth", "last fifth", "tables and indexes, MB", "bytes a job")
    note = (
        "One process puts jobs that do nothing, no more than 5,000 before those that are done, and one worker does "
        "them. The peers get as many as take some seconds. We keep no record of these jobs, pgqueuer a short one, the "
        "others the whole row."
    )
    return Table("postgres-bloat", "PostgreSQL: many jobs through a short queue", columns, rows, data, note)


def _size(url: str) -> int:
    with psycopg.connect(url) as connection:
        [(size,)] = connection.execute(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
    return int(size)
