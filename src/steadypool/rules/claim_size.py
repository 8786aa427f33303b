"""How much a worker claims, and when it writes down what has ended: pure decisions.

To claim is to take jobs away from other workers, and to write costs a wait for the disk. So a worker holds as many
jobs as it has slots, and beyond that as many as it will get through in a moment (`AHEAD`), by what it has measured.
Jobs of a second each are claimed one for one; jobs of microseconds by the hundred. What was measured may be wrong for
the next job: what has waited for `LONGEST_BEHIND` behind it goes back.
"""

from __future__ import annotations

from dataclasses import dataclass

AHEAD = 0.1
"""Seconds of work that may be claimed beyond what runs."""
MOST_AHEAD = 2000
LONGEST_BEHIND = 1.0
"""Seconds that a claimed job waits behind others before it goes back: another worker may be idle."""
MOST_BYTES = 8_000_000
"""Of arguments that one claim brings, and that may be held beyond what runs; one job may have more."""
GATHER = 0.005
"""Seconds that results may wait for company before they are written."""
MOST_GATHERED = 100
CLAIM_WORTH = 4
"""A worker that has enough to do claims no less than such a part of what it may hold ahead."""
LOOK_AGAIN = 1.0
"""Seconds after which an idle worker looks for itself, and a busy one for cancels: news may be lost."""
SMOOTHING = 0.5
"""How much the latest round counts in the measured rate."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Jobs that end per second, as measured."""

    rate: float = 0.0

    def after(self, ended: int, seconds: float) -> Pace:
        """The pace once *ended* jobs have ended in *seconds* during which there were some.

        What took as long as `AHEAD` counts at once: by the old pace too many would be claimed.
        """
        if seconds <= 0:
            return self
        rate = ended / seconds
        return Pace(rate if seconds >= AHEAD else self.rate + SMOOTHING * (rate - self.rate))


def window(slots: int, pace: Pace) -> int:
    """How many jobs a worker holds at most."""
    return slots + min(MOST_AHEAD, int(pace.rate * AHEAD))


def room(held: int, slots: int, pace: Pace, size: int = 0) -> int:
    """How many more jobs a worker claims now that holds so many, with so many bytes of arguments.

    None while it has enough: to claim a few costs about as much as to claim many.
    """
    most = window(slots, pace) if size < MOST_BYTES else slots
    free = most - held
    return free if free > 0 and free * CLAIM_WORTH >= most - slots else 0


def room_in_bytes(size: int) -> int:
    """How many bytes of arguments a worker claims now at most that holds so many. One job comes in any case."""
    return max(1, MOST_BYTES - size)


def writes_now(gathered: int, oldest: float, held: int, slots: int) -> bool:
    """Whether what has ended is written down now.

    Args:
        gathered: how many have ended and are not written down.
        oldest: seconds since the first of them ended.
        held: jobs that have not ended.
        slots: how many can run at a time. With fewer than that at work, more work is wanted at once.
    """
    return gathered > 0 and (gathered >= MOST_GATHERED or oldest >= GATHER or held < slots)
