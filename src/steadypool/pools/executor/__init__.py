"""Floor 4, above `pools.monitor`: the contract that threads and processes share, an `Executor` with more."""
