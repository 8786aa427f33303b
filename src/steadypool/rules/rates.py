"""How often something happens: a rate that follows the last minute or so, kept in one number."""

from __future__ import annotations

import math

WINDOW = 60.0
"""Seconds over which a rate is averaged: an event counts for less the longer ago it was."""


def faded(rate: float, seconds: float) -> float:
    """The rate, in events per second, after *seconds* without one."""
    return rate * math.exp(-max(0.0, seconds) / WINDOW)


def after_event(rate: float, seconds: float) -> float:
    """The rate after one more event, *seconds* after the one before. *n* at once are *n* in `WINDOW`."""
    return faded(rate, seconds) + 1.0 / WINDOW
