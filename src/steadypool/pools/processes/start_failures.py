"""What the system refuses when a worker process is to be started: processes, descriptors, memory, room for a socket."""

from __future__ import annotations

import errno
import os
from multiprocessing import forkserver, get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from typing import Any

DESCRIPTORS = 16
"""As many are needed to start a worker."""
LATER = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EINTR})
"""What may be had later, in the same way."""
_PIPES = ("parent_r", "child_w", "child_r", "parent_w")


def check_descriptors() -> None:
    """Raise what the system says if there are too few descriptors.

    Asked first, since some ways of starting a process lose those that they have when there is no other.
    """
    taken: list[int] = []
    try:
        for _ in range(DESCRIPTORS // 2):
            taken.extend(os.pipe())
    finally:
        for fd in taken:
            os.close(fd)


def as_refusal(error: Exception) -> Exception | None:
    """What the system has said, if that is why a worker could not be started."""
    if isinstance(error, EOFError):
        said = ChildProcessError("the fork server ended while it started a worker; its stderr says why")
        said.__cause__ = error
        return said
    if isinstance(error, OSError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    ):
        return error
    return None


def close_lost_pipes(error: BaseException) -> None:
    """`multiprocessing` opens pipes, forks, and forgets the pipes if there is no fork."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name == "_launch" and frame.f_code.co_filename.endswith("popen_fork.py"):
            for name in _PIPES:
                fd = frame.f_locals.get(name)
                if isinstance(fd, int):
                    os.close(fd)
        trace = trace.tb_next


def other_context(context: BaseContext, error: BaseException) -> BaseContext | None:
    """Another way to start workers, if the fork server cannot run here at all: for want of a temporary folder, say."""
    server: Any = forkserver._forkserver
    if context.get_start_method() != "forkserver" or getattr(server, "_forkserver_pid", None) is not None:
        return None
    if not isinstance(error, OSError) or isinstance(error, ChildProcessError) or error.errno in LATER:
        return None
    return get_context("spawn") if "spawn" in get_all_start_methods() else None
