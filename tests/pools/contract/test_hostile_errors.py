"""A job has its outcome, whatever its exception's class does to who looks at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from steadypool import Outcome, Retry, task
from tests.pools.contract import hostile, jobs
from tests.pools.contract.stage import WAIT

RAISE = (hostile.raise_it, hostile.raise_from_it, hostile.raise_after_it, hostile.raise_in_a_group)


@pytest.mark.parametrize("name", hostile.REPLACED)
def test_a_class_that_has_replaced(pool: Any, name: str) -> None:
    futures = [pool.submit(function, name) for function in RAISE]
    futures.append(pool.submit(task(retry=Retry(2, backoff=0.01))(hostile.raise_it), name))
    for future in futures:
        assert future.exception(WAIT) is not None
        assert future.outcome is Outcome.FAILED
    assert futures[-1].attempts == 2
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    assert pool.stats().failed == len(futures)


def test_what_stands_in_for_it_names_it(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    error = pool.submit(hostile.raise_it, "__class__").exception(WAIT)
    assert (error.type_name, error.text) == ("tests.pools.contract.hostile.Hostile", "text")
    assert "in raise_it" in error.traceback
    outer = pool.submit(hostile.raise_from_it, "__cause__").exception(WAIT)
    assert type(outer) is LookupError
