"""`AsyncPool`: the contract on asyncio. How it works is told in `pools.aio.core`."""

from steadypool.pools.aio.future import AsyncJobFuture
from steadypool.pools.aio.pool import AsyncPool

__all__ = ["AsyncJobFuture", "AsyncPool"]
