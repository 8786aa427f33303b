"""Rates: numbers alone."""

from __future__ import annotations

import pytest

from steadypool.rules.rates import WINDOW, after_event, faded


def test_many_at_once_are_so_many_in_a_minute() -> None:
    rate = 0.0
    for _ in range(120):
        rate = after_event(rate, 0.0)
    assert rate == pytest.approx(120 / WINDOW)


def test_a_steady_stream_is_its_own_rate() -> None:
    rate = 0.0
    for _ in range(10_000):
        rate = after_event(rate, 0.1)
    assert rate == pytest.approx(10.0, rel=0.01)


def test_what_stops_fades() -> None:
    assert faded(10.0, 0.0) == 10.0
    assert faded(10.0, 5 * WINDOW) < 0.1
    assert faded(10.0, 1e9) == 0.0
    assert faded(10.0, -1.0) == 10.0  # a clock read on another thread, a moment earlier
