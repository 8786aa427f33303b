"""`retry=` for one call."""

from __future__ import annotations

import pytest

from steadypool import JobDiscarded, JobTimeout, Queue, Retry
from steadypool.durable.client import own_retry
from tests.durable import app
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT

QUICK = {"backoff": 0.01, "jitter": False}


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_call_has_more_attempts_or_none(queue: Queue, kind: str) -> None:
    more = app.fail.options(retry=Retry(6, on=(KeyError, ValueError), **QUICK)).enqueue(4)
    none = app.fail.options(retry=None).enqueue(4)
    others = app.fail.options(retry=Retry(6, on=KeyError, **QUICK)).enqueue(4)
    own = app.fail.enqueue(4)
    with Working(queue, kind=kind):
        assert more.result(WAIT) == 5
        for handle, attempts in ((none, 1), (others, 1), (own, 3)):
            with pytest.raises(JobDiscarded, match="no retry is left"):
                handle.result(WAIT)
            assert handle.attempts == attempts


class Busy(OSError):
    pass


@pytest.mark.parametrize("retry", [Retry(3, on=(OSError, KeyError), give_up_on=Busy, backoff=2), Retry(5, factor=3.0)])
@pytest.mark.parametrize("error", [Busy(), ConnectionError(), KeyError(), ValueError(), JobTimeout()])
def test_what_travels_means_the_same(retry: Retry, error: Exception) -> None:
    from steadypool.rules.retry import is_worth_retrying

    again = own_retry.for_error(own_retry.to_plain(retry), error)
    assert again is not None
    assert is_worth_retrying(again, error) == is_worth_retrying(retry, error)
    assert (again.attempts, again.backoff, again.factor) == (retry.attempts, retry.backoff, retry.factor)


def test_it_names_classes_and_imports_none(queue: Queue) -> None:
    call = app.fail.options(retry=Retry(2, on=JobTimeout)).call(1)
    assert b'"on":["steadypool.JobTimeout"]' in (call.job.options or b"")
