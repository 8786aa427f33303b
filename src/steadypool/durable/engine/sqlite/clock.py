"""By which clock leases run out: one that only runs forward, and that all processes of a machine share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import time

from steadypool.model.clock import monotonic


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, by both clocks.

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
