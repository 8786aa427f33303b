"""The contract that threads and processes share: an `Executor` with more."""
