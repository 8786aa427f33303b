"""Floor 2, the rules: pure decisions. ``now`` and chance are arguments; no rule waits, reads a clock or logs."""
