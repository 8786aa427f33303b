"""Payloads: what it costs to send bytes and arrays to workers, and to get them back."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import joblib

from bench.peers import LOKY, MP_POOL, OURS, STANDARD, Peer, all_opened, opened
from bench.rounds import Contender, Costs, Effort, measure_costs, ratio, timed
from bench.tables import Table, Target, at_least, at_most, costs_compared, in_unit
from bench.work import keep_array, kept_array, touch, touch_shared
from steadypool import share

WORKERS = 2
SIZES = ((16, 0.40, 0.40), (64, 0.30, 0.55), (1024, 0.25, 0.60))
"""KB, and what part of ProcessPoolExecutor's time we want to need for an argument and for a result."""
IN_FLIGHT = 128 << 20
"""Bytes of arguments in one turn."""
BIG = 64 << 20
MEMCPY = "one memcpy"
JOBS_ON_ONE = 40
JOBLIB, SHARED = "joblib", "steadypool, share()"


def tables(effort: Effort) -> Iterator[Table]:
    """Small ones many at a time, big ones one at a time, and one for many jobs."""
    with all_opened((OURS, STANDARD, MP_POOL), WORKERS) as peers:
        for kilobytes, argument, result in SIZES:
            size = kilobytes << 10
            jobs = max(32, min(2000, IN_FLIGHT // size))
            yield _many("argument", kilobytes, peers, partial(_send_many, size), jobs, argument, effort)
            yield _many("result", kilobytes, peers, partial(_fetch_many, size), jobs, result, effort)
    yield from _big(effort)
    yield _one_for_many(effort)


def _many(
    way: str,
    kilobytes: int,
    peers: list[Peer],
    run: Callable[[Peer, int], None],
    jobs: int,
    wanted: float,
    effort: Effort,
) -> Table:
    contenders = [Contender(p.name, partial(_timed, run, p), jobs) for p in peers]
    for contender in contenders:
        contender.run(32)
    costs = measure_costs(contenders, effort)
    name = f"{kilobytes} KB as {way}"
    target = at_most(f"{name}, of ProcessPoolExecutor's time", ratio(costs.wall, OURS, STANDARD), wanted)
    note = f"{jobs:,} jobs are submitted at once, each with a future of its own, to {WORKERS} workers."
    return costs_compared(
        f"payloads {way} {kilobytes}", f"Payloads: {name}", costs, base=STANDARD, note=note, targets=[target]
    )


def _timed(run: Callable[[Peer, int], None], peer: Peer, n: int) -> float:
    return timed(lambda: run(peer, n))


def _send_many(size: int, peer: Peer, n: int) -> None:
    blocks = [bytes(size - 8) + number.to_bytes(8, "little") for number in range(16)]
    futures = [peer.submit(len, blocks[number % 16]) for number in range(n)]
    for future in futures:
        peer.result(future)


def _fetch_many(size: int, peer: Peer, n: int) -> None:
    futures = [peer.submit(bytes, size) for _ in range(n)]
    for future in futures:
        peer.result(future)


# -- 64 MB, one at a time


def _big(effort: Effort) -> Iterator[Table]:
    keep_array(BIG)
    array, data = kept_array(), os.urandom(1 << 20) * 64
    rounds = 1 if effort.quick else 5
    memcpy = Contender(MEMCPY, _each(lambda: touch(array.copy())), jobs=4)
    with all_opened((OURS, STANDARD, MP_POOL, LOKY), 1) as peers:
        for peer in peers:
            peer.call(kept_array)  # makes the worker's own
        ways: list[tuple[str, Callable[[Peer], Any], float]] = [
            ("an array of 64 MB as argument", lambda p: p.call(touch, array), 1.5),
            ("an array of 64 MB as result", lambda p: touch(p.call(kept_array)), 1.7),
            ("bytes of 64 MB as argument", lambda p: p.call(len, data), 5.5),
            ("bytes of 64 MB as result", lambda p: len(p.call(bytes, BIG)), 5.5),
        ]
        for title, call, most in ways:
            # Ours has ten calls to a turn: the first has to get its memory again, after the turns of the others.
            turns = [(p.name, _each(partial(call, p)), 10 if p.name == OURS else 2) for p in peers]
            contenders = [memcpy, *(Contender(*turn) for turn in turns)]
            for contender in contenders:
                contender.run(1)
            costs = measure_costs(contenders, effort, rounds=rounds)
            yield _in_memcpys(title, costs, most)


def _each(work: Callable[[], object]) -> Callable[[int], float]:
    return lambda n: timed(lambda: [work() for _ in range(n)])


def _in_memcpys(title: str, costs: Costs, most: float) -> Table:
    targets: list[Target] = [at_most(f"{title}, memcpys", ratio(costs.wall, OURS, MEMCPY), most)]
    if title.startswith("an array"):
        wanted = ratio(costs.wall, STANDARD, OURS)
        targets.append(at_least(f"{title}, times as fast as ProcessPoolExecutor", wanted, 20))
    note = "Ten calls in a row (two of the peers') to one worker. The unit is a copy into fresh memory."
    return costs_compared(
        f"payloads {title}", f"Payloads: {title}", costs, base=MEMCPY, unit="ms", note=note, targets=targets
    )


# -- one array for many jobs


def _one_for_many(effort: Effort) -> Table:
    array = kept_array()
    with (
        opened(OURS, WORKERS) as ours,
        joblib.Parallel(n_jobs=WORKERS) as parallel,
        share(array) as shared,
    ):
        contenders = [
            Contender(JOBLIB, _each(lambda: parallel(joblib.delayed(touch)(array) for _ in range(JOBS_ON_ONE))), 1),
            Contender(SHARED, _each(lambda: _all(ours, touch_shared, shared)), 1),
            Contender(OURS, _each(lambda: _all(ours, touch, array)), 1),
        ]
        for contender in contenders:
            contender.run(1)
        costs = measure_costs(contenders, effort, rounds=1 if effort.quick else 5)
    most = ratio(costs.wall, SHARED, JOBLIB)
    target = at_most(f"{JOBS_ON_ONE} jobs on one array of 64 MB, of joblib's time", most, 1.0)
    each = in_unit(statistics.median(costs.wall[SHARED]) / JOBS_ON_ONE, "ms")
    note = (
        f"{JOBS_ON_ONE} jobs look at each page of the same array. joblib writes it to a file once and maps that. "
        f"With share() a job takes {each} ms."
    )
    return costs_compared(
        "payloads one for many",
        f"Payloads: one array of 64 MB for {JOBS_ON_ONE} jobs",
        costs,
        base=JOBLIB,
        unit="ms",
        note=note,
        targets=[target],
    )


def _all(peer: Peer, fn: Callable[..., Any], value: Any) -> None:
    futures = [peer.submit(fn, value) for _ in range(JOBS_ON_ONE)]
    for future in futures:
        peer.result(future)
