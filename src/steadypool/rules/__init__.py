"""Floor 1, the rules: pure decisions. ``now`` and chance are arguments; nothing here waits, reads a clock or logs."""
