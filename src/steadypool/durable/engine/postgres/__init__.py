"""Floor 5, an engine: `durable.engine.protocol` on functions in a PostgreSQL database, for many machines."""
