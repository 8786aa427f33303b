"""`ProcessPool`: the contract on processes. How it works is told in `pools.processes.core`."""

from steadypool.pools.processes.pool import ProcessPool

__all__ = ["ProcessPool"]
