"""What a worker process is given at its start. It travels with `multiprocessing`, whatever the start method."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.reduction import DupFd
from typing import Any

from steadypool.machinery.by_value import dump_value, note_globals
from steadypool.machinery.wire import Line
from steadypool.pools.processes.frames import workers_import_main


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
    """Where it writes its stacks: see `machinery.stack_pipe`."""
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
    """An initializer, with its arguments, of the main module or by no name at all.

    A worker gets it by its name if it can, since then what it sets is what jobs see, and by value if it cannot.
    """

    def __init__(self, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.fn = fn
        self.args = args

    def __call__(self) -> object:
        return self.fn(*self.args)

    def __reduce__(self) -> tuple[Any, ...]:
        by_name = _try_pickle(pickle.dumps, self) if workers_import_main() else None
        if by_name is not None:
            return _initializer, (by_name, _try_pickle(_dump_by_value, self))
        return _initializer, (None, _dump_by_value((self.fn, self.args)))


def portable(fn: Callable[..., object] | None, args: tuple[Any, ...]) -> Callable[[], object] | None:
    """The initializer so that each worker can have it, whatever it is."""
    if fn is None:
        return None
    note_globals(fn)
    initializer = Initializer(fn, args)
    stream = _try_pickle(pickle.dumps, initializer)
    return partial(fn, *args) if stream is not None and b"__main__" not in stream else initializer


def _dump_by_value(value: Any) -> bytes:
    return dump_value(value, lambda buffers, buffer: True)[0]


def _try_pickle(dumps: Callable[[Any], bytes], initializer: Initializer) -> bytes | None:
    try:
        return dumps((initializer.fn, initializer.args))
    except Exception:
        return None


def _initializer(by_name: bytes | None, by_value: bytes | None) -> Initializer:
    if by_name is not None:
        try:
            return Initializer(*pickle.loads(by_name))
        except (AttributeError, ImportError):
            if by_value is None:
                raise
    assert by_value is not None
    return Initializer(*pickle.loads(by_value))
