"""The limits that modules declare for tasks of pools, by name: those of one name say the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from steadypool.model.limit import Limit

Place = tuple[str, str]
"""Module and qualified name of a function."""
_DECLARED: dict[str, dict[Place, Limit]] = {}


def note(fn: Callable[..., Any], limits: tuple[tuple[str, Limit], ...]) -> None:
    """A task is made of *fn*, with these limits. If a module's file makes it, that is noted.

    What a function, a notebook or the prompt makes is not: there the next one of that name may replace it. A module
    that runs again replaces what it has noted.

    Raises:
        ValueError: another function has a limit of that name that says something else.
    """
    if not _is_made_by_a_file():
        return
    place = str(getattr(fn, "__module__", "")), str(getattr(fn, "__qualname__", ""))
    for name, limit in limits:
        others = _DECLARED.setdefault(name, {})
        for other, its in others.items():
            if other != place and _numbers(its) != _numbers(limit):
                raise ValueError(
                    f"{'.'.join(place)} has {limit!r}, and {'.'.join(other)} has {its!r} of the same name: let them "
                    "share one, or give one of them another name"
                )
        others[place] = limit


def _is_made_by_a_file() -> bool:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("steadypool."):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == "<module>" and "__file__" in frame.f_globals


def _numbers(limit: Limit) -> tuple[object, ...]:
    return limit.running, limit.starts, limit.per, limit.burst, limit.over
