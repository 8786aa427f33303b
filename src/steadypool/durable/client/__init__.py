"""The caller's side of a durable queue: tasks, handles, and how jobs are enqueued."""
