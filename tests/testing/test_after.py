"""Jobs that wait for others, and batches, in a test: no worker looks each second there."""

from __future__ import annotations

import pytest

from steadypool import Result
from steadypool.testing import Jobs
from tests.testing import shop


@pytest.mark.every_engine
def test_what_waits_runs_and_what_cannot_is_cancelled(jobs: Jobs) -> None:
    chain = shop.queue.chain(shop.double.call(2), shop.double.call(Result))
    broken = shop.queue.chain(shop.broken.call(), shop.double.call(1), shop.double.call(2))
    with shop.queue.batch("two", then=shop.double.call(10), finally_=shop.double.call(20)) as batch:
        shop.broken.enqueue()
        shop.double.enqueue(3)
    ran = jobs.run(raises=False)
    assert (ran.completed, ran.discarded) == (4, 2)
    assert chain.result(0) == 8
    assert [handle.state.value for handle in broken] == ["discarded", "cancelled", "cancelled"]
    assert batch.progress().failed == 1
    assert shop.queue.get(f"batch:{batch.number}:finally").result(0) == 40
