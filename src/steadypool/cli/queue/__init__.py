"""The commands for a durable queue."""
