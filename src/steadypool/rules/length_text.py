"""A length of time, in words."""

from __future__ import annotations

UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def length_text(seconds: float) -> str:
    """``8 s``, ``3 min``, ``2 h``, ``5 d``: the biggest unit of which there are two."""
    seconds = max(0.0, seconds)
    size, unit = next((pair for pair in UNITS if seconds >= 2 * pair[0]), UNITS[-1])
    return f"{seconds // size:.0f} {unit}"
