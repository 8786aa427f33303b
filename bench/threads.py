"""Threads: ours against `ThreadPoolExecutor` and pebble."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import pebble

from bench.memory import endless_map, waiting_jobs
from bench.rounds import MOST_JOBS, Contender, Effort, Samples, measure, ratio, timed
from bench.tables import Table, at_least, at_most, compared
from bench.work import nothing
from steadypool import Retry, ThreadPool, task

OURS = "steadypool"
STANDARD = "ThreadPoolExecutor"
PEBBLE = "pebble.ThreadPool"
WORKERS = 4
BATCHES = (1_000, 20_000, 100_000)
"""Jobs whose futures are taken together. The ratio depends on it, so each size is shown and judged by itself, and all
contenders have the same: in small batches waking a worker weighs most, in large ones the garbage collector."""

TRIPS = 3000
"""Round trips of which switches are counted."""

Submit = Callable[..., Any]


def tables(effort: Effort) -> Iterator[Table]:
    """Everything about threads."""
    with ExitStack() as stack:
        ours = stack.enter_context(ThreadPool(WORKERS))
        standard = stack.enter_context(ThreadPoolExecutor(WORKERS))
        pebbles = stack.enter_context(pebble.ThreadPool(WORKERS))
        submits: dict[str, Submit] = {OURS: ours.submit, STANDARD: standard.submit, PEBBLE: pebbles.submit}
        for batch in BATCHES:
            run = partial(in_batches, batch)
            yield _each_its_future(batch, measure(_contenders(submits, run, max(batch, MOST_JOBS)), effort))
        yield _round_trip(measure(_contenders(submits, one_at_a_time), effort.in_short_turns()))
        yield _switches(submits)
        if hasattr(os, "sched_setaffinity"):
            yield _on_one_core(effort)
        yield _map(measure([_mapping(OURS, ours), _mapping(STANDARD, standard)], effort))
        yield _options(ours, effort)
    yield waiting_jobs(effort)
    yield endless_map(effort)


def _contenders(submits: dict[str, Submit], run: Callable[..., float], jobs: int | None = None) -> list[Contender]:
    # pebble's takes a time limit as its second argument
    return [
        Contender(name, partial(run, submit, (nothing, None) if name == PEBBLE else (nothing,)), jobs)
        for name, submit in submits.items()
    ]


def many_at_once(submit: Submit, arguments: tuple[Any, ...], n: int) -> float:
    """Submit n jobs, then take their results."""

    def work() -> None:
        futures = [submit(*arguments) for _ in range(n)]
        for future in futures:
            future.result()

    return timed(work)


def in_batches(batch: int, submit: Submit, arguments: tuple[Any, ...], n: int) -> float:
    """The same *batch* jobs at a time: n in all, or one batch if that is more."""
    return sum(many_at_once(submit, arguments, batch) for _ in range(max(1, n // batch)))


def one_at_a_time(submit: Submit, arguments: tuple[Any, ...], n: int) -> float:
    """Wait for each job before the next."""

    def work() -> None:
        for _ in range(n):
            submit(*arguments).result()

    return timed(work)


def _each_its_future(batch: int, samples: Samples) -> Table:
    times = ratio(samples, STANDARD, OURS)
    return compared(
        f"futures_{batch}",
        f"Threads: submit to result, no-op jobs, each with its own future, {batch:,} at a time",
        samples,
        base=OURS,
        note=f"{WORKERS} workers, default options. {batch:,} jobs are submitted, then all results taken.",
        targets=[at_least("at least 5 times as fast as ThreadPoolExecutor", times, 5.0)],
    )


def _round_trip(samples: Samples) -> Table:
    return compared(
        "round-trip",
        "Threads: round trip, one job at a time",
        samples,
        base=OURS,
        note="Most of it is the switch to another thread and back, for which the kernel may wake a sleeping core.",
        targets=[at_most("not slower than ThreadPoolExecutor", 1 / ratio(samples, STANDARD, OURS), 1.05)],
    )


def _switches(submits: dict[str, Submit]) -> Table:
    """What the kernel does meanwhile."""
    rows, data = [], {}
    for name, submit in submits.items():
        before = resource.getrusage(resource.RUSAGE_SELF)
        one_at_a_time(submit, (nothing, None) if name == PEBBLE else (nothing,), TRIPS)
        after = resource.getrusage(resource.RUSAGE_SELF)
        slept = (after.ru_nvcsw - before.ru_nvcsw) / TRIPS
        displaced = (after.ru_nivcsw - before.ru_nivcsw) / TRIPS
        rows.append((name, f"{slept:.1f}", f"{displaced:.1f}"))
        data[name] = {"slept": slept, "displaced": displaced}
    columns = ("a round trip", "a thread goes to sleep", "a thread is displaced")
    note = "The least is two sleeps: the submitter until the job has ended, and the worker until the next."
    return Table("switches", "Threads: how often the kernel switches in a round trip", columns, rows, data, note)


def _on_one_core(effort: Effort) -> Table:
    """The round trip without the choice that the kernel has: where to put a thread that wakes."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # this thread's, and that of all threads which it starts
    try:
        with ThreadPool(WORKERS) as ours, ThreadPoolExecutor(WORKERS) as standard:
            submits: dict[str, Submit] = {OURS: ours.submit, STANDARD: standard.submit}
            samples = measure(_contenders(submits, one_at_a_time), effort)
    finally:
        os.sched_setaffinity(0, cores)
    return compared(
        "round-trip-one-core",
        "Threads: round trip, one job at a time, on one core",
        samples,
        base=OURS,
        note="The same where no other core is to be woken: what the pools themselves take, and two switches.",
    )


def _mapping(name: str, pool: Any) -> Contender:
    return Contender(name, lambda n: timed(lambda: all(r is None for r in pool.map(nothing, range(n)))))


def _map(samples: Samples) -> Table:
    return compared(
        "map",
        "Threads: `map` over no-op jobs",
        samples,
        base=OURS,
        note="Ours is lazy and keeps at most 1000 jobs in flight; the standard one submits the whole input first.",
    )


def _options(ours: ThreadPool, effort: Effort) -> Table:
    with ThreadPool(WORKERS) as watched:
        watched.subscribe(_Sink())
        contenders = [_with("no option", ours, nothing)]
        contenders += [
            _with("timeout=30", ours, task(nothing, timeout=30)),
            _with("total_timeout=30", ours, task(nothing, total_timeout=30)),
            _with("retry=Retry(3)", ours, task(nothing, retry=Retry(3))),
            _with("priority=1", ours, task(nothing, priority=1)),
            _with("a sink", watched, nothing),
        ]
        samples = measure(contenders, effort)
    return compared(
        "options",
        "Threads: the price of each option",
        samples,
        base="no option",
        note="Submit to result as in the first table. The sink takes three events for each job and drops them.",
    )


def _with(name: str, pool: ThreadPool, fn: Callable[..., Any]) -> Contender:
    return Contender(name, partial(many_at_once, pool.submit, (fn,)))


class _Sink:
    """Takes events and drops them."""

    def __call__(self, event: object) -> None:
        pass
