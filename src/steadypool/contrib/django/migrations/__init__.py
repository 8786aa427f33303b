"""Floor 7, the tables of the queue among a project's migrations."""
