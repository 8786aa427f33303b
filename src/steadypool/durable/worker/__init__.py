"""Floor 5, at the top of `durable`: the worker of a queue. It claims jobs, gives them to a pool, and settles them."""
