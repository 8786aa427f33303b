"""Floor 4, at the top of the pools: `ProcessPool`. `pools.processes.workers` describes how it works."""

from steadypool.pools.processes.pool import ProcessPool

__all__ = ["ProcessPool"]
