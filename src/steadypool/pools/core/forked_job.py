"""A process that a job has forked, when it comes to the end of the job's code: it ends there.

The thread that has forked is the only one in the child, and would go on as a second worker: take jobs that are the
parent's, and never end. So what the child's code returns is dropped, and what it raises ends the child as it would end
a program.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn


def end_child(error: BaseException | None) -> NoReturn:
    """End this process, with the exit code that *error* stands for: none but that of the parent's is to go on."""
    code = 0 if error is None else _code_of(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue  # there is none, or it is closed: the failure is not reported
    os._exit(code)


def _code_of(error: BaseException) -> int:
    if not isinstance(error, SystemExit):
        if sys.stderr is not None:
            traceback.print_exception(error)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    if sys.stderr is not None:
        print(error.code, file=sys.stderr)
    return 1
