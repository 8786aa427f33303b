"""What a worker process is given at its start. It travels with `multiprocessing`, whatever the start method."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any

from steadypool.pools.processes.import_guard import loads_jobs
from steadypool.pools.processes.ipc.wire import Line
from steadypool.pools.processes.packets import workers_import_main


def hold_standard_descriptors() -> None:
    """Have 0, 1 and 2 open, if a program has closed them. Or else a pipe of the pool's gets such a number, and what
    workers print goes there."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:
            os.close(fd)
            return
        os.set_inheritable(fd, True)


class Descriptor:
    """A file descriptor that can be pickled while a process is being started."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> tuple[object, ...]:
        return _adopt, (DupFd(self.fd),)

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)


def _adopt(duplicate: Any) -> Descriptor:
    return Descriptor(duplicate.detach())


@dataclass(frozen=True)
class WorkerOptions:
    """What all workers of a pool are started with."""

    initializer: Initializer | None
    max_tasks: int | None
    max_memory: int | None
    default_context: bool
    """Whether the start method is the pool's choice: another may then take its place."""


@dataclass
class WorkerArgs:
    """The worker's ends of everything, and what it needs to know."""

    pool: str
    jobs: Descriptor
    jobs_keep_packets: bool
    results: Descriptor
    page: Descriptor
    lifeline: Descriptor
    """Closes when the parent is gone."""
    control: Descriptor
    """Readable when a job was asked to stop."""
    stacks: Descriptor
    """Where it writes its stacks: see `pools.processes.ipc.stack_request`."""
    program: int
    """The process group of the program: see `pools.processes.terminal`."""
    initializer: Callable[[], object] | None
    max_tasks: int | None
    max_memory: int | None

    def job_line(self) -> Line:
        """The worker's end of the line that jobs come down."""
        kind = socket.SOCK_SEQPACKET if self.jobs_keep_packets else socket.SOCK_STREAM
        return Line(socket.socket(socket.AF_UNIX, kind, 0, self.jobs.fd))

    def close(self) -> None:
        """In the parent, once the worker has its own copies."""
        for end in (self.jobs, self.results, self.page, self.lifeline, self.control, self.stacks):
            end.close()


class Initializer:
    """An initializer and its arguments, on their way to a process that is being started.

    What is of the main module travels by its name if it can, since then what the initializer sets is what jobs see,
    and by value if it cannot. Queues, pipes, locks and the like of `multiprocessing` travel as it has it.
    """

    def __init__(self, fn: Callable[..., object], args: tuple[object, ...]) -> None:
        from steadypool.pools.processes.ipc.by_value import note_globals  # it imports `cloudpickle`

        note_globals(fn)
        self.fn = fn
        self.args = args

    def __call__(self) -> object:
        return self.fn(*self.args)

    def __reduce__(self) -> tuple[object, ...]:
        call = (self.fn, self.args)
        handed = _Handed()
        try:
            by_name: bytes | None = bytes(ForkingPickler.dumps(call, 5))
        except (pickle.PicklingError, AttributeError, TypeError):
            by_name = None
        if by_name is not None and b"__main__" not in by_name:
            return _initializer, (by_name, None)
        if by_name is None or not workers_import_main():
            handed.take_back()
            return _initializer, (None, _dump_by_value(call))
        # Each descriptor is handed over once: then there is no second pickle.
        return _initializer, (by_name, None if handed.any() else _try_by_value(call))


class _Handed:
    """The descriptors that pickling gives to the process that is being started."""

    def __init__(self) -> None:
        self._all: list[int] = getattr(get_spawning_popen(), "_fds", [])
        self._before = len(self._all)

    def any(self) -> bool:
        """Whether there are any."""
        return len(self._all) > self._before

    def take_back(self) -> None:
        """Let the process not have them: what was pickled is not used."""
        del self._all[self._before :]


def _dump_by_value(value: object) -> bytes:
    from steadypool.pools.processes.ipc.by_value import dump_value

    return dump_value(value, lambda buffers, buffer: True)[0]


def _try_by_value(value: object) -> bytes | None:
    try:
        return _dump_by_value(value)
    except Exception:
        return None  # it is for the worker that does not find the name, and says so then


def _initializer(by_name: bytes | None, by_value: bytes | None) -> Callable[[], object]:
    """In the worker: what loads the initializer, and calls it. What goes wrong with either is for the pool to know."""
    return partial(_load_and_call, by_name, by_value)


def _load_and_call(by_name: bytes | None, by_value: bytes | None) -> object:
    fn, args = _load_call(by_name, by_value)
    return fn(*args)


@loads_jobs
def _load_call(by_name: bytes | None, by_value: bytes | None) -> tuple[Callable[..., object], tuple[object, ...]]:
    call: tuple[Callable[..., object], tuple[object, ...]]
    if by_name is not None:
        try:
            call = pickle.loads(by_name)
            return call
        except (AttributeError, ImportError):
            if by_value is None:
                raise
    assert by_value is not None
    call = pickle.loads(by_value)
    return call
