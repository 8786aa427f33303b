"""Measures contenders in interleaved rounds, so that whatever else the machine does falls on all of them alike.

A contender is a name and a function: ``run(n)`` does n jobs and returns the seconds that took. What it needs (a pool,
warmed up) is made before. In each round every contender has one turn, and the order rotates; a table shows medians
over the rounds, and ratios are taken within a round before their median is.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from bench.processor_time import descendants, used

MOST_JOBS = 20_000
"""A turn has no more jobs than this. Its futures are all alive at its end, and the garbage collector takes longer for
more of them: who is fast, and has more jobs to a turn, must not pay for that."""


@dataclass(frozen=True)
class Effort:
    """How much time a measurement may take."""

    rounds: int
    seconds: float
    """How long one turn of one contender should take."""
    quick: bool

    def in_short_turns(self) -> Effort:
        """The same time in turns of a third: for what the kernel does now in one way and now in another."""
        return replace(self, rounds=self.rounds * 3, seconds=self.seconds / 3)


FULL = Effort(rounds=7, seconds=0.3, quick=False)
QUICK = Effort(rounds=3, seconds=0.08, quick=True)


@dataclass(frozen=True)
class Contender:
    """Something to measure."""

    name: str
    run: Callable[[int], float]
    jobs: int | None = None
    """Jobs in a turn; by default as many as fill the time of one."""


Samples = dict[str, list[float]]
"""Seconds for one job, one figure for each round, by the contender's name."""


def measure(contenders: Sequence[Contender], effort: Effort, *, rounds: int | None = None) -> Samples:
    """Seconds for one job, of each contender in each round."""
    jobs = {c.name: c.jobs or _jobs_in_a_turn(c, effort.seconds) for c in contenders}
    samples: Samples = {c.name: [] for c in contenders}
    for number in range(rounds or effort.rounds):
        for contender in _rotated(contenders, number):
            gc.collect()
            n = jobs[contender.name]
            samples[contender.name].append(contender.run(n) / n)
    return samples


@dataclass(frozen=True)
class Costs:
    """Seconds for one job: on the wall, and of processor time of the parent and its workers together."""

    wall: Samples
    cpu: Samples


def measure_costs(contenders: Sequence[Contender], effort: Effort, *, rounds: int | None = None) -> Costs:
    """As `measure`, with the processor time beside it. Workers must have been started."""
    jobs = {c.name: c.jobs or _jobs_in_a_turn(c, effort.seconds) for c in contenders}
    costs = Costs({c.name: [] for c in contenders}, {c.name: [] for c in contenders})
    pids = descendants()
    for number in range(rounds or effort.rounds):
        for contender in _rotated(contenders, number):
            gc.collect()
            n, before = jobs[contender.name], used(pids)
            costs.wall[contender.name].append(contender.run(n) / n)
            costs.cpu[contender.name].append((used(pids) - before) / n)
    return costs


def ratio(samples: Samples, name: str, base: str) -> float:
    """How many times as long as *base* it takes: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(samples[name], samples[base], strict=True))


def timed(work: Callable[[], object]) -> float:
    """Seconds that *work* takes."""
    begin = perf_counter()
    work()
    return perf_counter() - begin


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that *percent* of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _jobs_in_a_turn(contender: Contender, seconds: float) -> int:
    """As many as fill a turn. The first turns are not counted: workers start, and everything is imported."""
    _warm_up(contender, seconds)
    n = 8
    while (took := contender.run(n)) < seconds / 4 and n < MOST_JOBS:
        n = min(MOST_JOBS, n * 4)
    return max(1, min(MOST_JOBS, int(n * seconds / took)))


def _warm_up(contender: Contender, seconds: float) -> None:
    end = perf_counter() + seconds
    while perf_counter() < end:
        contender.run(8)


def _rotated(contenders: Sequence[Contender], by: int) -> list[Contender]:
    by %= len(contenders)
    return [*contenders[by:], *contenders[:by]]
