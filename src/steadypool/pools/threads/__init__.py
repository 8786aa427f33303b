"""Floor 4, above `pools.executor`: `ThreadPool` and its workers. `pools.threads.worker` describes how it works."""
