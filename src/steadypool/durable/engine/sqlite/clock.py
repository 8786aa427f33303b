"""The engine's clock, and the one by which leases run out.

The engine's clock is the system's, which a test may move for all who use the file: by how much stands in the file.
Leases run out by one that only runs forward, and that all processes of a machine share; no test moves that one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import time
from typing import Any

from steadypool.model.clock import monotonic

_SHIFT = "clock_shift"
"""Among the counters: by how many seconds a test has moved the clock."""
NOW = (
    f"((julianday('now') - 2440587.5) * 86400.0 + coalesce((SELECT value FROM counters WHERE name = '{_SHIFT}'), 0.0))"
)
"""`now_of` in SQL."""


def now_of(connection: Any) -> float:
    """The engine's clock, in seconds since the epoch."""
    found = connection.execute("SELECT value FROM counters WHERE name = ?", (_SHIFT,)).fetchall()
    return time() + sum(float(seconds) for [seconds] in found)


def move(connection: Any, seconds: float) -> None:
    """Have that clock go ahead by so many seconds more."""
    connection.execute(
        "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        (_SHIFT, seconds),
    )


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, by both clocks of the machine.

    `time.monotonic` is one clock for all processes since the machine was started, and does not jump when the wall clock
    is set. Between two starts (*boot* differs) only the wall clock can be compared.
    """

    boot: str
    steady: float
    wall: float


def read_clock() -> Moment:
    """Now."""
    return Moment(_boot_id(), monotonic(), time())


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        # It may move by seconds when the clock is set. Then leases are compared by the wall clock, which is no
        # disaster.
        return str(int(psutil.boot_time()))
