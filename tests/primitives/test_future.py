"""The future: settled once, and nobody who waits for it in any way is ever forgotten."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from typing import Any

import pytest

from steadypool import JobCancelled, JobFuture, JobTimeout, Outcome
from tests.patience import WAIT
from tests.primitives.loose import Nobody, loose_job
from tests.races.arena import duel, switching_every

ROUNDS = 1000
Job = JobFuture[Any]


def succeed(job: Job) -> None:
    """End the job as a pool does."""
    job._settle(Outcome.SUCCEEDED, "result", None)
    job._run_callbacks()


def fail(job: Job) -> None:
    """End the job with an error."""
    job._settle(Outcome.FAILED, None, ValueError("x"))
    job._run_callbacks()


def give_back(job: Job) -> None:
    """End the job before it started."""
    job._settle(Outcome.RETURNED, None, JobCancelled("back", cause="shutdown"), started=False)
    job._run_callbacks()


# -- what it shows


def test_a_job_that_waits() -> None:
    job = loose_job(6)
    assert not job.done() and not job.running() and not job.cancelled()
    assert job.outcome is None and job.attempts == 0 and job.job_id == "nobody-7"
    assert repr(job) == "<JobFuture nobody-7 print pending>"


def test_an_id_and_a_name_of_the_users() -> None:
    job = loose_job(id="order-42", name="post")
    assert job.job_id == "order-42" and repr(job) == "<JobFuture order-42 post pending>"


def test_a_job_that_succeeded() -> None:
    job = loose_job()
    succeed(job)
    assert job.done() and not job.cancelled()
    assert (job.result(), job.exception(), job.outcome) == ("result", None, Outcome.SUCCEEDED)
    assert repr(job) == "<JobFuture nobody-1 succeeded>"


def test_a_job_that_failed() -> None:
    job = loose_job()
    fail(job)
    with pytest.raises(ValueError, match="x"):
        job.result()
    assert isinstance(job.exception(), ValueError) and not job.cancelled()


def test_a_job_that_was_given_back_is_cancelled_as_the_standard_library_has_it() -> None:
    job = loose_job()
    give_back(job)
    assert job.cancelled() and job.done() and job.cancel()
    for look in (job.result, job.exception):
        with pytest.raises(JobCancelled) as caught:
            look()
        assert caught.value.cause == "shutdown"


def test_a_wait_that_is_too_long_leaves_the_job_alone() -> None:
    owner = Nobody()
    job = loose_job(owner=owner)
    with pytest.raises(TimeoutError, match="it goes on") as caught:
        job.result(timeout=0)
    assert not isinstance(caught.value, JobTimeout)
    with pytest.raises(TimeoutError):
        job.exception(timeout=-1)
    assert not job._sleepers
    assert owner.asked == [("begin_wait", job), ("end_wait", "waiting")] * 2
    succeed(job)
    assert job.result(timeout=0) == "result"


def test_a_finished_job_is_no_wait() -> None:
    owner = Nobody()
    job = loose_job(owner=owner)
    succeed(job)
    assert job.result() == "result" and job.exception() is None and owner.asked == []


def test_cancel_is_the_owners_business_until_the_job_has_ended() -> None:
    owner = Nobody()
    job = loose_job(owner=owner)
    assert not job.cancel() and not job.cancel(running=True)
    succeed(job)
    assert not job.cancel(running=True)
    assert owner.asked == [("cancel", job, False), ("cancel", job, True)]


@pytest.mark.parametrize(
    "attempt",
    [
        lambda job: job.set_result(1),
        lambda job: job.set_exception(ValueError()),
        lambda job: job.set_running_or_notify_cancel(),
    ],
)
def test_nobody_but_the_pool_settles_a_job(attempt: Callable[[Job], object]) -> None:
    job = loose_job()
    with pytest.raises(InvalidStateError, match="its pool alone"):
        attempt(job)
    assert not job.done()


def test_a_settled_job_keeps_nothing_of_what_it_was_made_of() -> None:
    class Argument:
        """Something big."""

    job, argument = loose_job(), Argument()
    job._args, job._kwargs, job._fn = (argument,), {"a": argument}, argument.__init__
    freed = weakref.ref(argument)
    del argument
    succeed(job)
    gc.collect()
    assert freed() is None


# -- callbacks


def test_callbacks_run_in_order_with_the_future() -> None:
    job, ran = loose_job(), []
    for number in range(3):
        job.add_done_callback(lambda future, number=number: ran.append((number, future)))
    assert ran == []
    succeed(job)
    assert ran == [(0, job), (1, job), (2, job)]
    job.add_done_callback(lambda future: ran.append("late"))
    assert ran[3:] == ["late"]


def test_a_callback_that_raises_is_logged_and_the_others_run(caplog: pytest.LogCaptureFixture) -> None:
    job, ran = loose_job(), []

    def broken(_: object) -> None:
        raise SystemExit("from a callback")

    job.add_done_callback(broken)
    job.add_done_callback(ran.append)
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        succeed(job)
    assert ran == [job]
    assert [record.name for record in caplog.records] == ["concurrent.futures"]


def test_a_callback_may_add_another() -> None:
    job, ran = loose_job(), []
    job.add_done_callback(lambda _: job.add_done_callback(lambda _: ran.append("inner")))
    succeed(job)
    assert ran == ["inner"]


# -- failures that nobody looked at


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    gc.collect()
    return [record.getMessage() for record in caplog.records if record.name == "steadypool"]


def test_a_failure_that_nobody_looked_at_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    job = loose_job()
    fail(job)
    del job
    assert reports(caplog) == ["job nobody-1 (print) failed and its error was never retrieved"]


def takes_the_result(job: Job) -> None:
    with pytest.raises(ValueError):
        job.result()


@pytest.mark.parametrize("look", [lambda job: job.exception(), takes_the_result])
def test_a_failure_that_was_looked_at_is_not(look: Callable[[Job], object], caplog: pytest.LogCaptureFixture) -> None:
    job = loose_job()
    fail(job)
    look(job)
    del job
    assert reports(caplog) == []


@pytest.mark.parametrize("end", [succeed, give_back])
def test_what_is_no_failure_is_not(end: Callable[[Job], None], caplog: pytest.LogCaptureFixture) -> None:
    job = loose_job()
    end(job)
    del job
    assert reports(caplog) == []


# -- races: whoever waits, in whatever way, while somebody settles


def waits_for_the_result(job: Job) -> object:
    return job.result(WAIT)


def waits_for_the_exception(job: Job) -> object:
    return job.exception(WAIT)


def waits_as_the_standard_library(job: Job) -> object:
    return concurrent.futures.wait([job], WAIT).done == {job}


def iterates_as_the_standard_library(job: Job) -> object:
    return list(concurrent.futures.as_completed([job], WAIT)) == [job]


def leaves_a_callback(job: Job) -> object:
    ran: list[Job] = []
    called = threading.Event()
    job.add_done_callback(lambda future: (ran.append(future), called.set()))
    assert called.wait(WAIT)
    return ran == [job]


def asks_again_and_again(job: Job) -> object:
    while not job.done():
        pass
    return job.result(0)


def gives_up_at_once(job: Job) -> object:
    try:
        return job.result(0) == "result"
    except TimeoutError:
        return True


WAITERS = [
    waits_for_the_result,
    waits_for_the_exception,
    waits_as_the_standard_library,
    iterates_as_the_standard_library,
    leaves_a_callback,
    asks_again_and_again,
    gives_up_at_once,
]


@pytest.mark.parametrize("interval", [None, 1e-6], ids=["as-usual", "restless"])
@pytest.mark.parametrize("waiter", WAITERS, ids=lambda waiter: waiter.__name__)
def test_whoever_waits_is_told(waiter: Callable[[Job], object], interval: float | None) -> None:
    def check(job: Job, answers: list[Any]) -> None:
        assert answers[1] == {waits_for_the_result: "result", asks_again_and_again: "result"}.get(
            waiter, None if waiter is waits_for_the_exception else True
        )
        assert not job._sleepers and not job._callbacks

    with switching_every(interval):
        duel(ROUNDS // 2, loose_job, (succeed, waiter), check)


def test_all_of_them_at_a_time() -> None:
    def check(job: Job, answers: list[Any]) -> None:
        assert answers == [None, "result", None, True, True, True, "result", True]

    with switching_every(1e-6):
        duel(ROUNDS // 4, loose_job, (succeed, *WAITERS), check)


@pytest.mark.parametrize("interval", [None, 1e-6], ids=["as-usual", "restless"])
def test_a_callback_runs_exactly_once(interval: float | None) -> None:
    def prepare(number: int) -> tuple[Job, list[str]]:
        return loose_job(number), []

    def add(state: tuple[Job, list[str]]) -> None:
        for name in "abc":
            state[0].add_done_callback(lambda _, name=name: state[1].append(name))

    def check(state: tuple[Job, list[str]], _: list[Any]) -> None:
        assert sorted(state[1]) == ["a", "b", "c"]

    with switching_every(interval):
        duel(ROUNDS, prepare, (lambda state: succeed(state[0]), add), check)


# -- asyncio


def test_it_can_be_awaited() -> None:
    async def main() -> object:
        job = loose_job()
        threading.Thread(target=succeed, args=(job,)).start()
        return await job

    assert asyncio.run(main()) == "result"


def test_awaiting_a_job_that_was_given_back_raises_its_own_error() -> None:
    async def main() -> None:
        job = loose_job()
        give_back(job)
        await job

    with pytest.raises(JobCancelled):
        asyncio.run(main())


def test_giving_up_an_await_leaves_the_job_alone() -> None:
    async def main() -> Job:
        job = loose_job()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_awaited(job), 0.001)
        assert not job._sleepers and not job.done()
        return job

    job = asyncio.run(main())
    succeed(job)
    assert job.result() == "result"


async def _awaited(job: Job) -> object:
    return await job


def test_a_loop_that_was_closed_meanwhile_is_no_error() -> None:
    job = loose_job()
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        waiting = asyncio.ensure_future(_awaited(job))
        await asyncio.sleep(0)
        waiting.cancel()

    loop.run_until_complete(begin())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    succeed(job)
    assert job.result() == "result"


def test_many_coroutines_await_one_job_while_it_ends() -> None:
    async def main() -> None:
        for number in range(200):
            job = loose_job(number)
            thread = threading.Thread(target=succeed, args=(job,))
            waiting = [asyncio.ensure_future(_awaited(job)) for _ in range(3)]
            waiting.append(asyncio.ensure_future(asyncio.wait_for(asyncio.wrap_future(job), WAIT)))
            await asyncio.sleep(0)
            thread.start()
            assert await asyncio.wait_for(asyncio.gather(*waiting), WAIT) == ["result"] * 4
            thread.join(WAIT)

    asyncio.run(main())
