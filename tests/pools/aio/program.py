"""Programs for `test_endings` and `test_signals`, run as ``python -m tests.pools.aio.program NAME LOOP [ARGUMENT]``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import uvloop

from steadypool import AsyncPool, Outcome
from steadypool.model.events import PoolDraining
from tests.pools.aio.cues import hang


async def swallow_cancelled() -> None:
    """Cannot be cancelled, but closed."""
    while True:
        try:
            await hang()
        except asyncio.CancelledError:
            pass


async def swallow_twice() -> None:
    """Can be cancelled in the end."""
    for _ in range(2):
        try:
            await hang()
        except asyncio.CancelledError:
            pass
    await hang()


async def clean_up_slowly() -> None:
    """Waits in its ``finally``."""
    try:
        await hang()
    finally:
        for _ in range(3):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass


async def swallow_everything() -> None:
    """Cannot be ended in Python."""
    while True:
        try:
            await asyncio.sleep(3600)
        except BaseException:
            pass


async def swallow_everything_below() -> None:
    """The same, below another coroutine."""
    await swallow_everything()


STUBBORN = [swallow_cancelled, swallow_twice, clean_up_slowly, swallow_everything, swallow_everything_below]


async def drained() -> None:
    """Drain a pool of stubborn coroutines."""
    pool = AsyncPool(10, cancel_grace=0.05)
    futures = [await pool.submit(fn) for fn in STUBBORN]
    report = await pool.drain(0.05)
    assert len(report.stuck) == len(STUBBORN), report
    assert all(future.outcome is Outcome.INTERRUPTED for future in futures)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    print("drained")


async def left_open() -> None:
    """Leave a pool open at the end of ``asyncio.run``."""
    global kept
    kept = AsyncPool(5, cancel_grace=0.05, name="forgotten")
    for fn in STUBBORN:
        await kept.submit(fn)
    for _ in range(3):
        await kept.submit(hang)
    await asyncio.sleep(0)
    print("leaving")


async def idle_left_open() -> None:
    """Leave an idle pool open."""
    global kept
    kept = AsyncPool(5)
    await kept.run(asyncio.sleep, 0)
    print("leaving")


async def in_block() -> None:
    """Be cancelled from outside, in the block of a pool."""
    async with AsyncPool(2, cancel_grace=0.05) as pool:
        futures = [await pool.submit(hang) for _ in range(4)]
        print("ready", flush=True)
        try:
            await hang()
        finally:
            print("cancelled", all(not future.done() for future in futures), flush=True)


def go_on(cue: asyncio.Event) -> None:
    """Something came on stdin."""
    if os.read(0, 100):
        cue.set()
    asyncio.get_running_loop().remove_reader(0)


async def signals() -> None:
    """Serve until a signal comes: the first drains, the second cancels."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    cue = asyncio.Event()

    async def job() -> None:
        print("started", flush=True)
        await cue.wait()

    async with AsyncPool(1, cancel_grace=0.05) as pool:
        with pool.drain_on_signal(timeout=60):
            asyncio.get_running_loop().add_reader(0, go_on, cue)
            while True:
                await pool.submit(job)
                await pool.submit(job)
        report = await pool.drain()
        stats = report.stats
        print(f"on_time={report.on_time} succeeded={stats.succeeded} returned={stats.returned}", flush=True)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before, "handlers come back"
    print("end")


def mean_it(*_: object) -> None:
    """What SIGTERM meant before the pool's block."""
    print("the old handler", flush=True)
    os._exit(7)


async def obey_the_second_time() -> None:
    """Say when it is asked to stop, and go on until it is told again."""
    try:
        await hang()
    except asyncio.CancelledError:
        print("told", flush=True)
    await hang()


async def one_by_one() -> None:
    """Say when the next signal may come, while a job hangs that has a long grace."""
    meaning, loop = sys.argv[3], asyncio.get_running_loop()
    if meaning == "handler":
        signal.signal(signal.SIGTERM, mean_it)
    elif meaning == "handler of the loop":
        loop.add_signal_handler(signal.SIGTERM, mean_it)
    pool = AsyncPool(1, cancel_grace=60)
    pool.subscribe(lambda event: print("draining", flush=True) if isinstance(event, PoolDraining) else None)
    with pool.drain_on_signal(timeout=60):
        await pool.submit(obey_the_second_time)
        await asyncio.sleep(0)
        print("ready", flush=True)
        await hang()


kept: Any = None
PROGRAMS = {fn.__name__: fn for fn in (drained, left_open, idle_left_open, in_block, signals, one_by_one)}


async def main(name: str) -> None:
    """Run one of them, on a loop that says nothing of slow callbacks: on a busy machine any may be."""
    asyncio.get_running_loop().slow_callback_duration = 60
    await PROGRAMS[name]()


if __name__ == "__main__":
    run = uvloop.run if sys.argv[2] == "uvloop" else asyncio.run
    run(main(sys.argv[1]))
    print("out")
