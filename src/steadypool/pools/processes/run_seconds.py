"""How long calls of each function take, for the question how many of them travel together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steadypool.rules.prefetch import moving_average

MOST = 256
"""Functions that are remembered."""


class RunSeconds:
    """A moving average for each function. Any thread may read; the core's lock protects the writing."""

    def __init__(self) -> None:
        # By their ids, so that none is kept alive. One with the id of another is judged wrongly until it has run.
        self._means: dict[int, float] = {}

    def note(self, fn: Callable[..., Any] | None, seconds: float) -> None:
        """A call, or the mean of some, took so long."""
        key = id(fn)
        mean = self._means.get(key)
        if mean is None and len(self._means) >= MOST:
            self._means.clear()
        self._means[key] = moving_average(mean, seconds)

    def of(self, fn: Callable[..., Any]) -> float | None:
        """How long a call takes; ``None`` if that is not known yet."""
        return self._means.get(id(fn))
