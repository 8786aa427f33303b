"""A submit that code of the caller's ends in the middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage


class EndsPickling:
    def __reduce__(self) -> Any:
        raise SystemExit("asked to end")


def test_an_argument_that_ends_a_submit_takes_no_place(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)
    first, actor = stage.start(pool)
    for submit in (pool.submit, pool.try_submit, pool.submit):
        with pytest.raises(SystemExit):
            submit(jobs.same, EndsPickling())
    waiting = pool.try_submit(jobs.same, 1)
    actor.close()
    assert first.result(WAIT) and waiting.result(WAIT) == 1
