"""How many jobs a worker process holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadypool.rules.prefetch import (
    BY_THEMSELVES_SECONDS,
    CHUNK_BYTES,
    MOST,
    ONE_BEHIND,
    PACKETS_AHEAD,
    SHORT,
    TOGETHER_MOST,
    TOGETHER_SECONDS,
    WORTH,
    by_themselves,
    depth,
    moving_average,
    refill,
    together,
)

lengths = st.floats(0, 1e5)


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        (None, 1),
        (0.0, MOST),
        (-1.0, MOST),
        (1e-9, MOST),
        (1e-4, 11),
        (4e-4, 3),
        (9e-4, 2),
        (2e-3, 2),
        (4e-3, 1),
        (60.0, 1),
    ],
)
def test_how_deep(mean: float | None, expected: int) -> None:
    assert depth(mean) == expected


@given(lengths)
def test_what_waits_behind_the_running_job_is_never_worth_more_than_a_moment(mean: float) -> None:
    held = depth(mean)
    assert 1 <= held <= MOST
    assert (held - 1) * mean <= (WORTH if held > 2 else ONE_BEHIND) * 1.0001


@given(lengths, lengths)
def test_longer_jobs_never_make_it_deeper(one: float, other: float) -> None:
    short, long = sorted((one, other))
    assert depth(long) <= depth(short)


@pytest.mark.parametrize(
    ("mean", "window", "workers", "expected"),
    [
        (None, 1000, 2, 1),
        (0.0, 1000, 2, 166),
        (1e-4, 1000, 2, 20),
        (SHORT, 1000, 2, 2),
        (SHORT * 1.01, 1000, 2, 1),
        (0.0, 5, 2, 1),
        (0.0, 10**6, 2, 1000),
    ],
)
def test_how_many_travel_together_by_themselves(mean: float | None, window: int, workers: int, expected: int) -> None:
    assert by_themselves(mean, window, workers) == expected


@given(lengths, st.integers(1, 10**6), st.integers(1, 500))
def test_they_are_short_and_leave_every_worker_some(mean: float, window: int, workers: int) -> None:
    together = by_themselves(mean, window, workers)
    assert together == 1 or (together * mean <= BY_THEMSELVES_SECONDS and together * workers * PACKETS_AHEAD <= window)


@pytest.mark.parametrize(
    ("wanted", "mean_seconds", "mean_bytes", "expected"),
    [
        (4, None, None, 4),
        (4, TOGETHER_SECONDS / 3.5, None, 2),
        (100, TOGETHER_SECONDS / 99, None, 50),
        (4, 2 * TOGETHER_SECONDS, None, 1),
        (4, None, CHUNK_BYTES / 2, 2),
        (2 * TOGETHER_MOST + 1, 0.0, 1.0, 667),
        (1, 60.0, 1e9, 1),
    ],
)
def test_how_many_travel_together(
    wanted: int, mean_seconds: float | None, mean_bytes: float | None, expected: int
) -> None:
    assert together(wanted, mean_seconds, mean_bytes) == expected


@given(st.integers(1, 10**6), lengths, st.floats(0, 1e9))
def test_packets_are_small_and_equally_full(wanted: int, mean_seconds: float, mean_bytes: float) -> None:
    first = together(wanted, mean_seconds, mean_bytes)
    assert 1 <= first <= min(wanted, TOGETHER_MOST)
    assert first == 1 or (
        first * mean_seconds <= TOGETHER_SECONDS * 1.0001 and first * mean_bytes <= CHUNK_BYTES * 1.0001
    )
    while (wanted := wanted - first) > 0 and first > 1:
        following = together(wanted, mean_seconds, mean_bytes)
        assert first - 1 <= following <= first
        first = following
        if wanted > 50 * first:
            break


def test_the_first_run_is_the_average() -> None:
    assert moving_average(None, 0.25) == 0.25


def test_a_long_run_counts_at_once() -> None:
    assert moving_average(1e-5, 2.0) == 2.0


def test_a_short_one_counts_a_little() -> None:
    assert moving_average(1.0, 0.0) == pytest.approx(0.9)


@given(lengths, lengths)
def test_the_average_lies_between(mean: float, seconds: float) -> None:
    low, high = sorted((mean, seconds))
    assert low <= moving_average(mean, seconds) * (1 + 1e-9) and moving_average(mean, seconds) <= high * (1 + 1e-9)


@given(st.lists(lengths, max_size=20), st.floats(1e-6, 1.0))
def test_a_worker_whose_jobs_have_become_short_is_trusted_again(past: list[float], short: float) -> None:
    mean = None
    for seconds in past:
        mean = moving_average(mean, seconds)
    for _ in range(400):
        mean = moving_average(mean, short)
    assert mean == pytest.approx(short, rel=0.01)


@given(lengths)
def test_a_worker_is_given_more_before_it_has_nothing(mean: float) -> None:
    held = depth(mean)
    assert 0 <= refill(held) < held
    assert held == 1 or refill(held) > 0
