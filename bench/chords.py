"""Many jobs and one after all: `Queue.batch` beside Celery's chord, each on SQLite files, on 10 threads.

The worker is a process that has done a job before. The time is from the first put to the end of the last job.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from time import perf_counter, sleep

from bench.rounds import Effort
from bench.tables import Table
from steadypool import JobFilter, JobState, Queue

WIDE, SLOTS = 500, 10
queue = Queue()
CELERY = ("celery", "-A", "bench.chord_celery", "worker", "-P", "threads", "-c", str(SLOTS))
OURS = ("steadypool", "work", "bench.chords:queue", "--kind", "thread", "--workers", str(SLOTS))


@queue.task
def one() -> int:
    """What each job does."""
    return 1


@queue.task
def total() -> int:
    """Run after all."""
    return WIDE


def chords(effort: Effort) -> Table:
    """The table."""
    found: dict[str, list[tuple[float, float]]] = {"steadypool, batch": [], f"celery {version('celery')}, chord": []}
    for _ in range(1 if effort.quick else 3):
        for rounds, words, side in zip(found.values(), (OURS, CELERY), ("ours", "celery"), strict=True):
            rounds.append(_run(words, side))
    rows = [(name, *(f"{statistics.median(part):.2f}" for part in zip(*f, strict=True))) for name, f in found.items()]
    title = f"SQLite: a batch of {WIDE}, and a job after all"
    return Table("chords", title, ("", "s to put", "s to the end of the last job"), rows, {"seconds": found}, NOTE)


NOTE = (
    f"Jobs that do nothing, a worker of {SLOTS} threads in a process of its own; medians of interleaved rounds. Celery "
    "has broker and results in SQLite files (`sqla+sqlite`, `db+sqlite`), which need no service. Those are not what it "
    "is made for: that is Redis or RabbitMQ, which were not measured."
)


def _run(words: tuple[str, ...], side: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="steadypool-bench-") as folder:
        given = {"STEADYPOOL_URL": f"sqlite:///{folder}/jobs.db", "STEADYPOOL_BENCH_CELERY": folder}
        env = os.environ | given
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        worker = subprocess.Popen([sys.executable, "-m", *words], env=env, **quiet)
        try:
            put = [sys.executable, "-m", "bench.chords", side]
            done = subprocess.run(put, env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
        finally:
            worker.kill()
            worker.wait()
    seconds, all_seconds = map(float, done.stdout.split())
    return seconds, all_seconds


def _ours() -> tuple[float, float]:
    from bench.chords import one, queue, total

    queue.engine.migrate()
    one.enqueue().result(60)
    began = perf_counter()
    with queue.batch("bench", then=total.call()) as members:
        queue.enqueue_many(one, [()] * WIDE)
    put = perf_counter() - began
    members.result(60)
    while not queue.engine.find(JobFilter(states=frozenset([JobState.COMPLETED]), task="total", limit=1)):
        sleep(0.02)
    return put, perf_counter() - began


def _celery() -> tuple[float, float]:
    from celery import chord

    from bench.chord_celery import one, total

    one.delay().get(timeout=60, interval=0.02)
    began = perf_counter()
    result = chord([one.s() for _ in range(WIDE)])(total.s())
    put = perf_counter() - began
    assert result.get(timeout=100, interval=0.02) == WIDE
    return put, perf_counter() - began


if __name__ == "__main__":
    print(*(_ours() if sys.argv[1] == "ours" else _celery()))
