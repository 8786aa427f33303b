"""What a durable queue is stored on: the protocol, its records, and the engines."""
