"""`loop.set_default_executor` accepts the pool."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.pools.contract import jobs


def test_default_executor(pool: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(pool)
        assert await asyncio.to_thread(jobs.add, 1, 2) == 3
        assert (await loop.run_in_executor(None, jobs.thread_name)).startswith(pool.name)
        assert await loop.getaddrinfo("127.0.0.1", 80)

    asyncio.run(main())
    assert pool.state.value == "closed"  # the loop shuts its default executor down
    assert pool.stats().succeeded == pool.stats().accepted >= 3
