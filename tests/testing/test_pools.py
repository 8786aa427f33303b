"""Pools that a test leaves behind."""

from __future__ import annotations

import asyncio
import threading

import pytest

from steadypool import AsyncPool, ProcessPool, ThreadPool
from steadypool.testing import watch_pools
from tests.patience import eventually


def test_pools_that_were_drained_are_in_order() -> None:
    before = ThreadPool(1)
    with watch_pools():
        with ThreadPool(1) as pool:
            pool.submit(len, "x")
        asyncio.run(in_order())
        before.submit(len, "x").result()
    before.shutdown()


async def in_order() -> None:
    async with AsyncPool(1) as pool:
        await pool.run(asyncio.sleep, 0)


@pytest.mark.parametrize("kind", [ThreadPool, ProcessPool])
def test_one_that_was_left_open_is_drained_and_named(kind: type[ThreadPool]) -> None:
    with pytest.raises(
        AssertionError, match=r"pools were left.*\nwas left open: pool 'mails' closed after .*\n  1 accep"
    ):
        with watch_pools():
            pool = kind(1, name="mails")
            pool.submit(len, "x").result()
    assert pool.state == "closed"


def test_one_that_no_one_refers_to_any_more_was_left_open_too() -> None:
    with pytest.raises(AssertionError, match="was left open: pool 'mails'"), watch_pools():
        ThreadPool(1, name="mails").submit(len, "x").result()


def test_one_with_a_job_that_runs_has_it_interrupted() -> None:
    release = threading.Event()
    with pytest.raises(AssertionError, match=r"was left open(.|\n)*\n  stuck: .* threading\.Event\.wait"):
        with watch_pools(drain_timeout=0.05):
            pool = ThreadPool(1, cancel_grace=0.05)
            pool.submit(release.wait)
            eventually(lambda: pool.stats().running == 1)
    release.set()


def test_one_that_is_closing_by_itself_is_waited_for() -> None:
    with watch_pools(drain_timeout=20):
        pool = ThreadPool(1)
        pool.submit(len, "x")
        pool.shutdown(wait=False)
    assert pool.state == "closed"


def test_a_job_that_runs_on_after_the_drain_is_found() -> None:
    release = threading.Event()
    with pytest.raises(AssertionError, match="has jobs that still run: pool 'stuck'"):
        with watch_pools():
            pool = ThreadPool(1, cancel_grace=0.05, name="stuck")
            pool.submit(release.wait)
            eventually(lambda: pool.stats().running == 1)
            pool.drain(0.05)
    release.set()


def test_one_of_asyncio_whose_loop_still_runs_is_found() -> None:
    async def main() -> None:
        with pytest.raises(AssertionError, match="was left open: pool 'loop'"), watch_pools(drain_timeout=0.05):
            pool = AsyncPool(1, name="loop")
            await pool.run(asyncio.sleep, 0)

    asyncio.run(main())


def test_a_failure_has_the_reports_as_notes() -> None:
    with pytest.raises(ZeroDivisionError) as failed, watch_pools():
        with ThreadPool(1, name="orders") as pool:
            pool.submit(int, "x")
            opened = ThreadPool(1, name="mails")
            1 / 0  # noqa: B018
    notes = "\n".join(failed.value.__notes__)
    assert "was left open: pool 'mails'" in notes and opened.state == "closed"
    assert "pool 'orders' closed" in notes and "ValueError" in notes
