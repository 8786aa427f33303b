"""Whether a failed attempt is followed by another, and when."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadypool import JobTimeout, Retry, SteadypoolError, WorkerCrashed
from steadypool.durable.worker.pool_adapter import with_long_waits
from steadypool.rules.retry import backoff, is_worth_retrying, next_delay


class OwnTimeout(JobTimeout):
    """A class of the user's below one that is retried only when named."""


@pytest.mark.parametrize(
    ("retry", "error", "expected"),
    [
        (Retry(2), ValueError(), True),
        (Retry(2), KeyboardInterrupt(), False),
        (Retry(2, on=BaseException), KeyboardInterrupt(), True),
        (Retry(2, on=OSError), ValueError(), False),
        (Retry(2, on=OSError), ConnectionResetError(), True),
        (Retry(2, on=(KeyError, OSError)), OSError(), True),
        (Retry(2, on=()), OSError(), False),
        (Retry(2, give_up_on=OSError), ValueError(), True),
        (Retry(2, give_up_on=OSError), FileNotFoundError(), False),
        (Retry(2, on=OSError, give_up_on=(FileNotFoundError, PermissionError)), PermissionError(), False),
        (Retry(2, on=OSError, give_up_on=FileNotFoundError), PermissionError(), True),
    ],
)
def test_what_is_worth_another_attempt(retry: Retry, error: BaseException, expected: bool) -> None:
    assert is_worth_retrying(retry, error) is expected


@pytest.mark.parametrize("on", [Exception, BaseException, SteadypoolError, TimeoutError, (OSError, Exception)])
@pytest.mark.parametrize("error", [JobTimeout(), WorkerCrashed(), OwnTimeout()])
def test_a_time_limit_and_a_crash_must_be_named(on: type[BaseException], error: Exception) -> None:
    assert not is_worth_retrying(Retry(2, on=on), error)


@pytest.mark.parametrize(
    ("on", "error", "expected"),
    [
        (JobTimeout, JobTimeout(), True),
        (JobTimeout, OwnTimeout(), True),
        (OwnTimeout, OwnTimeout(), True),
        (WorkerCrashed, WorkerCrashed(), True),
        (WorkerCrashed, JobTimeout(), False),
        (JobTimeout, WorkerCrashed(), False),
        ((OSError, WorkerCrashed), WorkerCrashed(), True),
        ((Exception, JobTimeout), JobTimeout(), True),
    ],
)
def test_when_it_is_named(on: type[BaseException], error: Exception, expected: bool) -> None:
    assert is_worth_retrying(Retry(2, on=on), error) is expected


def test_named_but_given_up_on() -> None:
    assert not is_worth_retrying(Retry(2, on=JobTimeout, give_up_on=JobTimeout), JobTimeout())


@pytest.mark.parametrize(("attempts", "expected"), [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (50, 1.0)])
def test_each_wait_is_longer_up_to_the_longest(attempts: int, expected: float) -> None:
    retry = Retry(99, backoff=0.1, factor=2.0, max_backoff=1.0, jitter=False)
    assert backoff(retry, attempts, 0.7) == pytest.approx(expected)


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_jitter_leaves_half_of_the_wait(chance: float, share: float) -> None:
    assert backoff(Retry(2, backoff=4.0), 1, chance) == pytest.approx(4.0 * share)


retries = st.builds(
    Retry,
    attempts=st.integers(1, 10**6),
    backoff=st.floats(0, 1e6),
    factor=st.floats(1, 1e6),
    max_backoff=st.floats(0, 1e6),
    jitter=st.booleans(),
)
chances = st.floats(0, 1, exclude_max=True)


@given(retries, st.integers(1, 10**6), chances)
def test_a_wait_is_never_negative_nor_longer_than_the_longest(retry: Retry, attempts: int, chance: float) -> None:
    wait = backoff(retry, attempts, chance)
    assert 0 <= wait <= retry.max_backoff and math.isfinite(wait)


@given(retries, st.integers(1, 10**4), chances)
def test_a_later_wait_is_no_shorter(retry: Retry, attempts: int, chance: float) -> None:
    assert backoff(retry, attempts, chance) <= backoff(retry, attempts + 1, chance)


def test_no_retry_is_none() -> None:
    assert next_delay(None, OSError(), 1, 0.0, None, 0.5) is None


@pytest.mark.parametrize(("attempts", "again"), [(1, True), (2, True), (3, False), (4, False)])
def test_attempts_count_the_first_run(attempts: int, again: bool) -> None:
    delay = next_delay(Retry(3), OSError(), attempts, 0.0, None, 0.5)
    assert (delay is not None) is again


def test_an_error_that_is_not_worth_it_gives_up() -> None:
    assert next_delay(Retry(3, on=OSError), ValueError(), 1, 0.0, None, 0.5) is None


@pytest.mark.parametrize(("deadline", "expected"), [(None, 2.0), (12.1, 2.0), (12.0, None), (11.0, None), (9.0, None)])
def test_a_wait_that_would_outlast_the_total_limit_gives_up(deadline: float | None, expected: float | None) -> None:
    retry = Retry(3, backoff=2.0, jitter=False)
    assert next_delay(retry, OSError(), 1, 10.0, deadline, 0.5) == expected


@given(retries, st.integers(1, 100), st.floats(0, 1e6), st.none() | st.floats(0, 2e6), chances)
def test_a_retry_always_has_time_left(
    retry: Retry, attempts: int, now: float, deadline: float | None, chance: float
) -> None:
    delay = next_delay(retry, OSError(), attempts, now, deadline, chance)
    if delay is not None:
        assert attempts < retry.attempts
        assert deadline is None or now + delay < deadline


def test_what_a_retry_does_not_say_follows_from_where_it_is_used() -> None:
    plain = Retry(5, jitter=False)
    assert [backoff(plain, attempts, 0.0) for attempts in (1, 2, 9, 10)] == [0.1, 0.2, 25.6, 30.0]
    long = with_long_waits(plain)
    assert long is not None and (long.attempts, long.jitter) == (5, False)
    assert [backoff(long, attempts, 0.0) for attempts in (1, 2, 9, 10)] == [10.0, 20.0, 2560.0, 3600.0]
    assert with_long_waits(None) is None


def test_waits_that_are_given_are_kept_everywhere() -> None:
    for whole in (Retry(5, backoff=0.1, max_backoff=30.0), Retry(5, backoff=0, max_backoff=0)):
        assert with_long_waits(whole) == whole
    for retry in (Retry(5, backoff=60.0, jitter=False), with_long_waits(Retry(5, backoff=60.0, jitter=False))):
        assert retry is not None and backoff(retry, 1, 0.0) == 60.0
    day = Retry(5, backoff=86_400.0, jitter=False)
    assert backoff(day, 2, 0.0) == backoff(with_long_waits(day) or day, 2, 0.0) == 86_400.0
    assert backoff(with_long_waits(Retry(5, max_backoff=1.0, jitter=False)) or day, 1, 0.0) == 1.0


def test_the_spans_that_its_text_names() -> None:
    def span(retry: Retry) -> float:
        return sum(backoff(retry, attempts, 1.0) for attempts in range(1, retry.attempts))

    five, ten = Retry(5), Retry(10)
    assert round(span(five), 1) == 1.5 and round(span(ten)) == 51
    assert span(with_long_waits(five) or five) == 150 and round(span(with_long_waits(ten) or ten) / 60) == 85
    assert "1.5 s" in (Retry.__doc__ or "") and "85 minutes" in (Retry.__doc__ or "")
