"""Floor 4, beside `pools.threads`: `AsyncPool`, the contract on asyncio. `pools.aio.workers` describes how it works."""

from steadypool.pools.aio.future import AsyncJobFuture
from steadypool.pools.aio.pool import AsyncPool

__all__ = ["AsyncJobFuture", "AsyncPool"]
