"""From asyncio into a pool of threads or processes: ``await pool.run(fn, ...)``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from steadypool.model.options import TaskOptions
from steadypool.primitives.future import JobFuture, LoopWaker, running_loop

if TYPE_CHECKING:
    from steadypool.pools.executor.contract import PoolContract

R = TypeVar("R")


async def run_awaited(pool: PoolContract, fn: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
    """See `PoolContract.run`."""
    job = await _submit(pool, fn, args, kwargs)
    try:
        return await job
    except asyncio.CancelledError:
        job.cancel(running=True)
        raise


async def _submit(
    pool: PoolContract, fn: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> JobFuture[R]:
    core = pool._core
    # Before the job is accepted: it would run, and nobody could wait for it.
    running_loop(f"pool.run(...) of pool {core.name!r} is awaited")
    if core.refusal is not None:
        raise core.refusal()
    options: TaskOptions
    fn, options = core.workers.resolve(fn)
    if not core.queue.take_room():
        if core.settings.on_full in ("reject", "discard_oldest"):
            return pool._submit_when_full(options, fn, args, kwargs)
        if core.workers.is_own_thread():
            return pool._take_on(options, fn, args, kwargs, has_room=False)
        await _wait_for_room(core)
    return pool._take_on(options, fn, args, kwargs)


async def _wait_for_room(core: Any) -> None:
    """Take a room token, waiting for it on the loop."""
    while True:
        gate = LoopWaker(asyncio.get_running_loop())
        core.queue.blocked.append(gate)
        try:
            if core.queue.take_room():
                return
            if core.refusal is not None:
                raise core.refusal()
            await gate.woken
        finally:
            core.queue.leave_gate(gate)
