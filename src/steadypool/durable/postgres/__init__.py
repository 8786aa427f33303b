"""The engine on PostgreSQL: `durable.engine` on a schema of functions."""
