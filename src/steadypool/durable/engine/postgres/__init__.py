"""The engine on PostgreSQL: `durable.engine.protocol` on a schema of functions."""
