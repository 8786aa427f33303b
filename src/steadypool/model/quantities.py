"""Counts, lengths of time, moments and progress, as people read them."""

from __future__ import annotations

from datetime import datetime

UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def counted(number: int, noun: str) -> str:
    """``1 error``, ``1,234 errors``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def clock_length(seconds: float) -> str:
    """A length as ``0:00:07`` or ``2d 3:04:05``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{f'{days}d ' if days else ''}{hours}:{minutes:02}:{rest:02}"


def clock_time(at: float) -> str:
    """The local time of day, *at* seconds after the epoch."""
    return f"{datetime.fromtimestamp(at):%H:%M:%S}"


def length_text(seconds: float) -> str:
    """``8 s``, ``3 min``, ``2 h``, ``5 d``: the biggest unit of which there are two."""
    seconds = max(0.0, seconds)
    size, unit = next((pair for pair in UNITS if seconds >= 2 * pair[0]), UNITS[-1])
    return f"{seconds // size:.0f} {unit}"


def progress_text(progress: tuple[float, float | None] | None) -> str:
    """``3 of 100 (3 %)``, ``3``, or nothing."""
    if progress is None:
        return ""
    done, total = progress
    if total is None:
        return f"{done:,.10g}"
    share = f" ({100 * done / total:.0f} %)" if total > 0 else ""
    return f"{done:,.10g} of {total:,.10g}{share}"
