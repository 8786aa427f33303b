"""Checks of numbers that users give: a mistake is named at once."""

from __future__ import annotations

import math
import operator
from typing import Any


def check_seconds(what: str, value: object, *, zero: bool = False, none: bool = True) -> float | None:
    """Return *value* if it is a length of time in seconds (or ``None``), or raise `TypeError`/`ValueError`.

    *zero* and *none* say whether these two are valid here.
    """
    if value is None and none:
        return None
    if not is_number(value):
        raise TypeError(f"{what} must be a number of seconds{' or None' if none else ''}, not {value!r}")
    seconds = float(value)  # type: ignore[arg-type]
    if math.isnan(seconds) or seconds < 0 or (seconds == 0 and not zero):
        least = "0 or more" if zero else "greater than 0"
        raise ValueError(f"{what} must be {least} seconds{', or None for no limit' if none else ''}; got {value!r}")
    return seconds


def as_seconds(value: Any) -> Any:
    """*value*, or how many seconds it is if it is a `datetime.timedelta`."""
    seconds = getattr(value, "total_seconds", None)
    return value if seconds is None else seconds()


def check_count(what: str, value: object, least: int = 1, most: int | None = None) -> int:
    """Return *value* if it is a whole number from *least* to *most*, or raise `TypeError`/`ValueError`."""
    if type(value) is not int:
        try:
            if isinstance(value, bool):
                raise TypeError
            value = operator.index(value)  # type: ignore[arg-type] # numpy's whole numbers, too
        except TypeError:
            raise TypeError(f"{what} must be a whole number, not {value!r}") from None
    if value < least:
        raise ValueError(f"{what} must be {least} or more; got {value!r}")
    if most is not None and value > most:
        raise ValueError(f"{what} must be {most:,} or less; got {value!r}")
    return value


def is_number(value: object) -> bool:
    """Whether it is a real number, of Python or of numpy, and neither True nor False."""
    if isinstance(value, bool | int | float):
        return not isinstance(value, bool)
    # Not above: who uses Python's own numbers does not pay for it.
    import numbers

    return isinstance(value, numbers.Real)
