"""How long a drain would take from now, and when to say that it would take too long.

By task: a thousand quick jobs and three slow ones have no average that says anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

RELIEF = 0.8
"""An estimate has to fall to this share of the limit before another warning: near the limit it goes up and down."""


@dataclass(frozen=True, slots=True)
class Means:
    """How long runs take on average, in seconds."""

    of_all: float | None
    """Of whatever task; ``None`` if none was measured."""
    of_task: Mapping[str, float] = field(default_factory=dict)
    """Of the tasks that were measured."""


@dataclass(frozen=True, slots=True)
class Run:
    """A job that runs."""

    task: str
    ran: float
    """Seconds since it began."""
    left: float | None = None
    """Seconds that its time limit still lets it run; ``None``: no limit."""


def drain_estimate(means: Means, waiting: Mapping[str, float], running: Iterable[Run], capacity: int) -> float | None:
    """Seconds until everything accepted would have ended; ``None`` if no run has been measured.

    Args:
        means: how long runs take.
        waiting: how many jobs of each task have still to run.
        running: the jobs that run.
        capacity: how many jobs can run at a time.
    """
    if means.of_all is None:
        return None
    running = list(running)
    known = {**_so_far(means.of_all, running), **means.of_task}
    runs = {task: known.get(task, means.of_all) for task, count in waiting.items() if count > 0}
    rests = [_rest(means.of_task.get(run.task, means.of_all), run) for run in running]
    work = sum(waiting[task] * mean for task, mean in runs.items()) + sum(rests)
    return max(work / max(1, capacity), max(rests, default=0.0), max(runs.values(), default=0.0))


def _so_far(mean: float, running: list[Run]) -> dict[str, float]:
    """What is known of a task that was not measured yet and runs: no less than that."""
    longest: dict[str, float] = {}
    for run in running:
        longest[run.task] = max(mean, run.ran, longest.get(run.task, 0.0))
    return longest


def _rest(mean: float, run: Run) -> float:
    """What a running job still takes: what is missing from the average, or, beyond that, as much as it is over."""
    rest = abs(mean - run.ran)
    return rest if run.left is None else min(rest, max(0.0, run.left))


def spread(seen: Mapping[str, int], total: int) -> Mapping[str, float]:
    """How many of *total* jobs are of each task, if those that were seen are like the others.

    Of none seen, all are of the task ``""``, which was never measured.
    """
    count = sum(seen.values())
    if not count:
        return {"": total}
    return {task: total * some / count for task, some in seen.items()}


def warns(warned: bool, estimate: float | None, limit: float) -> tuple[bool, bool]:
    """Whether to warn now of an estimate over the limit, and whether that counts as *warned* from now on."""
    if estimate is None:
        return False, warned
    if estimate > limit:
        return not warned, True
    return False, warned and estimate > RELIEF * limit
