"""How long jobs run, on average over the latest of them.

Measuring a run means reading a clock at its end, which the fastest jobs would notice. So whoever runs jobs that are
over in less than `WORTH_MEASURING` measures one in `SAMPLE`, which then stands for as many. Any thread may add. There
is no lock: two that add at the same moment may lose one of many samples.
"""

from __future__ import annotations

WORTH_MEASURING = 0.001
"""Seconds of a run from which every one is measured: what reading the clock takes is nothing to it."""
SAMPLE = 64
"""One in so many shorter runs is measured. A power of two."""
KEPT = 128
"""Samples after which older ones count half."""


class RunTimes:
    """The average run time of one pool's jobs."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._runs = 0.0
        self._samples = 0

    def add(self, seconds: float, runs: int = 1) -> None:
        """*runs* runs took *seconds* together."""
        self._seconds += max(0.0, seconds)
        self._runs += runs
        self._samples += 1
        if self._samples >= KEPT:
            self._samples = KEPT // 2
            self._seconds /= 2
            self._runs /= 2

    @property
    def mean(self) -> float | None:
        """Seconds that a run takes; ``None`` if none was measured."""
        runs = self._runs
        return self._seconds / runs if runs else None
