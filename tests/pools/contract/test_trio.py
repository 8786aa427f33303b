"""Awaited on another loop than asyncio's, a pool says so before it accepts a job."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage

pytestmark = pytest.mark.differs_on("asyncio", "it runs on asyncio alone")


def test_run_is_refused_before_the_job_is_accepted(pool: Any) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"no event loop of asyncio runs.*trio\.to_thread\.run_sync"):
            await pool.run(jobs.nothing)

    trio.run(main)
    assert pool.stats().accepted == 0


def test_a_future_says_how_to_wait_for_it(pool: Any, stage: Stage) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> int:
        future = pool.submit(jobs.act, stage.address, "a")
        actor = await trio.to_thread.run_sync(stage.enter)
        with pytest.raises(RuntimeError, match=r"trio\.to_thread\.run_sync\(future\.result\)"):
            await future
        actor.tell("return")
        assert await trio.to_thread.run_sync(future.result, WAIT) == "a"
        return int(await pool_result(pool))

    async def pool_result(pool: Any) -> Any:
        future = pool.submit(jobs.double, 2)
        future.result(WAIT)
        return await future  # it has ended: there is nothing to wait for

    assert trio.run(main) == 4
