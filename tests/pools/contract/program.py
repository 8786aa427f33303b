"""Programs that use a pool, for tests that need a process of their own.

python -m tests.pools.contract.program KIND PROGRAM [ARGUMENT ...]
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

from tests.forks import Forked
from tests.pools.contract import jobs
from tests.pools.contract.kinds import KINDS, Kind

ROOT = Path(__file__).resolve().parents[3]
kept: list[Any] = []


def start(kind: Kind, program: Callable[..., None], *arguments: str) -> subprocess.Popen[str]:
    """Start one of the programs below."""
    command = ["tests.pools.contract.program", kind.name, program.__name__, *arguments]
    return Forked(*command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def say(text: object) -> None:
    """Say it on stdout, at once; also in a handler that interrupts this, which `print` may not be called in."""
    os.write(1, f"{text}\n".encode())


def drain_on_signal(kind: Kind, address: str) -> None:
    """Run two jobs and queue two, until a signal comes; then report."""
    signal.signal(signal.SIGTERM, on_third_signal)
    pool = kind.make(2, cancel_grace=60)
    with pool.drain_on_signal(timeout=60):
        futures = [pool.submit(jobs.act, address, f"job-{number}") for number in range(4)]
        say("ready")
        wait(futures)
    say(f"handler back {signal.getsignal(signal.SIGTERM) is on_third_signal}")
    report = pool.drain(60)
    say(f"{report.state.value} {[future.outcome.value for future in futures]}")


def on_third_signal(number: int, frame: Any) -> None:
    """What SIGTERM meant before."""
    say("the old handler")
    os._exit(7)


def producer_under_signals(kind: Kind) -> None:
    """Submit for ever, until a signal ends it."""
    pool = kind.make(2, queue_size=10)
    with pool.drain_on_signal(timeout=30):
        pool.submit(jobs.nothing).result()
        say("ready")
        while True:
            pool.submit(jobs.nothing)
    report = pool.drain(30)
    say(f"{report.ok} {report.stats.accepted == report.stats.succeeded}")


def signals_one_by_one(kind: Kind, address: str, handler: str = "") -> None:
    """Say when the next signal may come, while a job hangs that has a long grace."""
    if handler != "no handler":
        signal.signal(signal.SIGTERM, on_third_signal)
    else:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    pool = kind.make(1, cancel_grace=60, exit_timeout=0)
    with pool.drain_on_signal(timeout=60) as block:
        pool.submit(jobs.act, address)
        for count in range(1, 4):
            say(f"ready for {count}")
            while block.received < count:
                threading.Event().wait(0.005)  # not pause(): the signal may have come just before it


def left_open(kind: Kind, path: str) -> None:
    """End without closing the pool."""
    pool = kind.make(2)
    kept.append(pool)
    for number in range(20):
        pool.submit(jobs.note, path, str(number))
    say("end of main")


def left_open_stuck(kind: Kind, address: str) -> None:
    """End while a job hangs."""
    pool = kind.make(1, exit_timeout=0.3, cancel_grace=0.2, name="leaky")
    kept.append(pool)
    future = pool.submit(jobs.act, address, "hangs")
    kept.append(future)
    pool.submit(jobs.nothing)
    while not future.running():
        threading.Event().wait(0.001)
    say("end of main")


def left_open_by_two(kind: Kind, address: str) -> None:
    """End while jobs of two pools hang."""
    for _ in range(3):
        pool = kind.make(1, exit_timeout=1.0, cancel_grace=0.1)
        kept.append(pool)
        future = pool.submit(jobs.act, address, "hangs")
        while not future.running():
            threading.Event().wait(0.001)
    say("end of main")


def left_open_unused(kind: Kind) -> None:
    """End with a pool that was never used."""
    kept.append(kind.make(2))
    say("end of main")


def left_open_by_a_thread(kind: Kind, path: str) -> None:
    """A thread that is no daemon submits after the main thread has ended."""
    pool = kind.make(2)
    kept.append(pool)
    pool.submit(jobs.nothing).result()

    def work() -> None:
        threading.main_thread().join()
        for number in range(5):
            pool.submit(jobs.note, path, str(number))

    threading.Thread(target=work).start()
    say("end of main")


def left_open_with_retry(kind: Kind, path: str) -> None:
    """End while a job waits for its retry, with jobs that were never started because all workers are new."""
    from steadypool import Retry, task

    pool = kind.make(1, exit_timeout=20)
    kept.append(pool)
    pool.submit(task(jobs.fail_until, retry=Retry(3, backoff=0.05)), path, 3)
    say("end of main")


def left_open_after_failing(kind: Kind) -> None:
    """The main module raises."""
    kept.append(kind.make(1))
    kept[0].submit(jobs.nothing).result()
    raise LookupError("main failed")


def forks(kind: Kind, address: str, path: str) -> None:
    """Fork while jobs run; the child tries everything with its copy of the pool."""
    pool = kind.make(1, queue_size=2)
    ended = pool.submit(jobs.same, 1)
    ended.result()
    running = pool.submit(jobs.act, address)
    waiting = pool.submit(jobs.note, path)
    while not running.running():
        threading.Event().wait(0.001)
    child = os.fork()
    if child == 0:
        for name, call in {
            "submit": lambda: pool.submit(jobs.nothing),
            "try_submit": lambda: pool.try_submit(jobs.nothing),
            "submit_within": lambda: pool.submit_within(1, jobs.nothing),
            "result of running": lambda: running.result(),
            "result of waiting": lambda: waiting.result(),
            "map": lambda: list(pool.map(jobs.same, [1])),
            "drain": lambda: pool.drain(),
            "resize": lambda: pool.resize(2),
        }.items():
            try:
                say(f"{name}: {call()}")
            except BaseException as error:
                say(f"{name}: {type(error).__name__} {error}")
        say(f"result of ended: {ended.result()}")
        say(f"stats: {pool.stats().accepted}")
        say(f"health: {pool.health()}")
        pool.request_drain(1)
        pool.shutdown()
        child_pool = kind.make(1)
        say(f"new pool: {child_pool.submit(jobs.same, 2).result()}")
        say(f"drained: {child_pool.drain(5).ok}")
        del pool, child_pool
        gc.collect()
        sys.exit(0)  # with its exit handlers
    _, status = os.waitpid(child, 0)
    say(f"child: {os.waitstatus_to_exitcode(status)}")
    say(f"parent: {pool.state.value} {pool.submit(jobs.same, 3) is not None}")
    say("let go")
    running.result()
    say(f"parent: {pool.drain(20).ok}")


def main() -> None:
    """Run the program that the command line names."""
    kind, name, *arguments = sys.argv[1:]
    globals()[name](KINDS[kind], *arguments)


if __name__ == "__main__":
    main()
