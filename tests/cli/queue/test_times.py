"""Lengths of time and moments on the command line."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click
import pytest

from steadypool.cli.option_types import LENGTH, MOMENT


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("0", 0), ("90", 90), ("1.5", 1.5), (".5s", 0.5), ("250ms", 0.25), ("5m", 300), ("1h 30m", 5400), ("1w", 604_800)],
)
def test_a_length_is_seconds_or_has_units(typed: str, seconds: float) -> None:
    assert LENGTH.convert(typed, None, None) == seconds


@pytest.mark.parametrize("typed", ["", "soon", "5 minutes", "-5", "5x", "1h30", "1:30", "inf", "nan"])
def test_what_is_no_length_is_refused_with_what_is_one(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="is no length of time: give seconds, such as 90, or 90s, 5m"):
        LENGTH.convert(typed, None, None)


def test_a_moment_has_a_zone() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    for typed in ("2026-01-31T12:00Z", "2026-01-31 13:00:00+01:00", "20260131T120000Z"):
        assert MOMENT.convert(typed, None, None) == noon
    with pytest.raises(click.BadParameter, match=r"'noon' is no moment: give one such as 2"):
        MOMENT.convert("noon", None, None)


@pytest.mark.parametrize(
    ("zone", "meant"), [("Asia/Kathmandu", "2026-01-31T12:00:00+05:45 or 2026-01-31T12:00:00+00:00"), ("UTC", "")]
)
def test_a_moment_without_a_zone_is_refused_with_what_may_be_meant(
    monkeypatch: pytest.MonkeyPatch, zone: str, meant: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        with pytest.raises(click.BadParameter) as refused:
            MOMENT.convert("2026-01-31T12:00", None, None)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert str(refused.value).endswith(f"has no time zone: give {meant or '2026-01-31T12:00:00+00:00'}")
