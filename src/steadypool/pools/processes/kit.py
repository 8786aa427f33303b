"""What a worker process is given at its start. It travels with `multiprocessing`, whatever the start method."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from typing import Any

from steadypool.machinery.wire import Line


class Descriptor:
    """A file descriptor that can be pickled while a process is being started."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> tuple[Any, ...]:
        return _adopt, (DupFd(self.fd),)

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)


def _adopt(duplicate: Any) -> Descriptor:
    return Descriptor(duplicate.detach())


@dataclass
class Kit:
    """The worker's ends of everything, and what it needs to know."""

    pool: str
    jobs: Descriptor
    jobs_keep_packets: bool
    results: Descriptor
    page: Descriptor
    lifeline: Descriptor
    """Closes when the parent is gone."""
    control: Descriptor
    """Readable when a job was told to stop."""
    stacks: Descriptor
    """Where `faulthandler` writes."""
    stack_signal: int
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]
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


class ByValue:
    """A callable that pickle refuses by reference, such as a lambda for an initializer."""

    def __init__(self, fn: Callable[..., object]) -> None:
        self.fn = fn

    def __call__(self, *args: Any) -> object:
        return self.fn(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        import cloudpickle

        return _by_value, (cloudpickle.dumps(self.fn),)


def _by_value(stream: bytes) -> ByValue:
    import pickle

    return ByValue(pickle.loads(stream))
