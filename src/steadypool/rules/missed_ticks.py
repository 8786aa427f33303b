"""Which ticks of a schedule become jobs, when some may have been missed.

A tick is a moment of the schedule. It is put a little later than that: a look finds it, or no worker was there for
hours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

NextAfter = Callable[[float], float | None]
MOST = 100
"""Ticks that are looked at in one go."""
PUNCTUAL = 10.0
"""Seconds by which a tick may be late and is not missed: a worker was there."""
NEVER = 50 * 366 * 86_400.0
"""Seconds until the next tick of a schedule that has none any more."""
_BACK = (60.0, 3_600.0, 86_400.0, 8 * 86_400.0, 32 * 86_400.0, 367 * 86_400.0, 9 * 367 * 86_400.0, NEVER)


class Decision(NamedTuple):
    """What is done about the ticks that are due."""

    run: tuple[float, ...]
    """Each becomes a job."""
    skipped: int
    """So many do not; `MOST` stands for more."""
    reason: str
    """Why not; empty if none is skipped."""
    next: float
    """The tick that comes next."""


def decide(first: float, now: float, next_after: NextAfter, missed: str, within: float) -> Decision:
    """What becomes of the ticks from *first*, which is the next one that was not looked at, up to *now*.

    Args:
        next_after: the tick that follows a moment.
        missed: what becomes of ticks that came while no worker was there: ``"latest"``, ``"all"`` or ``"skip"``.
        within: seconds after which a tick is of no use any more.
    """
    if first > now:
        return Decision((), 0, "", first)
    ticks, following = _up_to(first, now, next_after)
    if missed == "all":
        return _all(ticks, following, now, next_after, within)
    last = ticks[-1]
    if following <= now:
        last = _last_until(now, next_after, last)
        following = _following(last, now, next_after)
    if missed == "skip" and (len(ticks) > 1 or now - last > PUNCTUAL):
        return Decision((), len(ticks), f"missed by {_length(now - first)}, and missed='skip'", following)
    if now - last > within:
        return Decision((), len(ticks), _too_late(now - last, within), following)
    earlier = len(ticks) - 1
    reason = f"missed, and missed='latest': {earlier} before the latest" if earlier else ""
    return Decision((last,), earlier, reason, following)


def _all(ticks: list[float], following: float, now: float, next_after: NextAfter, within: float) -> Decision:
    run = tuple(tick for tick in ticks if now - tick <= within)
    late = len(ticks) - len(run)
    if not run and following <= now - within:
        following = _following(now - within, now, next_after)  # a year of minutes is not walked through
    return Decision(run, late, _too_late(now - ticks[0], within) if late else "", following)


def _up_to(first: float, now: float, next_after: NextAfter) -> tuple[list[float], float]:
    ticks, following = [first], _following(first, now, next_after)
    while following <= now and len(ticks) < MOST:
        ticks.append(following)
        following = _following(following, now, next_after)
    return ticks, following


def _last_until(now: float, next_after: NextAfter, known: float) -> float:
    """The last tick until now; *known* is an earlier one. From so far back that there is one, and not farther."""
    for back in _BACK:
        tick = _following(now - back, now, next_after)
        if tick <= now:
            break
    while tick <= now:
        known, tick = max(known, tick), _following(tick, now, next_after)
    return known


def _following(moment: float, now: float, next_after: NextAfter) -> float:
    found = next_after(moment)
    return now + NEVER if found is None else found


def _too_late(late: float, within: float) -> str:
    return f"late by {_length(late)}, more than within={within:g}"


def _length(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
