"""asyncio: ours against a TaskGroup with a Semaphore, aiojobs and aiometer; and ways from a loop into threads."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from importlib import import_module
from itertools import count
from time import perf_counter
from typing import Any

import aiojobs
import aiometer
import anyio.to_thread
import psutil

from bench.rounds import Contender, Effort, Samples, measure, ratio
from bench.tables import Table, at_least, at_most, compared
from bench.work import nothing
from steadypool import AsyncPool, ThreadPool

OURS = "steadypool"
MAPPED = "steadypool, `map`"
TASK_GROUP = "TaskGroup + Semaphore"
AIOJOBS = "aiojobs"
AIOMETER = "aiometer"
AT_ONCE = 100
LIMIT = 30.0
IS_EAGER = sys.version_info >= (3, 12)
WANTED = 3.0 if IS_EAGER else 1.5
"""So many times as fast as TaskGroup + Semaphore + `asyncio.timeout` is what we set out to be."""
FLAT = 4 * 2**20
"""Bytes within which memory counts as flat."""

Job = Callable[[], Awaitable[Any]]
Turn = Callable[[Job, "float | None", int], Awaitable[float]]


def tables(effort: Effort) -> Iterator[Table]:
    """Everything about asyncio."""
    yield _limited(measure(_contenders(no_op, LIMIT), effort))
    parts: Any = import_module("bench.aio_parts")  # which measures what is defined here
    yield parts.parts(effort, WANTED)
    yield parts.profile(effort)
    for name, job in (("asyncio.sleep(0)", sleep_once), ("asyncio.sleep(0.001)", sleep_a_while)):
        yield _sleeping(name, measure(_contenders(job, None, (ours, task_group)), effort))
    yield _into_threads(effort)
    yield endless_map(effort)


async def no_op() -> None:
    """Do nothing."""


async def sleep_once() -> None:
    """Let the loop go round once."""
    await asyncio.sleep(0)


async def sleep_a_while() -> None:
    """Sleep a millisecond."""
    await asyncio.sleep(0.001)


# -- the contenders: each runs n jobs, at most AT_ONCE at a time, and gives the seconds that took


async def ours(job: Job, limit: float | None, n: int) -> float:
    """Each job with its own future."""
    async with AsyncPool(AT_ONCE, timeout=limit) as pool:
        begin = perf_counter()
        futures = [await pool.submit(job) for _ in range(n)]
        for future in futures:
            await future
        return perf_counter() - begin


async def ours_mapped(job: Job, limit: float | None, n: int) -> float:
    """Lazily, in order."""

    async def one(_: int) -> None:
        await job()

    async with AsyncPool(AT_ONCE, timeout=limit) as pool:
        begin = perf_counter()
        async for _ in pool.map(one, range(n)):
            pass
        return perf_counter() - begin


async def task_group(job: Job, limit: float | None, n: int) -> float:
    """What the standard library offers."""
    semaphore = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with semaphore:
            if limit is None:
                await job()
            else:
                async with asyncio.timeout(limit):
                    await job()

    begin = perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one()) for _ in range(n)]
    for task in tasks:
        task.result()
    return perf_counter() - begin


async def with_aiojobs(job: Job, limit: float | None, n: int) -> float:
    """A scheduler has no time limit of its own for a job."""

    async def one() -> None:
        async with asyncio.timeout(limit):
            await job()

    async with aiojobs.Scheduler(limit=AT_ONCE, pending_limit=n) as scheduler:
        begin = perf_counter()
        jobs = [await scheduler.spawn(one()) for _ in range(n)]
        for spawned in jobs:
            await spawned.wait()
        return perf_counter() - begin


async def with_aiometer(job: Job, limit: float | None, n: int) -> float:
    """Nor has this one."""

    async def one() -> None:
        async with asyncio.timeout(limit):
            await job()

    begin = perf_counter()
    await aiometer.run_all([one] * n, max_at_once=AT_ONCE)
    return perf_counter() - begin


_NAMES: dict[Turn, str] = {
    ours: OURS,
    ours_mapped: MAPPED,
    task_group: TASK_GROUP,
    with_aiojobs: AIOJOBS,
    with_aiometer: AIOMETER,
}


def _contenders(job: Job, limit: float | None, turns: tuple[Turn, ...] = tuple(_NAMES)) -> list[Contender]:
    return [Contender(_NAMES[turn], partial(in_a_loop, turn, job, limit)) for turn in turns]


def in_a_loop(turn: Turn, job: Job, limit: float | None, n: int) -> float:
    """Seconds that *n* jobs take, on a loop of their own."""

    async def main() -> float:
        return await turn(job, limit, n)

    return asyncio.run(main())


def _limited(samples: Samples) -> Table:
    times = ratio(samples, TASK_GROUP, OURS)
    return compared(
        "limited",
        "asyncio: no-op coroutines, each with a time limit",
        samples,
        base=OURS,
        note=f"At most {AT_ONCE} at a time. The others have their limit from `asyncio.timeout`. "
        + ("Tasks are eager on this Python." if IS_EAGER else "Tasks are not eager on this Python."),
        targets=[at_least(f"at least {WANTED:g} times as fast as TaskGroup + Semaphore", times, WANTED)],
    )


def _sleeping(name: str, samples: Samples) -> Table:
    key = "sleep-0" if name.endswith("(0)") else "sleep-1ms"
    return compared(
        key,
        f"asyncio: coroutines that await `{name}`, no time limit",
        samples,
        base=OURS,
        note=f"At most {AT_ONCE} at a time.",
        targets=[at_most("not slower than TaskGroup + Semaphore", 1 / ratio(samples, TASK_GROUP, OURS), 1.05)],
    )


# -- from a loop into threads


def _into_threads(effort: Effort) -> Table:
    with ThreadPool(4) as pool:
        ways: dict[str, Callable[[], Awaitable[Any]]] = {
            "steadypool, `await pool.run`": lambda: pool.run(nothing),
            "asyncio.to_thread": lambda: asyncio.to_thread(nothing),
            "anyio.to_thread.run_sync": lambda: anyio.to_thread.run_sync(nothing),
        }
        samples = measure([Contender(name, partial(_one_by_one, way)) for name, way in ways.items()], effort)
    own, *others = ways
    slower = max(1 / ratio(samples, other, own) for other in others)
    return compared(
        "into-threads",
        "asyncio: from a loop into a thread and back, one at a time",
        samples,
        base=own,
        targets=[at_most("not slower than either", slower, 1.05)],
    )


def _one_by_one(way: Callable[[], Awaitable[Any]], n: int) -> float:
    async def main() -> float:
        await way()  # its thread is started
        begin = perf_counter()
        for _ in range(n):
            await way()
        return perf_counter() - begin

    return asyncio.run(main())


# -- memory, in a process of its own: ``python -m bench.aio COUNT``


def endless_map(effort: Effort) -> Table:
    """Whether memory stays flat."""
    jobs = 100_000 if effort.quick else 1_000_000
    command = [sys.executable, "-m", "bench.aio", str(jobs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
    figures: dict[str, float] = json.loads(done.stdout)
    return Table(
        "endless",
        "asyncio: memory of a `map` over an endless input",
        ("", "MB"),
        [
            (f"after {jobs // 10:,} results", f"{figures['early'] / 2**20:.1f}"),
            (f"after {jobs:,} results", f"{figures['late'] / 2**20:.1f}"),
        ],
        figures,
        "Resident memory of the whole process; `queue_size` and time limit as by default and above.",
        [at_most("flat: growth in MB at most 4", (figures["late"] - figures["early"]) / 2**20, FLAT / 2**20)],
    )


async def _endless(jobs: int) -> dict[str, float]:
    async def one(_: int) -> None:
        await asyncio.sleep(0)

    figures: dict[str, float] = {}
    async with AsyncPool(AT_ONCE, timeout=LIMIT) as pool:
        results = pool.map(one, count())
        for number in range(1, jobs + 1):
            await anext(results)
            if number == jobs // 10:
                figures["early"] = psutil.Process().memory_info().rss
        figures["late"] = psutil.Process().memory_info().rss
        await results.aclose()  # type: ignore[attr-defined]
    return figures


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_endless(int(sys.argv[1])))))
