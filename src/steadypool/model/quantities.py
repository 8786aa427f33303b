"""Counts, lengths of time and moments, as people read them."""

from __future__ import annotations

from datetime import datetime


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
