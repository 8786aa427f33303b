"""Programs to which the system refuses something, each in a process of its own.

python -m tests.pools.refusals.program PROGRAM [ARGUMENT ...]
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steadypool import ProcessPool, Retry, ThreadPool, task
from tests.pools.contract import jobs

ROOT = Path(__file__).resolve().parents[3]
WAIT = 30.0


def output(program: Callable[..., None], *arguments: str) -> str:
    """What the program writes on stdout."""
    command = [sys.executable, "-m", "tests.pools.refusals.program", program.__name__, *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=55, check=False).stdout


def say_error(fn: Callable[[], object]) -> None:
    """Call it, and print what it raises, with all causes."""
    try:
        print("no error:", fn())
    except BaseException as error:
        print("".join(traceback.format_exception(error)))


def pool_by(method: str, workers: int) -> ProcessPool:
    """A pool of processes."""
    return ProcessPool(workers, multiprocessing.get_context(method))


def take_all_descriptors(spare: int) -> list[Any]:
    """Open files until there are no more descriptors, but for a few."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    taken: list[Any] = []
    try:
        while True:
            taken.append(open(os.devnull))  # noqa: SIM115
    except OSError:
        for _ in range(spare):
            taken.pop().close()
    return taken


def no_descriptors(method: str, spare: str) -> None:
    """One worker lives; another cannot be started, until there are descriptors again."""
    pool = pool_by(method, 1)  # with two places, a worker that is slow to read its first job would get company now
    pool.submit(jobs.nothing).result(WAIT)
    pool.resize(2)
    before = len(os.listdir("/proc/self/fd"))
    taken = take_all_descriptors(int(spare))
    futures = [pool.submit(jobs.same, number) for number in range(8)]
    print([future.result(WAIT) for future in futures], pool.stats().accepted)
    while pool.stats().workers > 1:  # one that has been made, and that the system is about to refuse
        threading.Event().wait(0.01)
    for file in taken:
        file.close()
    with tempfile.TemporaryDirectory() as folder:
        both = [pool.submit(jobs.meet, folder, 2) for _ in range(2)]
        print([future.result(WAIT) for future in both], pool.stats().workers)
    report = pool.drain(WAIT)
    print(report.ok, len(os.listdir("/proc/self/fd")) <= before, flush=True)


def no_descriptors_at_all(method: str) -> None:
    """No worker can be started."""
    pool = pool_by(method, 1)
    taken = take_all_descriptors(3)
    say_error(lambda: pool.submit(jobs.nothing).result(WAIT))
    print("drained", pool.drain(1.0).stats.balanced)
    del taken


def refuse_fork(method: str) -> None:
    """Fork says that there are too many processes, but for the first two."""
    real, forked = os.fork, [0]

    def fork() -> int:
        forked[0] += 1
        if forked[0] > 2:
            raise BlockingIOError(11, os.strerror(11))
        return real()

    os.fork = fork
    pool = pool_by(method, 4)
    futures = [pool.submit(jobs.same, number) for number in range(30)]
    print(sorted(future.result(WAIT) for future in futures) == list(range(30)), pool.stats().workers)
    before = len(os.listdir("/proc/self/fd"))
    tried = forked[0]
    while forked[0] < tried + 3:
        pool.submit(jobs.nothing).result(WAIT)
        pool.submit(jobs.nothing)
        pool.submit(jobs.nothing)
    print("descriptors stay", len(os.listdir("/proc/self/fd")) <= before + 1)
    print(pool.drain(WAIT).ok)


def no_temporary_folder(kind: str) -> None:
    """There is no place for the fork server's socket."""
    if kind == "none":
        tempfile._candidate_tempdir_list = lambda: ["/proc/nowhere"]  # type: ignore[attr-defined]
        tempfile.tempdir = None
    else:
        tempfile.tempdir = os.path.join(tempfile.mkdtemp(), "x" * 60, "y" * 60)
        os.makedirs(tempfile.tempdir)
    with ProcessPool(1) as pool:
        print("by default", pool.submit(jobs.same, 1).result(WAIT))
    chosen = pool_by("forkserver", 1)
    say_error(lambda: chosen.submit(jobs.same, 1).result(WAIT))


def refuse_threads() -> None:
    """Have no thread start from now on."""
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    threading.stack_size(1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (size + (1 << 29), resource.getrlimit(resource.RLIMIT_AS)[1]))


def allow_threads() -> None:
    """Have threads start again."""
    threading.stack_size(0)
    resource.setrlimit(resource.RLIMIT_AS, (resource.getrlimit(resource.RLIMIT_AS)[1],) * 2)


def no_threads() -> None:
    """A pool of threads that has one of two workers."""
    pool = ThreadPool(2)
    pool.submit(jobs.nothing).result(WAIT)
    refuse_threads()
    print([pool.submit(jobs.same, number).result(WAIT) for number in range(5)], pool.stats().workers)
    started, gate = threading.Event(), threading.Event()
    held = pool.submit(lambda: started.set() or gate.wait(WAIT))
    started.wait(WAIT)
    behind = pool.submit(jobs.same, 5)
    for options in ({"timeout": 5.0}, {"total_timeout": 5.0}, {"retry": Retry(2)}):
        say_error(lambda options=options: pool.submit(task(jobs.nothing, **options)))
    stats = pool.stats()
    print("accepted", stats.accepted, "waiting", stats.waiting, len(pool._core.queue.room))
    gate.set()
    print(held.result(WAIT), behind.result(WAIT))
    print(pool.drain(5.0).ok, pool.stats().balanced)


def no_threads_for_a_while() -> None:
    """The other worker comes when it can, though nothing is submitted then."""
    pool = ThreadPool(2)
    pool.submit(task(jobs.nothing, timeout=5.0)).result(WAIT)  # also a supervisor
    first, second = threading.Event(), threading.Event()
    pool.submit(first.wait, WAIT)
    refuse_threads()
    behind = pool.submit(second.set)
    print("workers", pool.stats().workers)
    allow_threads()
    print(second.wait(WAIT), behind.exception(WAIT))
    first.set()
    print(pool.drain(5.0).ok)


def no_threads_at_all(kind: str) -> None:
    """Neither a worker nor a supervisor."""
    pool: Any = ThreadPool(2) if kind == "threads" else ProcessPool(2)
    refuse_threads()
    say_error(lambda: pool.submit(jobs.nothing))
    stats = pool.stats()
    print("accepted", stats.accepted, "waiting", stats.waiting)
    allow_threads()
    print(pool.submit(jobs.same, 7).result(WAIT), pool.drain(WAIT).ok)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
    sys.stdout.flush()
    os._exit(0)
