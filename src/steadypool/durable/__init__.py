"""Floor 5, the durable queue: jobs that survive their process. It feeds a pool; it is no second pool."""
