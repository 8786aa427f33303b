"""How long tests wait: for what must happen, and with what no test waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WAIT = 40.0
"""Seconds until a test gives up on something that must happen. Only a failing test waits that long."""
LONG = 90.0
"""A limit or a grace that no test waits for: it is longer than `WAIT`."""
STACK = 3.0
"""Seconds that the stack of a worker process may take on a busy machine: `patient_stacks`."""
SLACK = 0.5
"""Seconds that may be added to what was promised."""
TICK = 0.005
STEPS = 6
"""How often something of what is timed has to wait for its turn on the machine, one after the other."""


def eventually(is_so: Callable[[], bool]) -> None:
    """Look until it is so: for what another process, a server or the clock does, and nothing says."""
    until = time.monotonic() + WAIT
    while not is_so():
        assert time.monotonic() < until
        time.sleep(TICK)


@contextmanager
def takes(seconds: float) -> Iterator[None]:
    """What is inside takes *seconds* and the slack at most, on a machine that gives everybody a turn at once.

    On a busy one a thread that only sleeps is late, too, and each step may be as late as that one is at worst.
    """
    over = threading.Event()
    worst = 0.0

    def measure() -> None:
        nonlocal worst
        while not over.is_set():
            began = time.monotonic()
            over.wait(TICK)
            worst = max(worst, time.monotonic() - began - TICK)

    probe = threading.Thread(target=measure, daemon=True)
    probe.start()
    began = time.monotonic()
    try:
        yield
        took = time.monotonic() - began
    finally:
        over.set()
        probe.join()
    assert took < seconds + SLACK + STEPS * worst, f"took {took:.2f} s; the machine was {worst:.2f} s late at worst"
