"""How long jobs run, on average over the latest of them: of each task, and of all together.

Measuring a run means reading a clock at its end, which the fastest jobs would notice. So a worker whose jobs are
over in less than `WORTH_MEASURING` measures one in `SAMPLE`, which then stands for as many. Any thread may add. There
is no lock: two that add at the same moment may lose one of many samples.
"""

from __future__ import annotations

from steadypool.rules.forecast import Means

WORTH_MEASURING = 0.001
"""Seconds of a run from which every one is measured: what reading the clock takes is nothing to it."""
SAMPLE = 64
"""One in so many shorter runs is measured. A power of two."""
KEPT = 128
"""Samples after which older ones count half."""
MOST_TASKS = 200
"""So many tasks have an average of their own; of the others there is only that of all."""


class RunTimes:
    """The average run times of one pool's jobs."""

    def __init__(self) -> None:
        self._all = _Average()
        self._tasks: dict[str, _Average] = {}

    def add(self, seconds: float, runs: int = 1, *, task: str = "") -> None:
        """*runs* runs took *seconds* together; they are *task*'s, if that is known."""
        self._all.add(seconds, runs)
        if task:
            self.add_to_task(task, seconds, runs)

    def add_to_task(self, task: str, seconds: float, runs: int = 1) -> None:
        """The same, for what is or will be in the average of all by other ways."""
        average = self._tasks.get(task)
        if average is None:
            if len(self._tasks) >= MOST_TASKS:
                return
            average = self._tasks.setdefault(task, _Average())
        average.add(seconds, runs)

    @property
    def mean(self) -> float | None:
        """Seconds that a run takes, of whatever task; ``None`` if none was measured."""
        return self._all.mean

    def means(self) -> Means:
        """What is known now."""
        tasks = {task: average.mean for task, average in self._tasks.copy().items()}
        return Means(self._all.mean, {task: mean for task, mean in tasks.items() if mean is not None})


class _Average:
    """Of the latest runs."""

    __slots__ = ("_runs", "_samples", "_seconds")

    def __init__(self) -> None:
        self._seconds = 0.0
        self._runs = 0.0
        self._samples = 0

    def add(self, seconds: float, runs: int) -> None:
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
        """Seconds that one takes; ``None`` if there was none."""
        runs = self._runs
        return self._seconds / runs if runs else None
