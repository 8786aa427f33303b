"""Floor 5, above `durable.engine`: the caller's side of a queue. Tasks, handles, and how jobs are enqueued."""
