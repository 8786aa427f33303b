"""The durable queue beside the raw engine and the peers: ``python -m bench durable``, or ``make bench-durable``."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter, sleep, time
from typing import Any

from bench.durable_sides import GRACE, SERVERS, SIXTEEN, SLEEPERS
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
    yield faults(effort)


SHARED = "one by one on 16 threads"
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
    targets = [at_least(f"{ours}: 5 times the faster peer", _times(runs, ours, PEERS), 5.0) for ours in OURS]
    if RAW in rate:
        targets += [at_least(f"{ours}: 1/4 of the raw engine", _times(runs, ours, (RAW,)), 0.25) for ours in OURS]
    title = "jobs that do nothing" if work == "nothing" else f"jobs that wait for a millisecond ({SLEEPERS} workers)"
    data = {name: {"jobs_per_second": rate[name], "cpu": [run.cpu for run in found]} for name, found in runs.items()}
    columns = ("", "jobs/s", "range", "CPU µs a job: enqueue", "work")
    note = "Every commit waits for the disk. The raw engine is SQL alone, in batches of 100, and runs nothing."
    if work == "millisecond":
        slept = _seconds_of_a_millisecond()
        wanted = 5 * max(rate[name] for name in PEERS)
        note = (
            f"Every commit waits for the disk. sleep(0.001) takes {slept * 1000:.2f} ms here, so {SLEEPERS} workers do "
            f"{SLEEPERS / slept:,.0f} jobs/s at most; 5 times the faster peer is {wanted:,.0f}."
        )
    return Table(f"durable-{work}", f"End to end, {title}", columns, rows, data, note, targets)


def _seconds_of_a_millisecond() -> float:
    began = perf_counter()
    for _ in range(200):
        sleep(0.001)
    return (perf_counter() - began) / 200


def _times(runs: dict[str, list[Run]], ours: str, others: Sequence[str]) -> float:
    """How many times as fast as the fastest of the others, within each round; the median over the rounds."""
    rounds = zip(runs[ours], *(runs[name] for name in others), strict=True)
    return statistics.median(min(run.seconds for run in rest) / own.seconds for own, *rest in rounds)


def _figures(runs: list[Run]) -> tuple[str, ...]:
    rates = sorted(1 / run.seconds for run in runs)
    cpu = {side: statistics.median(run.cpu[side] for run in runs) for side in runs[0].cpu}
    spread = f"{rates[0]:,.0f} to {rates[-1]:,.0f}"
    return (f"{statistics.median(rates):,.0f}", spread, *(in_unit(seconds, "µs") for seconds in cpu.values()))


def enqueueing(effort: Effort) -> Table:
    """Enqueueing alone."""
    cases = [(name, batch, "nothing") for name in (RAW, OURS[0]) for batch in (1, 100, 1000)]
    cases += [(name, 1, "nothing") for name in PEERS] + [(name, 1, SIXTEEN) for name in (OURS[0], PEERS[0])]
    rows, data = [], {}
    for name, batch, work in cases:
        jobs = (200 if effort.quick else 1_000) * (1 if batch == 1 and work != SIXTEEN else 10)
        found = [Run(name, jobs, batch, work, ("produce",)) for _ in range(3)]
        rate = statistics.median(1 / run.seconds for run in found)
        shown = "steadypool" if name in OURS else name.partition(",")[0]
        how = SHARED if work == SIXTEEN else f"{batch} at a time"
        rows.append((f"{shown}, {how}", f"{rate:,.0f}", in_unit(found[0].cpu["produce"], "µs")))
        data[rows[-1][0]] = rate
    shared = data[f"steadypool, {SHARED}"] / data[f"huey, {SHARED}"]
    together = data["steadypool, 100 at a time"] / max(data[f"{name.partition(',')[0]}, 1 at a time"] for name in PEERS)
    targets = [
        at_least("a hundred at a time: 5 times the faster peer, which has no such call", together, 5.0),
        at_least("one by one on 16 threads: 5 times huey", shared, 5.0),
    ]
    note = (
        "One by one on one thread, each job waits for a commit, and that for the disk: there the raw engine is no "
        "faster than the peers, either. Many threads share commits in ours."
    )
    return Table("durable-enqueue", "Enqueueing", ("", "jobs/s", "CPU µs a job"), rows, data, note, targets)


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
    from steadypool.durable.engine.open import open_engine
    from steadypool.durable.engine.records import NewJob, Settlement, Verdict

    engine = open_engine(f"sqlite:///{folder}/jobs.db")
    for first in range(0, waiting, 10_000):
        engine.put_many([NewJob("t", b'{"number":1}')] * min(10_000, waiting - first))
    who = engine.register("bench", 600)
    done: list[Any] = []
    began = perf_counter()
    for _ in range(jobs // 100):
        answer = engine.claim(who, ["default"], 100, done)
        done = [Settlement(claim, Verdict.COMPLETE, result=b"1") for claim in answer.claims]
    rate = jobs / (perf_counter() - began)
    engine.close()
    return rate


class Faults:
    """Fault runs of one contender. Each job writes a line; what lines there are says what ran, and how often."""

    def __init__(self, name: str, folder: str) -> None:
        self.path = f"{folder}/lines"
        self._folder = folder
        self._command = [sys.executable, "-m", "bench.durable_sides", name]

    def worker_killed(self, jobs: int) -> Account:
        """kill -9 of the worker, three times, with a new one at once."""
        self._enqueuer(jobs).communicate()
        for kill in range(1, 4):
            worker = self._worker()
            self._wait_for(partial(_is_at_least, jobs * kill // 4))
            worker.kill()
            worker.wait()
        return self._finish(range(jobs))

    def enqueuer_killed(self, jobs: int) -> Account:
        """kill -9 of the enqueuer, three times, while a worker works."""
        worker = self._worker()
        enqueued: set[int] = set()
        for kill in range(3):
            enqueuer = self._enqueuer(jobs * 10, first=kill * jobs * 10)
            assert enqueuer.stdout is not None
            said = [enqueuer.stdout.readline() for _ in range(jobs // 3)]
            enqueuer.kill()
            rest, _ = enqueuer.communicate()
            lines = "".join([*said, rest]).splitlines(keepends=True)
            enqueued |= {int(line) for line in lines if line.endswith("\n")}
        return self._finish(enqueued, worker)

    def worker_terminated(self, jobs: int) -> Account:
        """SIGTERM to the worker while it runs jobs that take twice as long as it may; a new one when it has ended."""
        self._enqueuer(jobs, seconds=GRACE * 2).communicate()
        worker = self._worker()
        self._wait_for(bool)
        worker.terminate()
        try:
            worker.wait(GRACE + 10)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        return self._finish(range(jobs))

    def _finish(self, wanted: Iterable[int], worker: subprocess.Popen[str] | None = None) -> Account:
        began = time()
        worker = worker or self._worker()
        every = set(wanted)
        numbers = self._wait_for(every.issubset)
        ended = os.stat(self.path).st_mtime
        worker.kill()
        worker.wait()
        return len(every), len(every.difference(numbers)), len(numbers) - len(set(numbers)), ended - began

    def _worker(self) -> subprocess.Popen[str]:
        return subprocess.Popen([*self._command, "serve", self._folder, self.path], text=True)

    def _enqueuer(self, jobs: int, seconds: float = 0.001, first: int = 0) -> subprocess.Popen[str]:
        arguments = [*self._command, "put", self._folder, self.path, str(jobs), str(seconds), str(first)]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)

    def _wait_for(self, enough: Callable[[set[int]], bool]) -> list[int]:
        """Until what has run is enough, or nothing has happened for a while."""
        seen, since = -1, perf_counter()
        while True:
            lines = Path(self.path).read_text().splitlines() if os.path.exists(self.path) else []
            numbers = [int(line) for line in lines]
            if enough(set(numbers)) or perf_counter() - since > PATIENCE:
                return numbers
            if len(numbers) != seen:
                seen, since = len(numbers), perf_counter()
            sleep(0.02)


def _is_at_least(count: int, ran: set[int]) -> bool:
    return len(ran) >= count


Account = tuple[int, int, int, float]
"""Jobs that were enqueued for sure, how many of them never ran, how many runs were one too many, and seconds from the
last fault to the last job."""
FAULTS: dict[str, Callable[[Faults, int], Account]] = {
    "kill -9 of the worker": Faults.worker_killed,
    "kill -9 of the enqueuer": Faults.enqueuer_killed,
    f"SIGTERM, jobs of {GRACE * 2:g} s": Faults.worker_terminated,
}


def faults(effort: Effort) -> Table:
    """What is lost and what runs twice when processes die."""
    rows, data = [], {}
    for fault, run in FAULTS.items():
        jobs = 6 if run is Faults.worker_terminated else 600 if effort.quick else 3_000
        for name in SERVERS:
            with tempfile.TemporaryDirectory(prefix="steadypool-bench-") as folder:
                found = run(Faults(name, folder), jobs)
            rows.append((f"{fault}: {name}", *(f"{figure:,}" for figure in found[:3]), f"{found[3]:.1f}"))
            data[rows[-1][0]] = found
    columns = ("", "jobs", "lost", "ran twice", "seconds to the last job")
    note = (
        f"Workers and enqueuers are killed three times, with a new one at once; SIGTERM leaves {GRACE:g} s. Lost: has "
        f"not run when nothing has happened for {PATIENCE:g} s. Our lease has its default of 6 s. Seconds count from "
        "the last fault."
    )
    lost = sum(found[1] for name, found in data.items() if "steadypool" in name)
    targets = [at_most("ours: none lost", lost, 0.0)]
    return Table("durable-recovery", "Fault runs: lost and repeated jobs", columns, rows, data, note, targets)
