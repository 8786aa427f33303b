"""When a process that does not answer a knock may be looked at: see `pools.processes.ipc.stack_request`."""

from __future__ import annotations

ASLEEP_SECONDS = 0.005
"""A thread that can answer and is woken by the knock does so within this."""
BUSY_SECONDS = 0.01
"""Python code looks up within microseconds of its own time; what has had this much without doing so is C code."""
UNSEEN_SECONDS = 0.04
"""The same where the system does not say what the thread does: several turns on a busy machine."""


def may_look(waited: float, state: str | None, ran: float | None) -> bool:
    """Whether the thread runs no Python code now, as far as can be seen.

    Args:
        waited: seconds since the knock, which it has not answered.
        state: its state in the kernel's letters (``R`` for running, ``S`` for asleep ...); ``None`` if unknown.
        ran: seconds of processor time that it has had since the knock; ``None`` if unknown.
    """
    if state is None or (state == "R" and ran is None):
        return waited >= UNSEEN_SECONDS
    if state == "R":
        return ran is not None and ran >= BUSY_SECONDS
    # Not one that is stopped, or waits for a page: it would go on in the middle of whatever it was doing.
    return state == "S" and waited >= ASLEEP_SECONDS
