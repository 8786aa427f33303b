"""Sinks: what each costs a job that does nothing else, on every kind of pool."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from time import perf_counter
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
from steadypool.observe.logging import LoggingSink
from steadypool.observe.opentelemetry import OpenTelemetrySink
from steadypool.observe.prometheus import PrometheusSink

NONE = "no sink"
THREADS = 4
PROCESSES = 2
NOTE = (
    "Submit to result, no-op jobs, three events for each. Logging writes to a handler that drops what it gets; "
    "OpenTelemetry is the SDK with nothing to export to."
)

Sink = Callable[[Any], object]


def tables(effort: Effort) -> Iterator[Table]:
    """Threads, processes, asyncio."""
    for title, make in (
        ("Threads", lambda: ThreadPool(THREADS)),
        ("Processes", lambda: ProcessPool(PROCESSES)),
    ):
        with ExitStack() as stack:
            pools = {name: _subscribed(stack.enter_context(make()), sink) for name, sink in _sinks().items()}
            contenders = [
                Contender(name, partial(many_at_once, pool.submit, (nothing,))) for name, pool in pools.items()
            ]
            yield _table(title, measure(contenders, effort))
    loops = [Contender(name, partial(_on_a_loop, sink)) for name, sink in _sinks().items()]
    yield _table("asyncio", measure(loops, effort))


def _table(title: str, samples: Samples) -> Table:
    return compared(f"sinks_{title.lower()}", f"{title}: the price of each sink", samples, base=NONE, note=NOTE)


def _sinks() -> dict[str, Sink | None]:
    return {
        NONE: None,
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


def _subscribed(pool: Any, sink: Sink | None) -> Any:
    if sink is not None:
        pool.subscribe(sink)
    return pool


def _on_a_loop(sink: Sink | None, n: int) -> float:
    """Seconds that n jobs take."""

    async def turn() -> float:
        async with AsyncPool(AT_ONCE) as pool:
            _subscribed(pool, sink)
            begin = perf_counter()
            for future in [await pool.submit(no_op) for _ in range(n)]:
                await future
            return perf_counter() - begin

    return asyncio.run(turn())
