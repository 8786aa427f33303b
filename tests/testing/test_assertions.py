"""What was enqueued: found by what it is called with, and what is said when it is not there."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from steadypool import JobState, PayloadRefused, ProcessPool
from steadypool.testing import Jobs, between
from tests.testing import shop

pytestmark = pytest.mark.usefixtures("jobs")


def test_a_job_is_meant_by_some_of_its_arguments_given_either_way(jobs: Jobs) -> None:
    shop.welcome.enqueue(7, lang="de")
    jobs.assert_enqueued(shop.welcome)
    jobs.assert_enqueued(shop.welcome, 7)
    jobs.assert_enqueued(shop.welcome, user_id=7, queue="mail", times=1)
    [found] = jobs.assert_enqueued(shop.welcome, lang="de")
    assert found.arguments == {"user_id": 7, "lang": "de"} and found.delay == 0 and found.state == "available"
    jobs.refute_enqueued(shop.welcome, 8)
    jobs.refute_enqueued(shop.welcome, queue="default")
    jobs.refute_enqueued(shop.charge)


def test_exactly_means_all_arguments_and_defaults_count(jobs: Jobs) -> None:
    shop.welcome.enqueue(7)
    jobs.assert_enqueued(shop.welcome, 7, exactly=True)
    jobs.assert_enqueued(shop.welcome, 7, "en", exactly=True)
    jobs.refute_enqueued(shop.welcome, 7, "de", exactly=True)


def test_a_scheduled_one_counts_and_is_told_apart_by_its_time(jobs: Jobs) -> None:
    at = datetime.now(UTC) + timedelta(hours=2)
    shop.welcome.options(delay=60).enqueue(1)
    shop.welcome.options(at=at).enqueue(2)
    shop.welcome.options(priority=5).enqueue(3)
    jobs.assert_enqueued(shop.welcome, delay=60, times=1)
    jobs.assert_enqueued(shop.welcome, 1, delay=timedelta(minutes=1))
    jobs.assert_enqueued(shop.welcome, 1, delay=between(50, 70))
    jobs.assert_enqueued(shop.welcome, 2, at=at, times=1)
    jobs.assert_enqueued(shop.welcome, 3, delay=0, priority=5)
    jobs.refute_enqueued(shop.welcome, 3, delay=60)
    assert [job.arguments["user_id"] for job in jobs.scheduled()] == [1, 2]
    assert len(jobs.enqueued(shop.welcome, queue="mail")) == len(jobs.all()) == 3


def test_one_that_has_ended_or_failed_does_not_count(jobs: Jobs) -> None:
    shop.welcome.enqueue(7)
    shop.charge.enqueue(7)
    jobs.run(raises=False)
    jobs.refute_enqueued(shop.welcome)
    jobs.refute_enqueued(shop.charge)
    assert [job.state for job in jobs.all()] == [JobState.COMPLETED, JobState.RETRYABLE]
    with pytest.raises(AssertionError, match=r"no job of this task is enqueued\nof this task there are, and do not co"):
        jobs.assert_enqueued(shop.welcome)


def test_the_failure_shows_what_comes_nearest(jobs: Jobs) -> None:
    shop.welcome.enqueue(6, "fr")
    shop.welcome.options(delay=60).enqueue(7)
    shop.charge.enqueue(1)
    with pytest.raises(AssertionError) as failed:
        jobs.assert_enqueued(shop.welcome, 7, "en", queue="mail", delay=between(0, 30))
    lines = str(failed.value).splitlines()
    assert lines[0] == (
        "there is no tests.testing.shop.welcome(user_id=7, lang='en'), queue 'mail', delay between(0, 30)"
    )
    assert lines[1] == "nearest, of 2 of this task:"
    assert "welcome(user_id=7, lang='en') queue='mail' delay=60.000: delay is 60.000, not between(0, 30)" in lines[2]
    assert "welcome(user_id=6, lang='fr') queue='mail': user_id is 6, not 7; lang is 'fr', not 'en'" in lines[3]
    assert lines[4] == "of other tasks: tests.testing.shop.charge (1)"


def test_the_number_counts(jobs: Jobs) -> None:
    shop.welcome.enqueue(1)
    shop.welcome.enqueue(2)
    jobs.assert_enqueued(shop.welcome, times=2)
    jobs.assert_enqueued(shop.welcome, 3, times=0)
    with pytest.raises(AssertionError, match="2 jobs are enqueued, and 1 expected"):
        jobs.assert_enqueued(shop.welcome, times=1)
    with pytest.raises(AssertionError, match=r"there should be no .*, and there is:\n  job-1-.*user_id=1"):
        jobs.refute_enqueued(shop.welcome, 1)


def test_a_mistake_in_the_assertion_is_said(jobs: Jobs) -> None:
    with pytest.raises(
        TypeError, match=r"welcome\(user_id.*takes no such arguments: got an unexpected keyword .*'user'"
    ):
        jobs.assert_enqueued(shop.welcome, user=7)
    with pytest.raises(TypeError, match="needs a task"):
        jobs.refute_enqueued(len)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no time zone"):
        jobs.assert_enqueued(shop.welcome, at=datetime(2026, 1, 1))
    with pytest.raises(TypeError, match="options may have"):
        jobs.assert_enqueued(shop.welcome, options={"times": 1})


def test_a_task_s_own_argument_goes_before_an_option_of_that_name(jobs: Jobs) -> None:
    shop.route.options(queue="roads").enqueue(queue="left", delay=3)
    jobs.assert_enqueued(shop.route, queue="left", delay=3)
    jobs.assert_enqueued(shop.route, queue="left", options={"queue": "roads", "delay": 0})
    jobs.refute_enqueued(shop.route, queue="roads")


def test_what_cannot_be_stored_fails_as_in_production() -> None:
    with pytest.raises(PayloadRefused, match="'user_id' cannot be stored"):
        shop.welcome.enqueue(object())  # type: ignore[arg-type]


def test_a_job_of_a_thread_of_asyncio_and_of_another_process_is_seen(jobs: Jobs) -> None:
    thread = threading.Thread(target=shop.welcome.enqueue, args=(1,))
    thread.start()
    jobs.assert_enqueued(shop.welcome, 1, within=20)
    thread.join()
    asyncio.run(shop.welcome.enqueue_async(2))
    jobs.assert_enqueued(shop.welcome, 2)
    program = """
from tests.testing import program, shop
program.greet.enqueue("you")  # its queue takes the address of the environment
shop.welcome.enqueue(3)  # and this one has another
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ)
    jobs.assert_enqueued(shop.welcome, 3)
    assert [job.task for job in jobs.enqueued(queue="default")] == ["tests.testing.program.greet"]


def test_what_the_processes_of_a_real_worker_enqueue_goes_there_too(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = os.environ["STEADYPOOL_TEST_URL"]
    monkeypatch.delenv("STEADYPOOL_TEST_URL")
    with ProcessPool(1) as pool:  # the server of later processes is there, and knows of no test
        pool.submit(os.getpid).result()
    monkeypatch.setenv("STEADYPOOL_TEST_URL", told)
    shop.sign_up.enqueue(7)
    assert shop.queue.work(until_empty=True, kind="process", workers=1).completed == 1
    jobs.assert_enqueued(shop.welcome, 7, delay=60)
