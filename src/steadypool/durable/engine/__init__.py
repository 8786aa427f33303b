"""Floor 5, at the bottom of `durable`: what a queue is stored on. The protocol, its records, and the engines."""
