"""How long a fleet of workers takes to recover, and what it asks of the database while it is idle: a simulation.

    python examples/fleet.py

Each worker renews its lease, looks for work and looks for dead workers at the intervals of the real one. At some moment
a tenth of the workers dies at once. The simulation plays it out, event by event, and stands beside the arithmetic of
docs/growing.md.
"""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from steadypool import WorkerSettings

LEASE = WorkerSettings().lease
RENEWALS = 3
"""How often a worker renews its lease in the time of one lease."""
LOOK_AGAIN = 1.0
"""Seconds after which an idle worker looks for work, and for dead workers."""
COST = {"claim": 190e-6, "sweep": 30e-6, "renewal": 220e-6}
"""Seconds of one server core for each call that finds nothing to do, as `make bench-durable` measures them."""


@dataclass
class Played:
    """What came out."""

    recoveries: list[float]
    """For each worker that died: seconds until its jobs were available again."""
    calls: dict[str, float]
    """For each kind of call: how many in a second before the deaths."""


def play(workers: int, chance: random.Random, death_at: float = 5.0) -> Played:
    """One fleet, one disaster."""
    dying = set(chance.sample(range(workers), max(1, workers // 10)))
    renewed = [0.0] * workers
    counts = dict.fromkeys(COST, 0)
    held: list[float] = []  # when the leases of the dead run out, the first one last
    recoveries: list[float] = []
    every: dict[str, Callable[[], float]] = {
        "claim": lambda: LOOK_AGAIN,
        "sweep": lambda: LOOK_AGAIN * chance.uniform(0.5, 1.5),
        "renewal": lambda: LEASE / RENEWALS,
    }
    events = [(chance.uniform(0, gap()), worker, what) for worker in range(workers) for what, gap in every.items()]
    heapq.heapify(events)
    while len(recoveries) < len(dying):
        now, worker, what = heapq.heappop(events)
        if now >= death_at and not held and not recoveries:
            held = sorted((renewed[dead] + LEASE for dead in dying), reverse=True)
        if now >= death_at and worker in dying:
            continue
        if now < death_at:
            counts[what] += 1
        if what == "renewal":
            renewed[worker] = now
        elif what == "sweep" and now >= death_at:
            while held and now > held[-1]:
                held.pop()
                recoveries.append(now - death_at)
        heapq.heappush(events, (now + every[what](), worker, what))
    return Played(recoveries, {what: count / death_at for what, count in counts.items()})


def expected(workers: int) -> tuple[float, float, float]:
    """The arithmetic: mean and longest recovery in seconds, and calls in a second."""
    alive = max(1, workers - max(1, workers // 10))
    age = LEASE / RENEWALS  # how old a renewal is at most; half of that on average
    next_sweep = LOOK_AGAIN / (alive + 1)  # the first of so many sweepers, each looking once a second or so
    mean = LEASE - age / 2 + next_sweep
    longest = LEASE + 1.5 * LOOK_AGAIN
    return mean, longest, workers * (1 / LOOK_AGAIN + 1 / LOOK_AGAIN + RENEWALS / LEASE)


def main() -> None:
    """Play fleets of all sizes, and print both."""
    print(f"lease {LEASE:g} s, renewed every {LEASE / RENEWALS:g} s; each worker looks once in {LOOK_AGAIN:g} s\n")
    print("workers   recovery, s: mean (expected)   longest (at most)   calls/s (expected)   server cores, idle")
    chance = random.Random(7)
    for workers in (10, 100, 1_000, 10_000):
        rounds = [play(workers, chance) for _ in range(max(1, 300 // workers))]
        recoveries = [seconds for played in rounds for seconds in played.recoveries]
        calls = {what: statistics.mean(played.calls[what] for played in rounds) for what in COST}
        mean, longest, rate = expected(workers)
        cores = sum(calls[what] * cost for what, cost in COST.items())
        print(
            f"{workers:7,} {statistics.mean(recoveries):18.2f} ({mean:.2f}) {max(recoveries):19.2f} ({longest:.1f}) "
            f"{sum(calls.values()):18,.0f} ({rate:,.0f}) {cores:16.2f}"
        )
        assert max(recoveries) <= longest
        assert abs(statistics.mean(recoveries) - mean) < 0.5
        assert abs(sum(calls.values()) / rate - 1) < 0.1


if __name__ == "__main__":
    main()
