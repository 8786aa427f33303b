"""Programs that use pools of processes, for tests that end them.

python -m tests.pools.processes.program PROGRAM [ARGUMENT ...]
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from steadypool import ProcessPool
from tests.forks import Forked
from tests.pools.contract import jobs
from tests.pools.processes import deeds
from tests.pools.processes.warming import warm

ROOT = Path(__file__).resolve().parents[3]
NAME = "tests.pools.processes.program"
METHODS = ("fork", "forkserver", "spawn")
kept: list[Any] = []


def start(program: Callable[..., None], *arguments: str) -> subprocess.Popen[str]:
    """Start one of the programs below, as the leader of a process group."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return Forked(NAME, program.__name__, *arguments, cwd=ROOT, start_new_session=True, **pipes)


def say(text: object) -> None:
    """Say it on stdout, at once."""
    print(text, flush=True)


def listen() -> list[int]:
    """From now on, SIGUSR1 is put into this list."""
    told: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: told.append(number))
    return told


def wait_until(told: list[int]) -> None:
    """Wait for that signal."""
    while not told:  # not pause(): another thread may be given the signal, or it came just before
        threading.Event().wait(0.02)


def open_pools(**options: Any) -> list[ProcessPool]:
    """A pool for each way of starting processes, with a worker that is there."""
    for method in METHODS:
        kept.append(warm(ProcessPool(1, multiprocessing.get_context(method), **options)))
    return kept


def hold_idle() -> None:
    """Have idle workers, until a signal comes."""
    open_pools(exit_timeout=0.2, cancel_grace=0.1)
    say("ready")
    signal.pause()


def hold_busy(address: str) -> None:
    """Have workers in C code that holds the GIL, until a signal comes."""
    for pool in open_pools(exit_timeout=0.2, cancel_grace=0.1):
        pool.submit(deeds.count_on_stage, address)
    say("ready")
    signal.pause()


def end_busy(address: str) -> None:
    """End, after a signal, with workers in C code that holds the GIL."""
    told = listen()
    for pool in open_pools(exit_timeout=0.2, cancel_grace=0.1):
        pool.submit(deeds.count_on_stage, address)
    say("ready")
    wait_until(told)


def fork_a_child(address: str) -> None:
    """Fork a child that lives on, with copies of the pools, while the program is killed."""
    open_pools()
    pid = os.fork()
    if pid == 0:
        deeds.arrive(address, "child", wait=True)
        os._exit(0)
    say(pid)
    signal.pause()


def drop_pools() -> None:
    """After a signal nobody refers to the pools any more."""
    told = listen()
    open_pools()
    say("ready")
    wait_until(told)
    kept.clear()
    gc.collect()
    say("dropped")
    signal.pause()


def drain_on_sigterm(method: str, address: str) -> None:
    """Under systemd: every process of the program gets the signal, and the running jobs may finish."""
    pool = warm(ProcessPool(2, multiprocessing.get_context(method), max_tasks_per_child=2))
    with pool.drain_on_signal(timeout=60):
        futures = [pool.submit(jobs.act, address, f"job-{number}") for number in range(2)]
        behind = [pool.submit(jobs.same, number) for number in range(6)]
        say("ready")
        for future in futures + behind:
            future.exception()
    report = pool.drain(60)
    say(f"{report.ok} {report.stats.succeeded} {report.stats.crashed}")


def lose_the_forkserver(address: str) -> None:
    """The forkserver is killed under a pool."""
    pool = warm(ProcessPool(2, multiprocessing.get_context("forkserver")))
    running = pool.submit(jobs.act, address)
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    os.kill(server._forkserver_pid, signal.SIGKILL)
    say("killed")
    say(f"running: {running.result()}")
    error = pool.submit(deeds.kill).exception()
    say(f"crash: {type(error).__name__} {error.pid in kept_pids(pool)} {error.exitcode}")  # type: ignore[union-attr]
    say(f"later: {[pool.submit(jobs.same, number).result() for number in range(10)]}")
    for _ in range(3):
        pool.submit(deeds.kill).exception()
    say(f"and later: {pool.submit(jobs.same, 1).result()}")
    say(f"drained: {pool.drain(30).ok}")


def kept_pids(pool: Any) -> list[int]:
    """The workers that the pool has now."""
    pids: list[int] = pool.worker_pids()
    return pids


def many_threads(method: str) -> None:
    """Pools are made and used on many threads at once."""
    results: list[Any] = []

    def use() -> None:
        with ProcessPool(1, multiprocessing.get_context(method)) as pool:
            results.append(list(pool.map(jobs.double, range(20))))

    threads = [threading.Thread(target=use) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say(results == [[2 * number for number in range(20)]] * 5)


def printing() -> None:
    """Jobs print."""
    for pool in open_pools():
        for number in range(3):
            pool.submit(deeds.say, f"out {number}", f"err {number}").result()
        pool.drain(30)


def main() -> None:
    """Run the program that the command line names."""
    name, *arguments = sys.argv[1:]
    globals()[name](*arguments)


def has_programs() -> None:
    """A job of each pool has started a program, and the numbers of these are said."""
    open_pools()
    say(" ".join(str(pool.submit(deeds.start_program).result()) for pool in kept))
    threading.Event().wait()


if __name__ == "__main__":
    main()
