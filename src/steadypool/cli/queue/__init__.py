"""Floor 7, the commands for a durable queue: ``work``, ``enqueue``, ``jobs``, ``migrate``, ``backup``, ``compact``."""
