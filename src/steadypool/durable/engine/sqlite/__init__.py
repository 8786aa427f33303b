"""Floor 5, an engine: `durable.engine.protocol` on one SQLite file, for any number of processes of one machine."""
