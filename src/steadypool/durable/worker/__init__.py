"""The worker of a durable queue: claims jobs, feeds them to a pool, and settles them."""
