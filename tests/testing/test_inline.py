"""Jobs that run when they are enqueued."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from steadypool.testing import Jobs
from tests.testing import shop


def test_a_job_has_run_when_enqueue_returns(jobs: Jobs) -> None:
    with jobs.inline():
        handle = shop.welcome.enqueue(1)
        assert handle.result(0) == "welcome 1"
        with pytest.raises(shop.Refused):
            shop.charge.enqueue(1)
        shop.sign_up.enqueue(2)
        jobs.assert_enqueued(shop.welcome, 2, delay=60)
    shop.welcome.enqueue(3)
    jobs.assert_enqueued(shop.welcome, 3, delay=0)


def test_failures_can_be_left_to_their_retries(jobs: Jobs) -> None:
    with jobs.inline(raises=False):
        assert shop.charge.enqueue(1).attempts == 1


@pytest.mark.filterwarnings("ignore:SQLite .* can damage")
def test_one_of_a_transaction_runs_after_the_commit(jobs: Jobs) -> None:
    connection = sqlite3.connect(jobs.url.removeprefix("sqlite:///").partition("?")[0])
    with jobs.inline():
        shop.welcome.enqueue(1, connection=connection)
        assert shop.seen == []
        connection.commit()
        shop.welcome.enqueue(2)
        assert sorted(shop.seen) == [(1, "en"), (2, "en")]  # type: ignore[type-var]
        shop.welcome.enqueue(3, connection=connection)
        connection.commit()
    assert (3, "en") in shop.seen
    connection.close()


def test_from_asyncio_it_runs_beside_the_loop(jobs: Jobs) -> None:
    async def test() -> None:
        with jobs.inline():
            assert (await shop.welcome.enqueue_async(1)).outcome is not None
            with pytest.raises(shop.Refused):
                await shop.charge.enqueue_async(1)

    asyncio.run(test())


def test_threads_that_enqueue_at_the_same_time_leave_nothing(jobs: Jobs) -> None:
    for _ in range(20):
        threads = [threading.Thread(target=shop.welcome.enqueue, args=(number,)) for number in range(4)]
        with jobs.inline():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert len(shop.seen) == 80 and jobs.enqueued() == []
