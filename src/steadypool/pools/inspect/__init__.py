"""Floor 4, above `pools.core`: what a pool answers about itself. Stats, health, errors, and where its jobs are."""
