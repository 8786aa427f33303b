"""Lists: whatever is asked for, the latest of that, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from steadypool.durable.engine import pages
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter, JobRecord, Settlement, Verdict
from steadypool.durable.engine.states import JobState

from .steps import job, take, worker

EVERY = frozenset(JobState)
COUNT = 48


@pytest.fixture(params=[(20_000, 100), (3, 1)], ids=["large pages", "small pages"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    largest, groups = request.param
    monkeypatch.setattr(pages, "LARGEST_PAGE", largest)
    monkeypatch.setattr(pages, "MOST_GROUPS", groups)


@pytest.fixture
def everything(engine: Engine, sizes: None) -> list[JobRecord]:
    """The records of some jobs in each state, the latest first."""
    who, later = worker(engine), list[str]()
    for number in range(COUNT):
        where = {"queue": ("one", "two")[number % 2], "task": ("app.a", "app.b", "app.c")[number % 3]}
        delay = 3600.0 if number % 8 == 7 else 0.0
        after = tuple(later[:1]) if number % 8 == 5 else ()
        [placed] = engine.put_many([job(**where, priority=number % 4, delay=delay, after=after)])
        later += [placed.id] if delay else []
        if number % 8 == 6:
            engine.cancel(placed.number, placed.nonce)
    verdicts = itertools.cycle([Verdict.COMPLETE, Verdict.RETRY, Verdict.DISCARD, Verdict.RETURN, None])
    for claim, verdict in zip(take(engine, who, COUNT // 2, ["one", "two"]), verdicts, strict=False):
        if verdict is not None:
            delay = 3600.0 if verdict is Verdict.RETRY else 0.0
            engine.settle_many([Settlement(claim, verdict, delay=delay)])
    found = engine.list(JobFilter(limit=COUNT + 1))
    assert len(found) == COUNT and {record.state for record in found} == EVERY
    return found


def filters() -> Iterator[JobFilter]:
    some = [frozenset(some) for count in (1, 2, 3) for some in itertools.combinations(JobState, count)]
    yield from (JobFilter(states, limit=5) for states in (EVERY, *some))
    for state, queue, task in itertools.product([None, *JobState], [None, "one", "nothing"], [None, "app.b", "typo"]):
        yield JobFilter(EVERY if state is None else frozenset({state}), queue, task, limit=3)


def fits(record: JobRecord, which: JobFilter) -> bool:
    return (
        record.state in which.states
        and which.queue in (None, record.queue)
        and which.task in (None, record.task)
        and (which.below is None or record.number < which.below)
    )


def test_every_filter(engine: Engine, everything: list[JobRecord]) -> None:
    for which in filters():
        wanted = [record for record in everything if fits(record, which)]
        assert engine.list(which) == wanted[: which.limit], which


def test_every_page(engine: Engine, everything: list[JobRecord]) -> None:
    for states in (EVERY, frozenset({JobState.AVAILABLE, JobState.RETRYABLE, JobState.COMPLETED})):
        seen: list[JobRecord] = []
        below: int | None = None
        while page := engine.list(JobFilter(states, below=below, limit=4)):
            seen += page
            below = page[-1].number
        assert seen == [record for record in everything if record.state in states]


def test_a_job_that_is_due_and_not_yet_promoted_is_available(engine: Engine, sizes: None) -> None:
    [placed] = engine.put_many([job(delay=1e-6)])
    [later] = engine.put_many([job(delay=3600.0)])
    put = engine.now()
    while engine.now() < put + 0.01:  # SQLite's clock has a step of a millisecond
        pass
    assert [record.number for record in engine.list(JobFilter(frozenset({JobState.AVAILABLE})))] == [placed.number]
    assert [record.number for record in engine.list(JobFilter(frozenset({JobState.SCHEDULED})))] == [later.number]
