"""Reading a pool: stats, health, errors, and where its jobs are."""
