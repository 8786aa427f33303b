"""Cannot be imported."""

BROKEN = 1 / 0
