"""A program whose main thread is interrupted, as by Ctrl-C, anywhere in the middle of a submit.

python -m tests.races.interrupted HOW ROUNDS SEED

It prints what went wrong, one line each: nothing, if all is well.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from steadypool import JobFuture, SteadypoolError, ThreadPool

PATIENCE = 15.0
AGAIN = 3.0
"""Seconds until the next interrupt, in case the first one came where Python swallows exceptions."""


def same(number: int) -> int:
    return number


def submit(pool: ThreadPool) -> Iterator[JobFuture[int]]:
    while True:
        yield pool.submit(same, 1)


def submit_and_wait(pool: ThreadPool) -> Iterator[JobFuture[int]]:
    while True:
        pool.submit(same, 1).result()


def run_map(pool: ThreadPool) -> Iterator[JobFuture[int]]:
    while True:
        for _ in pool.map(same, range(100)):
            pass


HOW: dict[str, Callable[[ThreadPool], Iterator[JobFuture[int]]]] = {
    "submit": submit,
    "result": submit_and_wait,
    "map": run_map,
}


def interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def play(pool: ThreadPool, how: str, seconds: float) -> list[JobFuture[int]]:
    """Use the pool for so long, and return the futures that a submit has returned."""
    futures: list[JobFuture[int]] = []
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
        for future in HOW[how](pool):
            futures.append(future)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return futures


def look(pool: ThreadPool, futures: list[JobFuture[int]]) -> Iterator[str]:
    """What is wrong with the pool."""
    try:
        for future in futures:
            future.result(PATIENCE)
        pool.submit_within(PATIENCE, same, 2).result(PATIENCE)
    except (TimeoutError, SteadypoolError) as error:
        yield f"it is stuck: {error!r}, {pool.stats()!r}"
    closer = threading.Thread(target=pool.drain, daemon=True)  # without a limit, as `with pool:` does
    closer.start()
    closer.join(PATIENCE)
    stats = pool.stats()
    if closer.is_alive() or not stats.balanced or stats.accepted != stats.succeeded + stats.cancelled:
        yield f"it does not end well: {stats!r}"


def main(how: str, rounds: int, seed: int) -> None:
    signal.signal(signal.SIGALRM, interrupt)
    chance = random.Random(seed)
    kept = []
    for number in range(rounds):
        pool = ThreadPool(chance.choice([1, 2, 4]), queue_size=chance.choice([1, 1, 1, 10]), cancel_grace=0.2)
        kept.append(pool)  # what is called when it is freed would swallow an interrupt
        if number % 2:
            pool.submit(same, 0).result()  # otherwise its first worker has still to be started
        futures = play(pool, how, 0.0001 + chance.random() * 0.003)
        for wrong in look(pool, futures):
            print(f"round {number}: {wrong}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.flush()
    os._exit(0)
