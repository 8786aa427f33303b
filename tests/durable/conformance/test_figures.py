"""What is counted for people who look: minutes, names of queues, failures, pages and counts of jobs."""

from __future__ import annotations

from itertools import chain

import pytest

from steadypool.durable.engine.figures import Ended
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import AttemptError, JobFilter, NewJob, Settlement, Verdict
from steadypool.durable.engine.states import JobState

HOUR = 3600.0


def put(engine: Engine, *jobs: NewJob) -> list[str]:
    return [placed.id for placed in engine.put_many(jobs)]


def job(task: str = "app.work", payload: bytes = b"{}", **more: object) -> NewJob:
    return NewJob(task, payload, **more)  # type: ignore[arg-type]


def failed(engine: Engine, verdict: Verdict, message: str = "no") -> None:
    """Claim the next job, and have it fail."""
    worker = engine.register("w", 30)
    [claim] = engine.claim(worker, ["default", "mail"], 1).claims
    error = AttemptError(1, "failed", "ValueError", message, f'  File "app.py", line 3, in work\nValueError: {message}')
    engine.settle_many([Settlement(claim, verdict, error=error, delay=60)])


def test_minutes_add_up(engine: Engine) -> None:
    engine.figures.add([Ended("default", "a", 2, 1, 0, 0.5), Ended("mail", "b", 1, 1, 1, 1.0)])
    engine.figures.add([Ended("default", "a", 3, 0, 0, 1.5), Ended("default", "b", 1, 0, 0, 0.0)])
    totals: dict[str, list[int]] = {}
    for row in engine.figures.by_minute(HOUR):  # one minute, or two if one has passed
        counts = totals.setdefault(row.queue, [0, 0, 0])
        totals[row.queue] = [sum(pair) for pair in zip(counts, row[2:], strict=True)]
        assert engine.now() - 120 < row.minute <= engine.now()
    assert totals == {"default": [6, 1, 0], "mail": [1, 1, 1]}
    by_task = engine.figures.by_task(HOUR)
    assert by_task == [
        Ended("default", "a", 5, 1, 0, 2.0),
        Ended("default", "b", 1, 0, 0, 0.0),
        Ended("mail", "b", 1, 1, 1, 1.0),
    ]


def test_the_names_of_queues(engine: Engine) -> None:
    assert engine.figures.queues() == []
    put(engine, job(), job(queue="later", delay=60), job(queue="low", priority=-5), job(queue="low", priority=5))
    engine.pause("paused", True)
    engine.pause("resumed", False)
    engine.figures.add([Ended("done", "a", 1)])
    assert engine.figures.queues() == ["default", "done", "later", "low", "paused"]
    failed(engine, Verdict.DISCARD)
    assert "default" in engine.figures.queues()


def test_the_latest_failures_first(engine: Engine) -> None:
    first, second = put(engine, job(), job("app.other"))
    failed(engine, Verdict.DISCARD, "first")
    failed(engine, Verdict.RETRY, "second")
    one, two = engine.figures.failures(10)
    assert (one.id, one.task, one.queue, one.error.message) == (second, "app.other", "default", "second")
    assert (two.id, two.task, two.error.message) == (first, "app.work", "first")
    assert "line 3, in work" in one.error.traceback and one.error.worker == "w"
    assert engine.figures.failures(1) == [one]


@pytest.fixture
def many(engine: Engine) -> list[str]:
    """Thirty jobs, the odd ones of another task."""
    return put(engine, *(job(f"app.{'odd' if n % 2 else 'even'}", b'{"n":%d}' % n) for n in range(30)))


def pages(engine: Engine, which: JobFilter, most: int) -> list[list[str]]:
    found = []
    below: int | None = None
    while True:
        page = engine.figures.page(JobFilter(which.states, task=which.task, below=below, limit=which.limit), most)
        found.append([record.id for record in page.records])
        if page.below is None:
            return found
        assert below is None or page.below < below
        below = page.below


@pytest.mark.parametrize("states", [frozenset(JobState), frozenset({JobState.AVAILABLE})])
def test_pages_follow_each_other(engine: Engine, many: list[str], states: frozenset[JobState]) -> None:
    found = pages(engine, JobFilter(states, limit=12), 1000)
    assert [len(page) for page in found] == [12, 12, 6] and [*chain(*found)] == many[::-1]
    odd = pages(engine, JobFilter(states, task="odd", limit=10), 1000)
    assert [*chain(*odd)] == many[::-2]


def test_a_look_for_what_is_rare_is_cut(engine: Engine, many: list[str]) -> None:
    put(engine, *(job("app.common") for _ in range(30)))
    page = engine.figures.page(JobFilter(task="odd", limit=5), 10)
    assert page.records == [] and page.is_cut and page.below is not None
    found = pages(engine, JobFilter(task="odd", limit=5), 10)
    assert [*chain(*found)] == many[::-2]


def test_a_page_shows_where_jobs_are(engine: Engine) -> None:
    put(engine, job(tags=("red",)), job(delay=60, priority=3), job())
    failed(engine, Verdict.RETRY)
    worker = engine.register("at work", 30)
    engine.claim(worker, ["default"], 1)
    page = engine.figures.page(JobFilter(), 1000)
    running, scheduled, retryable = page.records
    assert (running.state, running.worker) == (JobState.RUNNING, "at work") and running.running_since is not None
    assert scheduled.state is JobState.SCHEDULED and scheduled.due_at is not None
    assert retryable.state is JobState.RETRYABLE and retryable.last_error is not None and retryable.tags == ("red",)
    assert {record.payload for record in page.records} == {None} and not page.is_cut and page.below is None


def test_arguments_in_a_page_are_cut(engine: Engine) -> None:
    put(engine, job(payload=b'{"text":"%s"}' % (b"x" * 100_000)))
    [record] = engine.figures.page(JobFilter(), 1000, arguments=True).records
    assert record.payload is not None and record.payload.startswith(b'{"text":"xx') and len(record.payload) == 500


def test_counts_stop(engine: Engine, many: list[str]) -> None:
    waits = frozenset({JobState.AVAILABLE})
    assert engine.figures.count(JobFilter(waits), 1000) == (30, True)
    assert engine.figures.count(JobFilter(waits), 10) == (10, False)
    assert engine.figures.count(JobFilter(waits, task="odd"), 1000) == (15, True)
    assert engine.figures.count(JobFilter(waits, task="odd"), 10) == (5, False)
    for state in JobState:
        assert engine.figures.count(JobFilter(frozenset({state})), 1000) == (30 * (state in waits), True)
    failed(engine, Verdict.DISCARD)
    assert engine.figures.count(JobFilter(frozenset({JobState.DISCARDED})), 1000) == (1, True)
    assert engine.figures.count(JobFilter(frozenset({JobState.COMPLETED, JobState.DISCARDED})), 1000) == (1, True)


def test_jobs_by_what_is_in_their_arguments(engine: Engine) -> None:
    one, two = put(engine, job(payload='{"name":"Jürgen"}'.encode()), job(payload=b'{"name":"Ann"}'))
    assert [record.id for record in engine.list(JobFilter(argument="Jürg"))] == [one]
    assert [record.id for record in engine.find(JobFilter(argument='"Ann"'))] == [two]
    failed(engine, Verdict.DISCARD)
    assert [record.id for record in engine.list(JobFilter(argument="Jürg"))] == [one]
    assert engine.list(JobFilter(argument="nobody")) == []
