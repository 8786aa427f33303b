"""Floor 4, part of `pools.processes`: what travels between a pool and its worker processes."""
