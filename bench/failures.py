"""What a crash and a time limit cost: until there is a working replacement, and beyond the limit."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import loky

from bench.peers import DEADPOOL, LOKY, OURS, PEBBLE, STANDARD, Peer, all_opened, context, opened
from bench.rounds import Contender, Effort, measure, percentile, timed
from bench.tables import Table, compared, in_unit
from bench.work import crash, give_back, hang
from steadypool import task

LIMIT = 0.5
BESIDE = 2
"""Jobs that reach their limit at the same time."""


def tables(effort: Effort) -> Iterator[Table]:
    """Crashes, then time limits."""
    yield _replacements(effort)
    yield _overshoots(3 if effort.quick else 15)


def _replacements(effort: Effort) -> Table:
    with all_opened((OURS, PEBBLE, DEADPOOL), 1) as peers:
        contenders = [Contender(p.name, partial(_crashes, p), jobs=2) for p in peers]
        contenders.append(Contender(f"{STANDARD}, a new one", _new_standard, jobs=1))
        contenders.append(Contender(f"{LOKY}, a new one", _new_loky, jobs=1))
        for contender in contenders:
            contender.run(1)
        samples = measure(contenders, effort, rounds=min(effort.rounds, 5))
    loky.get_reusable_executor(1).shutdown(kill_workers=True)
    return compared(
        "replacement",
        "Processes: from a crash to the next job's result",
        samples,
        base=OURS,
        unit="ms",
        note="One worker. A job ends its process; what is measured is from its submit to the result of another job. "
        "Where a crash breaks the pool, the caller makes a new one; `mp.Pool` is missing because the crashed job "
        "never ends there.",
    )


def _crashes(peer: Peer, n: int) -> float:
    return sum(timed(lambda: (_crash(peer.submit, peer.result), peer.call(give_back, 1))) for _ in range(n))


def _crash(submit: Callable[..., Any], result: Callable[[Any], Any]) -> None:
    try:
        result(submit(crash))
    except Exception:
        return
    raise AssertionError("a job that ended its process has a result")


def _new_standard(n: int) -> float:
    with ProcessPoolExecutor(1, context()) as broken:
        broken.submit(give_back, 1).result()
        begin = monotonic()
        _crash(broken.submit, lambda future: future.result())
        with ProcessPoolExecutor(1, context()) as fresh:
            fresh.submit(give_back, 1).result()
            return monotonic() - begin


def _new_loky(n: int) -> float:
    broken = loky.get_reusable_executor(1)
    broken.submit(give_back, 1).result()
    begin = monotonic()
    _crash(broken.submit, lambda future: future.result())
    loky.get_reusable_executor(1).submit(give_back, 1).result()
    return monotonic() - begin


def _overshoots(rounds: int) -> Table:
    limited = task(hang, timeout=LIMIT)
    submits: dict[str, Callable[[Peer, str], Any]] = {
        OURS: lambda peer, path: peer.submit(limited, path),
        PEBBLE: lambda peer, path: peer.pool.schedule(hang, (path,), timeout=LIMIT),
        DEADPOOL: lambda peer, path: peer.pool.submit(hang, path, deadpool_timeout=LIMIT),
    }
    data: dict[str, list[float]] = {name: [] for name in submits}
    with tempfile.TemporaryDirectory() as folder:
        for name, submit in submits.items():
            options = {"cancel_grace": 0.1} if name == OURS else {}
            with opened(name, BESIDE, **options) as peer:
                for number in range(rounds):
                    data[name] += _beyond(peer, submit, Path(folder) / f"{name}-{number}")
    rows = [
        (name, *(in_unit(percentile(values, p), "ms") for p in (50, 99)), str(len(values)))
        for name, values in data.items()
    ]
    return Table(
        "overshoot",
        f"Processes: how long after a time limit of {LIMIT} s the caller has the error",
        ("", "p50, ms", "p99, ms", "jobs"),
        rows,
        {name: {"p50": statistics.median(v), "p99": percentile(v, 99), "all": v} for name, v in data.items()},
        f"{BESIDE} jobs at a time, counted from the moment the job itself began. Ours carries the job's stack.",
    )


def _beyond(peer: Peer, submit: Callable[[Peer, str], Any], path: Path) -> list[float]:
    """By how much each of a few jobs was over its limit when its future said so."""
    paths = [path.with_name(f"{path.name}-{i}") for i in range(BESIDE)]
    ended: dict[Path, float] = {}
    futures = [submit(peer, str(one)) for one in paths]
    for one, future in zip(paths, futures, strict=True):
        future.add_done_callback(lambda _, one=one: ended.setdefault(one, monotonic()))
    for future in futures:
        if future.exception() is None:
            raise AssertionError("a job without end has ended")
    return [_when(ended, one) - float(one.read_text(encoding="ascii")) - LIMIT for one in paths]


def _when(ended: dict[Path, float], one: Path) -> float:
    # The waiter may be woken a moment before the callback is called.
    while one not in ended:
        pass
    return ended[one]
