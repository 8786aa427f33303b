"""Sinks: what each costs a job that does nothing else, on every kind of pool; and what it costs that there may be one.

There is no build without the seam to compare with. Two things can be shown in its place: what the pool does at the
seam while no sink listens, which is to look whether there is a sink, so many times for each job; and that a pool whose
sink has left is as fast as one that never had any, to be read beside two pools that are the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from statistics import median
from time import perf_counter
from timeit import repeat
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from bench.aio import AT_ONCE, no_op
from bench.rounds import Contender, Effort, Samples, measure
from bench.tables import Table, compared
from bench.threads import many_at_once
from bench.work import nothing
from steadypool import AsyncPool, ProcessPool, ThreadPool
from steadypool.sinks.logging import LoggingSink
from steadypool.sinks.opentelemetry import OpenTelemetrySink
from steadypool.sinks.prometheus import PrometheusSink

NONE = "no sink"
AGAIN = "no sink, a second pool"
LEFT = "a sink that has left"
THREADS = 4
PROCESSES = 2
NOTE = (
    "Submit to result, no-op jobs, three events for each. Logging writes to a handler that drops what it gets; "
    "OpenTelemetry is the SDK with nothing to export to."
)

Sink = Callable[[Any], object]


def tables(effort: Effort) -> Iterator[Table]:
    """Threads, processes, asyncio; and what a pool without sinks pays."""
    bare: dict[str, float] = {}
    for table in _prices(effort):
        bare[table.title.partition(":")[0]] = table.data[NONE]["median"]
        yield table
    yield _unused(bare)


def _prices(effort: Effort) -> Iterator[Table]:
    for title, make in (
        ("Threads", lambda: ThreadPool(THREADS)),
        ("Processes", lambda: ProcessPool(PROCESSES)),
    ):
        with ExitStack() as stack:
            pools = {name: _prepared(name, stack.enter_context(make()), sink) for name, sink in _sinks().items()}
            contenders = [
                Contender(name, partial(many_at_once, pool.submit, (nothing,))) for name, pool in pools.items()
            ]
            yield _table(title, measure(contenders, effort))
    loops = [Contender(name, partial(_on_a_loop, name, sink)) for name, sink in _sinks().items()]
    yield _table("asyncio", measure(loops, effort))


def _table(title: str, samples: Samples) -> Table:
    return compared(f"sinks_{title.lower()}", f"{title}: the price of each sink", samples, base=NONE, note=NOTE)


def _sinks() -> dict[str, Sink | None]:
    return {
        NONE: None,
        AGAIN: None,
        LEFT: _drop,
        "a function that does nothing": _drop,
        "LoggingSink, failures and warnings": LoggingSink(_logger(logging.WARNING)),
        "LoggingSink, everything": LoggingSink(_logger(logging.DEBUG)),
        "PrometheusSink": PrometheusSink(CollectorRegistry()),
        "OpenTelemetrySink": OpenTelemetrySink(TracerProvider(), MeterProvider()),
    }


def _drop(event: object) -> None:
    """A sink that drops what it gets."""


def _logger(level: int) -> logging.Logger:
    logger = logging.Logger("bench", level)
    logger.addHandler(logging.NullHandler())
    return logger


def _prepared(name: str, pool: Any, sink: Sink | None) -> Any:
    if sink is not None:
        unsubscribe = pool.subscribe(sink)
        if name == LEFT:
            unsubscribe()
    return pool


def _on_a_loop(name: str, sink: Sink | None, n: int) -> float:
    """Seconds that n jobs take."""

    async def turn() -> float:
        async with AsyncPool(AT_ONCE) as pool:
            _prepared(name, pool, sink)
            begin = perf_counter()
            for future in [await pool.submit(no_op) for _ in range(n)]:
                await future
            return perf_counter() - begin

    return asyncio.run(turn())


# -- what a pool without sinks pays


class _Looks:
    """No sinks, in the place of a core's; counts how often a pool looks whether there are any."""

    def __init__(self) -> None:
        self.count = 0

    def __bool__(self) -> bool:
        self.count += 1
        return False

    def __iter__(self) -> Iterator[Sink]:
        return iter(())


JOBS = 2000


def _unused(bare: dict[str, float]) -> Table:
    """How much of a job that does nothing goes into looking for sinks."""
    look = _seconds_of_a_look()
    rows, data = [], {}
    for title, looks in (
        ("Threads", _looks_of(ThreadPool(THREADS))),
        ("Processes", _looks_of(ProcessPool(PROCESSES))),
        ("asyncio", asyncio.run(_looks_on_a_loop())),
    ):
        share = looks * look / bare[title]
        rows.append((title, f"{looks:.1f}", f"{looks * look * 1e9:.0f}", f"{share:.1%}"))
        data[title] = {"looks": looks, "seconds": looks * look, "share": share}
    note = (
        "What a pool without a sink does for sinks: it looks whether there is one. The looks are counted; one takes "
        f"{look * 1e9:.0f} ns, measured alone in a loop. The share is that of a whole no-op job."
    )
    columns = ("", "looks for each job", "ns for each job", "share")
    return Table("sinks_unused", "Without a sink", columns, rows, data, note)


def _looks_of(pool: Any) -> float:
    with pool:
        pool.submit(nothing).result()
        pool._core.emitter.sinks = looks = _Looks()
        for future in [pool.submit(nothing) for _ in range(JOBS)]:
            future.result()
        count = looks.count
        pool._core.emitter.sinks = ()
    return count / JOBS


async def _looks_on_a_loop() -> float:
    async with AsyncPool(AT_ONCE) as pool:
        await pool.run(no_op)
        pool._core.emitter.sinks = looks = _Looks()  # type: ignore[assignment]
        for future in [await pool.submit(no_op) for _ in range(JOBS)]:
            await future
        count = looks.count
        pool._core.emitter.sinks = ()
    return count / JOBS


def _seconds_of_a_look() -> float:
    """Reading the attribute and asking whether it is empty, less the loop around it."""
    n = 200_000
    with ThreadPool(1) as pool:
        names = {"core": pool._core}
        with_look = repeat("if core.emitter.sinks: pass", globals=names, number=n, repeat=7)
        without = repeat("pass", globals=names, number=n, repeat=7)
    return max(0.0, median(with_look) - median(without)) / n
