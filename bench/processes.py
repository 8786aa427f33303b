"""Processes: ours against the standard library's two pools, pebble, loky and deadpool."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

from bench import arrays, failures, idle, profiles, real_work, shares
from bench.peers import ALL, LOKY, MP_POOL, OURS, PEBBLE, STANDARD, Peer, all_opened
from bench.rounds import Contender, Costs, Effort, Samples, measure, measure_costs, ratio, timed
from bench.tables import Table, at_least, at_most, compared, costs_compared
from bench.work import nothing, spin

WORKERS = 2
LENGTHS = (0.0, 10e-6, 100e-6, 1e-3, 10e-3, 100e-3)
BURSTS = (1_000, 3_000, 20_000)
BURST_ROUNDS = 7
LARGE = 10_000
"""Jobs from which loky and deadpool are left out: they would take minutes."""
CURVE = Effort(rounds=3, seconds=0.15, quick=False)
"""There are many turns in it, so each of them is short."""


def tables(effort: Effort) -> Iterator[Table]:
    """Everything about processes."""
    with all_opened(ALL, WORKERS) as peers:
        for jobs in BURSTS[:1] if effort.quick else BURSTS:
            yield _burst(peers if jobs < LARGE else peers[:4], jobs, effort)
        yield _round_trip(measure_costs([Contender(p.name, _one_at_a_time(p)) for p in peers], effort))
        yield shares.cpu_of_a_job(peers[:3], effort)
        yield _chunks(measure([Contender(p.name, _in_chunks(p)) for p in peers[:3]], effort))
    yield profiles.table(effort)
    with all_opened((OURS, STANDARD, MP_POOL, PEBBLE, LOKY), WORKERS) as peers:
        yield _curve(peers, effort)
    yield from real_work.tables(effort)
    yield arrays.table(effort)
    yield from failures.tables(effort)
    yield idle.table(effort)


def _many_at_once(peer: Peer) -> Callable[[int], float]:
    submit, result = peer.submit, peer.result

    def work(n: int) -> None:
        futures = [submit(nothing) for _ in range(n)]
        for future in futures:
            result(future)

    return lambda n: timed(lambda: work(n))


def _one_at_a_time(peer: Peer) -> Callable[[int], float]:
    submit, result = peer.submit, peer.result

    def work(n: int) -> None:
        for _ in range(n):
            result(submit(nothing))

    return lambda n: timed(lambda: work(n))


def _in_chunks(peer: Peer) -> Callable[[int], float]:
    start: dict[str, Callable[[int], Any]] = {
        OURS: lambda n: peer.pool.map_unordered(nothing, range(n), chunksize=100),
        MP_POOL: lambda n: peer.pool.imap_unordered(nothing, range(n), chunksize=100),
        STANDARD: lambda n: peer.pool.map(nothing, range(n), chunksize=100),
    }
    begin = start[peer.name]
    return lambda n: timed(lambda: all(result is None for result in begin(n)))


def _burst(peers: list[Peer], jobs: int, effort: Effort) -> Table:
    contenders = [Contender(p.name, _many_at_once(p), jobs) for p in peers]
    for contender in contenders:
        contender.run(jobs)
    costs = measure_costs(contenders, effort, rounds=min(effort.rounds, BURST_ROUNDS))
    others = [name for name in costs.wall if name != OURS]
    fastest = min(ratio(costs.wall, name, OURS) for name in others)
    return costs_compared(
        f"burst-{jobs}",
        f"Processes: {jobs:,} no-op jobs at once, each with its own future",
        costs,
        base=OURS,
        note=f"{WORKERS} workers, default options. All jobs are submitted, then all results taken; of `mp.Pool` it is "
        "`apply_async`. Processor time is that of the parent and the workers.",
        targets=[
            at_least("at least 6 times as fast as ProcessPoolExecutor", ratio(costs.wall, STANDARD, OURS), 6),
            at_least("at least 2.5 times as fast as the fastest of the others", fastest, 2.5),
        ],
    )


def _round_trip(costs: Costs) -> Table:
    share, cpu_share = 1 / ratio(costs.wall, STANDARD, OURS), 1 / ratio(costs.cpu, STANDARD, OURS)
    return costs_compared(
        "round-trip",
        "Processes: round trip, one job at a time",
        costs,
        base=OURS,
        targets=[
            at_most("at most half of ProcessPoolExecutor's time", share, 0.5),
            at_most("at most half of ProcessPoolExecutor's processor time", cpu_share, 0.5),
        ],
    )


def _chunks(samples: Samples) -> Table:
    return compared(
        "chunks",
        "Processes: maps over no-op jobs, `chunksize=100`",
        samples,
        base=OURS,
        note="`map_unordered` of ours, `imap_unordered` of `mp.Pool`, `map` of ProcessPoolExecutor.",
    )


def _curve(peers: list[Peer], effort: Effort) -> Table:
    data: dict[str, Any] = {}
    rows = []
    effort = effort if effort.quick else CURVE
    for seconds in LENGTHS[::2] if effort.quick else LENGTHS:
        jobs = WORKERS * max(1, round(effort.seconds / seconds)) if seconds >= 1e-3 else None
        contenders = [Contender(p.name, _spinning(p, seconds), jobs) for p in peers]
        samples = measure(contenders, effort)
        rates = {name: 1 / statistics.median(values) for name, values in samples.items()}
        data[f"{seconds:g}"] = rates
        ideal = f"{WORKERS / seconds:,.0f}" if seconds else "–"
        rows.append((_length(seconds), *(f"{rate:,.0f}" for rate in rates.values()), ideal))
    columns = ("job length", *(peer.name for peer in peers), f"{WORKERS} workers at most")
    note = "Jobs in a second, each with its own future. A job uses the processor for that long."
    return Table("curve", "Processes: throughput over job length", columns, rows, data, note, [])


def _spinning(peer: Peer, seconds: float) -> Callable[[int], float]:
    submit, result = peer.submit, peer.result

    def work(n: int) -> None:
        futures = [submit(spin, seconds) for _ in range(n)]
        for future in futures:
            result(future)

    return lambda n: timed(lambda: work(n))


def _length(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.0f} ms"
