"""What one no-op job costs on asyncio, by part: what Python takes for a task and a future, and what our lines add."""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
from contextvars import copy_context
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.aio import AT_ONCE, LIMIT, OURS, TASK_GROUP, in_a_loop, no_op, ours, task_group
from bench.rounds import Contender, Effort, measure
from bench.tables import Table, in_unit

TASK = "a task of its own, in a copy of the context"
FUTURE = "a future of its own, settled and awaited"
NO_LIMIT = "without a limit"
ROWS = 8
_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


def parts(effort: Effort, wanted: float) -> Table:
    """The floor that Python sets, our own lines, and what *wanted*, times as fast as a TaskGroup, would leave them."""
    samples = measure(
        [
            Contender(TASK, partial(in_a_loop, tasks, no_op, None)),
            Contender(FUTURE, partial(in_a_loop, futures, no_op, None)),
            Contender(NO_LIMIT, partial(in_a_loop, ours, no_op, None)),
            Contender(OURS, partial(in_a_loop, ours, no_op, LIMIT)),
            Contender(TASK_GROUP, partial(in_a_loop, task_group, no_op, LIMIT)),
        ],
        effort,
    )
    seconds = {name: min(values) for name, values in samples.items()}
    floor = seconds[TASK] + seconds[FUTURE]
    rows = {
        TASK: seconds[TASK],
        FUTURE: seconds[FUTURE],
        "our own lines: submit, room, books, start and end": seconds[NO_LIMIT] - floor,
        "our own lines: the time limit": seconds[OURS] - seconds[NO_LIMIT],
        "**all of it**": seconds[OURS],
        f"TaskGroup + Semaphore + `asyncio.timeout`, by {wanted:g}": seconds[TASK_GROUP] / wanted,
        "left for our own lines": seconds[TASK_GROUP] / wanted - floor,
    }
    return Table(
        "parts",
        "asyncio: what one no-op job costs, by part",
        ("", "µs"),
        [(name, _figure(value)) for name, value in rows.items()],
        {**rows, "rounds": samples},
        "The fastest round of each, so that the parts add up on a busy machine. The first two are bare: what Python "
        "takes for a job that has its own task, context and future, with no pool at all. The rest goes into our lines.",
    )


def _figure(seconds: float) -> str:
    return in_unit(seconds, "µs") if seconds >= 0 else "too little to be measured"


async def tasks(_: object, __: object, n: int) -> float:
    """Bare tasks, eager where Python has that."""
    loop = asyncio.get_running_loop()
    begin = perf_counter()
    for _number in range(0, n, AT_ONCE):
        batch = [asyncio.Task(no_op(), loop=loop, context=copy_context(), **_EAGER) for _ in range(AT_ONCE)]
        for task in batch:
            await task
    return perf_counter() - begin


async def futures(_: object, __: object, n: int) -> float:
    """Bare futures."""
    loop = asyncio.get_running_loop()
    begin = perf_counter()
    made = [loop.create_future() for _ in range(n)]
    for future in made:
        future.set_result(None)
    for future in made:
        await future
    return perf_counter() - begin


def profile(effort: Effort) -> Table:
    """Which functions of ours it goes to."""
    jobs = 4_000 if effort.quick else 20_000
    profiler = cProfile.Profile()
    profiler.runcall(in_a_loop, ours, no_op, LIMIT, jobs)
    stats: Any = pstats.Stats(profiler)
    own = {_label(place): row[2] / jobs for place, row in stats.stats.items() if "steadypool" in place[0]}
    largest = sorted(own, key=lambda name: -own[name])[:ROWS]
    rows = [(f"`{name}`", in_unit(own[name], "µs")) for name in largest]
    rows.append(("all of ours", in_unit(sum(own.values()), "µs")))
    others = stats.total_tt / jobs - sum(own.values())
    rows.append(("asyncio, built-in functions and the benchmark", in_unit(others, "µs")))
    return Table(
        "profile",
        "asyncio: where the time of a no-op job goes, by function",
        ("", "µs for a job"),
        rows,
        dict(own),
        "By `cProfile`, which makes calls of small functions look dearer than they are.",
    )


def _label(place: tuple[str, int, str]) -> str:
    file, _, function = place
    return f"{Path(file).stem}.{function}"
