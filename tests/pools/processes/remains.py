"""What a pool could leave behind in the system."""

from __future__ import annotations

import gc
import os
import select
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from steadypool.pools.processes.worker import ProcessWorker
from tests.pools.contract.stage import WAIT


@dataclass(frozen=True)
class Remains:
    """Everything of this process that somebody has to give back."""

    processes: frozenset[int]
    descriptors: Counter[str]
    shared_memory: frozenset[str]
    temporary_files: frozenset[str]

    @classmethod
    def now(cls) -> Remains:
        """What there is at this moment."""
        return cls(
            frozenset(pid for pid in family(os.getpid()) if _is_ours(pid)),
            descriptors(),
            frozenset(os.listdir("/dev/shm")),
            frozenset(os.listdir(tempfile.gettempdir())),
        )

    def has_more_than(self, before: Remains) -> bool:
        """Whether there are processes or descriptors that were not there."""
        return bool(self.processes - before.processes or self.descriptors - before.descriptors)

    def assert_same_as(self, before: Remains) -> None:
        """Nothing has come to stay."""
        left = self.processes - before.processes
        assert not left, "\n".join(map(describe, sorted(left)))
        more = self.descriptors - before.descriptors
        assert not more, more
        assert not {name for name in self.shared_memory - before.shared_memory if "steadypool" in name}
        assert not {name for name in self.temporary_files - before.temporary_files if not _is_others(name)}


def _is_others(name: str) -> bool:
    """Of pytest, of the tests, and where multiprocessing's forkserver listens, left by programs that were killed."""
    return name.startswith(("pytest-of-", "stage-", "pymp-"))


def _is_ours(pid: int) -> bool:
    """Whether it is there, and not of the PostgreSQL that other tests have started here: those come and go."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() != "postgres"
    except (FileNotFoundError, ProcessLookupError):
        return False  # it has gone since it was listed


def descriptors() -> Counter[str]:
    """The open descriptors of this process: how many of each kind."""
    kinds: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        try:
            kinds[os.readlink(f"/proc/self/fd/{fd}").split(":[")[0]] += 1
        except FileNotFoundError:
            continue  # the one that lists them
    return kinds


def open_watch(pid: int) -> int | None:
    """A descriptor that is readable once that process, anybody's, is dead; ``None`` if it is."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def wait_gone(*pids: int) -> list[int]:
    """Wait until the processes are dead; returns those that will not die."""
    watches = {pid: open_watch(pid) for pid in set(pids)}
    left = []
    for pid, watch in watches.items():
        if watch is not None:
            if not is_dead(watch, WAIT):
                left.append(pid)
            os.close(watch)
    return left


def is_dead(watch: int, seconds: float) -> bool:
    """Whether a watched process has died, waiting that long for it."""
    poller = select.poll()
    poller.register(watch, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def describe(pid: int) -> str:
    """What a process is, and of which pool."""
    try:
        process = psutil.Process(pid)
        what = process.as_dict(["pid", "ppid", "status", "cmdline", "num_threads"])
        age = time.time() - process.create_time()
    except psutil.NoSuchProcess:
        return f"{pid}: it has just ended"
    workers = [found for found in gc.get_objects() if type(found) is ProcessWorker and found.pid == pid]
    return f"{what}, {age:.1f} seconds old, worker {[worker.name for worker in workers]}"


def family(pid: int) -> list[int]:
    """The process and all that descend from it, zombies too."""
    pids: list[int] = []
    while pids != (again := _read_family(pid)):
        pids = again
    return pids


def _read_family(pid: int) -> list[int]:
    """One reading of it, which may lack processes.

    The kernel lists children by the thread that started them. When that thread ends meanwhile, its children become
    those of another, whose list may have been read by then. (The starter of a pool is such a thread.)
    """
    pids = [pid]
    for one in pids:
        for path in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                pids += map(int, path.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
    return pids


def memory_files(pid: int | str = "self") -> list[str]:
    """Anonymous files in memory that a process holds open."""
    folder = Path(f"/proc/{pid}/fd")
    links = []
    for fd in folder.iterdir():
        try:
            links.append(os.readlink(fd))
        except FileNotFoundError:
            continue
    return [link for link in links if link.startswith("/memfd:")]
