"""Where the processor time of a no-op job goes: in the parent or in the workers, in Python or in the kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from bench.peers import Peer
from bench.rounds import Effort
from bench.tables import Table
from bench.work import nothing

BATCH = 1000
PLACES = ("parent, user", "parent, system", "workers, user", "workers, system")


@dataclass(frozen=True)
class _Spent:
    """Seconds of processor time, in the order of `PLACES`."""

    figures: tuple[float, ...]

    def since(self, before: _Spent, jobs: int) -> dict[str, float]:
        return {
            place: (now - then) / jobs for place, now, then in zip(PLACES, self.figures, before.figures, strict=True)
        }


def cpu_of_a_job(peers: list[Peer], effort: Effort) -> Table:
    """Processor time by place. The kernel counts it in hundredths of a second, so it takes a second or two."""
    seconds = 0.3 if effort.quick else 1.5
    data = {peer.name: _measure(peer, seconds) for peer in peers}
    rows = [(name, *(f"{f[place] * 1e6:.1f}" for place in PLACES), _total(f)) for name, f in data.items()]
    return Table(
        "shares",
        "Processes: where the processor time of a no-op job goes",
        ("µs", *PLACES, "in all"),
        rows,
        data,
        "Submit to result as in the first table. On two cores, half of what it costs in all is the least it can take.",
    )


def _total(figures: dict[str, float]) -> str:
    return f"{sum(figures.values()) * 1e6:.1f}"


def _measure(peer: Peer, seconds: float) -> dict[str, float]:
    workers = _workers(peer)
    _batches(peer, lambda done: done >= BATCH)
    before = _spent(workers)
    jobs = _batches(peer, lambda done: sum(_spent(workers).figures) - sum(before.figures) >= seconds)
    return _spent(workers).since(before, jobs)


def _batches(peer: Peer, enough: Callable[[int], bool]) -> int:
    done = 0
    while not enough(done):
        for future in [peer.submit(nothing) for _ in range(BATCH)]:
            peer.result(future)
        done += BATCH
    return done


def _workers(peer: Peer) -> list[psutil.Process]:
    """The workers' processes, whichever way the pool keeps them."""
    pool: Any = peer.pool
    found = pool._pool if hasattr(pool, "_pool") else pool._processes.values()
    return [psutil.Process(process.pid) for process in found]


def _spent(workers: list[psutil.Process]) -> _Spent:
    own = psutil.Process().cpu_times()
    theirs = [worker.cpu_times() for worker in workers]
    return _Spent((own.user, own.system, sum(t.user for t in theirs), sum(t.system for t in theirs)))
