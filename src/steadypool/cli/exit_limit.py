"""The end of the program comes in its time, though jobs have left something behind in its process.

At its exit the interpreter waits for every thread that is no daemon, such as those of a `ThreadPoolExecutor`, and for
handlers such as the one of `multiprocessing`, which waits for a pool's processes. A job on a thread that cannot be
stopped may have started either.
"""

from __future__ import annotations

import os
import threading

from steadypool.model.clock import sleep

STDERR = 2
LEAST = 1.0
"""Seconds that handlers at exit have, however late it is."""


class TimedExit(int):
    """An exit code for a program that was asked to stop: *seconds* are left until it has to be gone."""

    seconds: float

    def __new__(cls, code: int, seconds: float | None) -> TimedExit:
        """``None``: it has as long as it takes."""
        made = super().__new__(cls, code)
        made.seconds = threading.TIMEOUT_MAX if seconds is None else max(LEAST, seconds)
        return made


def limit_exit(code: int) -> None:
    """Have the process end with *code* in its time, if it has one. To be called last, before the interpreter's exit."""
    if isinstance(code, TimedExit) and code.seconds < threading.TIMEOUT_MAX:
        threading.Thread(target=_end, args=(code,), name="steadypool-exit", daemon=True).start()


def _end(code: TimedExit) -> None:
    sleep(code.seconds)
    try:
        os.write(STDERR, b"steadypool: left behind at the exit: what jobs have started in this process does not end\n")
    finally:
        os._exit(code)
