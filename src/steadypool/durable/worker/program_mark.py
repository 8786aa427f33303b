"""The mark by which programs are known that jobs of a worker have started: see `durable.worker.programs`."""

from __future__ import annotations

import os
import secrets

MARK = "STEADYPOOL_WORKER"
"""The variable: process id of the worker and a random number."""


def put_mark() -> str:
    """Mark the programs that this process starts from now on."""
    os.environ[MARK] = mark = f"{os.getpid()}-{secrets.token_hex(8)}"
    return mark


def own_mark() -> str:
    """The mark that this process has put; empty: it has put none, though it may have inherited one."""
    mark = os.environ.get(MARK, "")
    return mark if mark.partition("-")[0] == str(os.getpid()) else ""
