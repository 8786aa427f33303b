"""Which ticks become jobs, with numbers alone."""

from __future__ import annotations

import pytest

from steadypool.rules.missed_ticks import MOST, NEVER, Decision, decide

YEAR = 366 * 86_400.0


def each(seconds: float) -> object:
    return lambda moment: (moment // seconds + 1) * seconds


@pytest.mark.parametrize("missed", ["latest", "all", "skip"])
def test_nothing_is_due_and_one_on_time_is_put_whatever_the_policy(missed: str) -> None:
    assert decide(60.0, 59.0, each(60), missed, 100.0) == ((), 0, "", 60.0)  # type: ignore[arg-type]
    assert decide(60.0, 60.5, each(60), missed, 100.0) == ((60.0,), 0, "", 120.0)  # type: ignore[arg-type]


def test_three_at_once() -> None:
    def of(missed: str, within: float = 1000.0) -> Decision:
        return decide(60.0, 181.0, each(60), missed, within)  # type: ignore[arg-type]

    assert of("latest")[:2] == ((180.0,), 2) and of("latest").next == 240.0
    assert of("all") == ((60.0, 120.0, 180.0), 0, "", 240.0)
    assert of("skip")[:2] == ((), 3)
    assert of("all", 70.0)[:2] == ((120.0, 180.0), 1) and "more than within=70" in of("all", 70.0).reason
    assert of("latest", 1.0)[:2] == ((180.0,), 2) and of("latest", 0.5)[:2] == ((), 3)


def test_one_that_is_late_is_skipped_or_put() -> None:
    assert decide(3600.0, 3612.0, each(3600), "skip", 100.0)[:2] == ((), 1)  # type: ignore[arg-type]
    assert decide(3600.0, 3605.0, each(3600), "skip", 100.0)[:2] == ((3600.0,), 0)  # type: ignore[arg-type]
    assert decide(3600.0, 3612.0, each(3600), "latest", 100.0)[:2] == ((3600.0,), 0)  # type: ignore[arg-type]


def test_a_year_of_seconds_is_not_walked_through() -> None:
    walked = 0

    def next_after(moment: float) -> float:
        nonlocal walked
        walked += 1
        return moment // 1 + 1

    latest = decide(1.0, YEAR + 0.5, next_after, "latest", 86_400.0)
    assert latest.run == (YEAR,) and latest.next == YEAR + 1 and latest.skipped == MOST - 1
    skip = decide(1.0, YEAR + 0.5, next_after, "skip", 86_400.0)
    assert skip.run == () and skip.next == YEAR + 1
    first = decide(1.0, YEAR + 0.5, next_after, "all", 30.0)
    assert first.run == () and first.next == YEAR - 29 and walked < 10 * MOST
    then = decide(first.next, YEAR + 0.5, next_after, "all", 30.0)
    assert len(then.run) == 30 and then.run[-1] == YEAR and then.next == YEAR + 1


def test_all_goes_on_where_it_was_cut() -> None:
    first = decide(1.0, 250.5, each(1), "all", YEAR)  # type: ignore[arg-type]
    assert first.run == tuple(float(tick) for tick in range(1, MOST + 1)) and first.next == MOST + 1


def test_the_last_of_a_rare_one_is_found_far_back_and_one_without_an_end_goes_on_for_long() -> None:
    ticks = [float(tick) for tick in range(1, 150)]

    def next_after(moment: float) -> float | None:
        return next((tick for tick in ticks if tick > moment), None)

    last = decide(1.0, 10 * YEAR, next_after, "latest", 20 * YEAR)
    assert last.run == (149.0,) and last.next == 10 * YEAR + NEVER
