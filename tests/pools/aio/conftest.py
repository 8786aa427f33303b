"""Tests here are coroutine functions; each runs on asyncio's own loop and on uvloop.

After each test nothing may be left that the loop would complain about: the books balance, no task of a pool lives, and
the loop's exception handler was not called.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from steadypool import AsyncPool
from tests.pools.aio.cues import WAIT

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every coroutine function on each loop."""
    if inspect.iscoroutinefunction(metafunc.function):
        metafunc.fixturenames.append("new_loop")
        metafunc.parametrize("new_loop", LOOPS.values(), ids=LOOPS)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function on its loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.function):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    complaints: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=pyfuncitem.callspec.params["new_loop"]) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        pools: list[AsyncPool] = pyfuncitem.funcargs.get("made_pools", [])
        runner.run(_run(pyfuncitem.obj(**arguments), pools))
        gc.collect()
    gc.collect()
    assert complaints == []
    return True


async def _run(test: Any, pools: list[AsyncPool]) -> None:
    async with asyncio.timeout(WAIT):
        await test
        for pool in pools:
            report = await pool.drain(1)
            stats = report.stats
            assert stats.balanced and pool.stats().balanced, stats
            assert stats.waiting == stats.running == stats.retrying == 0, stats
            assert pool._workers.attempts.lent == pool._workers.attempts.callers == 0
            assert not pool._workers.running and not pool._workers.lingering and not pool._workers.stuck
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
def made_pools() -> list[AsyncPool]:
    """The pools that the test made: they are drained at its end, and their books must balance."""
    return []


@pytest.fixture
def make_pool(made_pools: list[AsyncPool]) -> Callable[..., AsyncPool]:
    """Makes pools."""

    def make(max_workers: int = 2, **options: Any) -> AsyncPool:
        made_pools.append(AsyncPool(max_workers, **options))
        return made_pools[-1]

    return make


@pytest.fixture
def pool(make_pool: Callable[..., AsyncPool]) -> AsyncPool:
    """A pool of two workers."""
    return make_pool(2)
