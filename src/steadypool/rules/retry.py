"""Whether a failed attempt is followed by another, and when."""

from __future__ import annotations

from steadypool.model.errors import JobTimeout, WorkerCrashed
from steadypool.model.options import ExceptionTypes, Retry

NAMED_ONLY = (JobTimeout, WorkerCrashed)
"""Retried only when `Retry.on` names them (or a class of their own): an ``on=Exception`` does not mean "run it
again although it hung, or killed its process"."""

FIRST_WAIT, LONGEST_WAIT = 0.1, 30.0
"""Seconds, where a `Retry` does not say: the caller waits for the result of a pool's job."""


def is_worth_retrying(retry: Retry, error: BaseException) -> bool:
    """Whether *error* is of a kind that *retry* names."""
    if isinstance(error, _classes(retry.give_up_on)):
        return False
    for named_only in NAMED_ONLY:
        if isinstance(error, named_only):
            return any(issubclass(cls, named_only) for cls in _classes(retry.on))
    return isinstance(error, _classes(retry.on))


def waits_of(retry: Retry, first: float = FIRST_WAIT, longest: float = LONGEST_WAIT) -> tuple[float, float]:
    """The first wait and the longest: those that *retry* names, else these. A first wait that was named is kept."""
    first = first if retry.backoff is None else retry.backoff
    return first, max(longest, first) if retry.max_backoff is None else retry.max_backoff


def backoff(retry: Retry, attempts: int, chance: float) -> float:
    """Seconds to wait after *attempts* runs; *chance* is in [0, 1).

    Equal jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): half the wait is
    certain, so that a retry never follows at once by accident.
    """
    # Once 2**k outgrows max_backoff the exact power does not matter, and a float would overflow.
    exponent = min(attempts - 1, 1000)
    first, longest = waits_of(retry)
    try:
        wait = min(first * retry.factor**exponent, longest)
    except OverflowError:
        wait = longest
    return wait * (0.5 + chance / 2) if retry.jitter else wait


def next_delay(
    retry: Retry | None,
    error: BaseException,
    attempts: int,
    now: float,
    total_deadline: float | None,
    chance: float,
) -> float | None:
    """Seconds until the next attempt, or ``None`` to give up.

    A wait that would outlast *total_deadline* is of no use: give up now, with the last error.
    """
    if retry is None or not is_worth_retrying(retry, error):
        return None
    return delay_after(retry, attempts, now, total_deadline, chance)


def delay_after(
    retry: Retry | None, attempts: int, now: float, total_deadline: float | None, chance: float
) -> float | None:
    """As `next_delay`, after an error that is worth it."""
    if retry is None or attempts >= retry.attempts:
        return None
    delay = backoff(retry, attempts, chance)
    if total_deadline is not None and now + delay >= total_deadline:
        return None
    return delay


def is_quickly_decided(retry: Retry) -> bool:
    """Whether `is_worth_retrying` runs no code of the user's, which might take its time."""
    return all(type(cls) is type for cls in (*_classes(retry.on), *_classes(retry.give_up_on)))


def _classes(types: ExceptionTypes) -> tuple[type[BaseException], ...]:
    return types if isinstance(types, tuple) else (types,)
