"""Memory of pools on threads, each case in a process of its own: ``python -m bench.memory CASE COUNT``."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from time import perf_counter
from typing import Any

import psutil

from bench.rounds import Effort
from bench.tables import Table, at_most
from bench.work import nothing
from steadypool import ThreadPool

LIMIT = 240
"""Seconds that one case may take."""
FLAT = 4 * 2**20
"""Bytes within which memory counts as flat."""

Figures = dict[str, float]


def waiting_jobs(effort: Effort) -> Table:
    """What a job that waits costs."""
    jobs = 100_000 if effort.quick else 1_000_000
    figures = {name: _in_a_process(f"waiting-{name}", jobs) for name in ("steadypool", "ThreadPoolExecutor")}
    rows = [
        (name, f"{f['grown'] / 2**20:.0f}", f"{f['grown'] / jobs:.0f}", f"{f['seconds']:.1f}")
        for name, f in figures.items()
    ]
    return Table(
        "waiting",
        f"Threads: memory of {jobs:,} waiting jobs",
        ("", "MB", "bytes for a job", "seconds to submit"),
        rows,
        figures,
        "Resident memory, futures kept by the caller. `queue_size` was raised: by default the 1001st submit waits.",
    )


def endless_map(effort: Effort) -> Table:
    """Whether memory stays flat."""
    jobs = 50_000 if effort.quick else 500_000
    figures = _in_a_process("endless", jobs)
    return Table(
        "endless",
        "Threads: memory of a `map` over an endless input",
        ("", "MB"),
        [
            (f"after {jobs // 10:,} results", f"{figures['early'] / 2**20:.1f}"),
            (f"after {jobs:,} results", f"{figures['late'] / 2**20:.1f}"),
        ],
        figures,
        "Resident memory of the whole process. `ThreadPoolExecutor.map` never returns from such a call.",
        [at_most("flat: growth in MB at most 4", (figures["late"] - figures["early"]) / 2**20, FLAT / 2**20)],
    )


def _in_a_process(case: str, jobs: int) -> Figures:
    command = [sys.executable, "-m", "bench.memory", case, str(jobs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT)
    figures: Figures = json.loads(done.stdout)
    return figures


def _waiting_ours(jobs: int) -> Figures:
    with ThreadPool(1, queue_size=jobs + 1) as pool:
        return _waiting(pool.submit, jobs)


def _waiting_standard(jobs: int) -> Figures:
    with ThreadPoolExecutor(1) as pool:
        return _waiting(pool.submit, jobs)


def _waiting(submit: Callable[..., Any], jobs: int) -> Figures:
    gate = threading.Event()
    submit(gate.wait)
    before, begin = _resident(), perf_counter()
    futures = [submit(nothing) for _ in range(jobs)]
    seconds, grown = perf_counter() - begin, _resident() - before
    gate.set()
    futures[-1].result()
    return {"grown": grown, "seconds": seconds}


def _endless(jobs: int) -> Figures:
    with ThreadPool(4) as pool:
        results = pool.map(nothing, count())
        early = _resident_after(results, jobs // 10)
        late = _resident_after(results, jobs - jobs // 10)
    return {"early": early, "late": late}


def _resident_after(results: Any, jobs: int) -> int:
    for _ in islice(results, jobs):
        pass
    return _resident()


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


_CASES = {
    "waiting-steadypool": _waiting_ours,
    "waiting-ThreadPoolExecutor": _waiting_standard,
    "endless": _endless,
}

if __name__ == "__main__":
    print(json.dumps(_CASES[sys.argv[1]](int(sys.argv[2]))))
