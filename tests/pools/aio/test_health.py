"""Whether an `AsyncPool` is alive, asked from the loop and from other threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic

from steadypool import AsyncPool, task
from steadypool.model.health import HealthReason
from steadypool.rules.health import LOOP_PATIENCE
from tests.pools.aio.cues import WAIT, Cue


async def test_a_pool_is_ready_before_it_is_first_used(make_pool: Callable[..., AsyncPool]) -> None:
    pool = make_pool(1)
    assert pool.health().ready
    assert (await asyncio.to_thread(pool.health)).ready
    async with pool:
        assert pool.health().ready
        assert (await asyncio.to_thread(pool.health)).ready


async def test_a_blocked_loop_is_not_alive_and_recovers(make_pool: Callable[..., AsyncPool]) -> None:
    pool = make_pool(1)
    asked = threading.Event()
    seen = []

    def ask() -> None:
        began = monotonic()
        seen.append((pool.health(), 0.0))
        again = monotonic()
        seen.append((pool.health(), monotonic() - again))
        assert again - began < WAIT
        asked.set()

    async def blocks() -> None:
        threading.Thread(target=ask).start()
        asked.wait(WAIT)

    await pool.run(blocks)
    for health, _ in seen:
        assert (health.alive, health.ready, health.reasons) == (False, False, (HealthReason.LOOP_BLOCKED,))
    assert seen[1][1] < LOOP_PATIENCE  # who asks later does not wait once more
    assert (await asyncio.to_thread(pool.health)).ready


def test_a_loop_that_was_closed_is_not_alive() -> None:
    loop = asyncio.new_event_loop()
    pool = AsyncPool(1)
    loop.run_until_complete(pool.__aenter__())
    watch = pool._workers.loop_watch
    loop.close()
    health = pool.health()
    assert (health.alive, health.ready, health.reasons) == (False, False, (HealthReason.LOOP_ENDED,))
    assert watch is not None
    watch._log_destroy_pending = False  # type: ignore[attr-defined]


async def test_coroutines_that_are_all_stuck(make_pool: Callable[..., AsyncPool]) -> None:
    pool = make_pool(1, cancel_grace=0.01)
    cue = Cue()
    for _ in range(2):
        assert pool.health().alive
        await asyncio.wait((await pool.submit(task(cue.swallow, timeout=0.01)),))
        while pool.health().stuck < cue.started:
            await asyncio.sleep(0.001)
    health = pool.health()
    assert (health.alive, health.reasons, health.capacity) == (False, (HealthReason.ALL_STUCK,), 0)
    cue.go()
    await cue.wait_ended(2)
    await asyncio.sleep(0)
    assert pool.health().ready
