"""Tags, filters by them and by ages and errors, and changes of many jobs at once."""

from __future__ import annotations

import pytest

from steadypool.durable.engine import pages
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import AttemptError, JobFilter, NewJob, Settlement, Verdict
from steadypool.durable.engine.states import JobState

from .steps import complete, give_up, job, put, record, take, worker

TAGS = ("tenant:42", 'with "quotes", \\ and {braces}', "ä,b")
GIVEN_UP = frozenset({JobState.DISCARDED})


def ids(engine: Engine, which: JobFilter) -> list[str]:
    found = engine.list(which)
    assert [(one.id, one.state) for one in engine.find(which)] == [(one.id, one.state) for one in found]
    return [one.id for one in found]


def test_tags_stay_with_a_job_whatever_becomes_of_it(engine: Engine) -> None:
    who = worker(engine)
    job_id = put(engine, id="tagged", tags=TAGS)
    put(engine, id="plain")
    assert record(engine, job_id).tags == TAGS and record(engine, "plain").tags == ()
    claims = {claim.id: claim for claim in take(engine, who)}
    engine.settle_many([give_up(claims["tagged"]), complete(claims["plain"])])
    ended = record(engine, job_id)
    assert ended.tags == TAGS
    engine.retry(ended.number, ended.nonce)
    assert record(engine, job_id).tags == TAGS
    for tag in TAGS:
        assert ids(engine, JobFilter(tags=(tag,))) == ["tagged"]
    assert ids(engine, JobFilter(tags=(TAGS[0], "other"))) == []
    [claim] = take(engine, who)
    engine.settle_many([complete(claim)])
    assert ids(engine, JobFilter(tags=TAGS)) == ["tagged"]


def fail(engine: Engine, who: int, job_id: str, *types: str) -> None:
    for place, type_name in enumerate(types):
        [claim] = [claim for claim in take(engine, who) if claim.id == job_id]
        error = AttemptError(claim.attempt, "failed", type_name, "no")
        verdict = Verdict.DISCARD if place == len(types) - 1 else Verdict.RETRY
        engine.settle_many([Settlement(claim, verdict, error=error)])


@pytest.mark.parametrize("largest", [20_000, 2])
def test_filters_by_error_and_age(engine: Engine, monkeypatch: pytest.MonkeyPatch, largest: int) -> None:
    monkeypatch.setattr(pages, "LARGEST_PAGE", largest)
    who = worker(engine)
    for name, types in {
        "one": ("KeyError", "ValueError"),
        "two": ("app.errors.Busy",),
        "three": ("ValueError", "KeyError"),
    }.items():
        put(engine, id=name)
        fail(engine, who, name, *types)
    put(engine, id="waits")
    assert ids(engine, JobFilter(error_type="ValueError")) == ["one"]
    assert ids(engine, JobFilter(error_type="Busy")) == ids(engine, JobFilter(error_type="app.errors.Busy")) == ["two"]
    assert ids(engine, JobFilter(error_type="usy")) == ids(engine, JobFilter(error_type="%")) == []
    assert ids(engine, JobFilter(GIVEN_UP, error_type="KeyError", limit=1)) == ["three"]
    everything = ["waits", "three", "two", "one"]
    assert ids(engine, JobFilter(younger_than=3600)) == ids(engine, JobFilter(older_than=0)) == everything
    assert ids(engine, JobFilter(older_than=3600)) == ids(engine, JobFilter(younger_than=0)) == []
    assert ids(engine, JobFilter(ended_within=3600)) == everything[1:]
    assert ids(engine, JobFilter(ended_within=0)) == []
    assert ids(engine, JobFilter(frozenset({JobState.AVAILABLE}), older_than=0, tags=())) == ["waits"]


def test_many_are_changed_in_one_call(engine: Engine) -> None:
    who = worker(engine)
    for name in ("discarded", "cancelled", "completed", "running", "available", "scheduled"):
        put(engine, id=name, priority=-1 if name == "available" else 0, delay=60.0 if name == "scheduled" else 0.0)
    engine.cancel_chosen("cancelled")
    claims = {claim.id: claim for claim in take(engine, who, 3)}
    engine.settle_many([give_up(claims["discarded"]), complete(claims["completed"])])
    keys = [(one.number, one.nonce) for one in engine.find(JobFilter())]
    names = {number: next(one.id for one in engine.find(JobFilter()) if one.number == number) for number, _ in keys}

    def changed(kind: str) -> set[str]:
        found = engine.change_many(kind, [*keys, (10**9, 1), (keys[0][0], 1)], "why not")  # type: ignore[arg-type]
        assert {names[one.number]: one.was for one in found} == {name: before[name] for name in names.values()}
        return {names[one.number] for one in found if one.changed}

    before = {name: record(engine, name).state for name in names.values()}
    assert changed("retry") == {"discarded", "cancelled", "scheduled"}
    before = {name: record(engine, name).state for name in names.values()}
    assert changed("discard") == {"discarded", "cancelled", "scheduled", "available"}
    assert record(engine, "available").reason == "why not"
    before = {name: record(engine, name).state for name in names.values()}
    assert changed("cancel") == {"running"}
    assert record(engine, "running").cancelling
    assert engine.change_many("retry", []) == []


def test_a_unique_key_that_was_taken_is_a_conflict_and_no_error(engine: Engine) -> None:
    who = worker(engine)
    put(engine, id="first", unique="k")
    put(engine, id="second")
    engine.settle_many([give_up(claim) for claim in take(engine, who)])
    put(engine, id="third", unique="k")
    keys = [(one.number, one.nonce) for one in engine.find(JobFilter(GIVEN_UP))]
    found = {one.number: one for one in engine.change_many("retry", keys)}
    assert [found[number].changed for number, _ in keys] == [True, False]  # the latest first
    assert record(engine, "first").state is JobState.DISCARDED
    assert record(engine, "second").state is JobState.AVAILABLE


def test_who_ran_each_attempt_and_since_when(engine: Engine) -> None:
    before = engine.now()
    first, second = engine.register("first", 60.0), engine.register("second", 60.0)
    job_id = put(engine)
    engine.settle_many([Settlement(claim, Verdict.RETRY, error=failed(claim.attempt)) for claim in take(engine, first)])
    engine.settle_many(
        [Settlement(claim, Verdict.RETRY, error=failed(claim.attempt)) for claim in take(engine, second)]
    )
    [claim] = take(engine, first)
    running = record(engine, job_id)
    assert running.worker == "first" and running.started_at == running.running_since
    assert [error.worker for error in running.errors] == ["first", "second"]
    assert running.last_error is not None and running.last_error.worker == "second"
    engine.settle_many([complete(claim)])
    ended = record(engine, job_id)
    assert (ended.worker, ended.attempt, ended.running_since) == ("first", 3, None)
    moments = [error.started_at for error in ended.errors]
    assert all(moment is not None for moment in moments) and ended.started_at is not None
    assert before - 0.1 <= moments[0] <= moments[1] <= ended.started_at <= engine.now() + 0.1  # type: ignore[operator]


def failed(attempt: int) -> AttemptError:
    return AttemptError(attempt, "failed", "ValueError", "no")


def test_who_lost_it_and_who_gave_it_up(engine: Engine) -> None:
    lost = engine.register("short", 0.01)
    put(engine, id="lost")
    take(engine, lost)
    while not engine.sweep(2).workers:
        pass
    who = engine.register("long", 60.0)
    [claim] = take(engine, who)
    engine.settle_many([give_up(claim)])
    ended = record(engine, "lost")
    assert [error.worker for error in ended.errors] == ["short", "long"] and ended.worker == "long"
    put(engine, id="by hand")
    engine.cancel_chosen("by hand")
    assert record(engine, "by hand").worker is None


def test_a_tag_that_no_text_of_the_store_is_finds_nothing(engine: Engine) -> None:
    engine.put_many([NewJob("t", b"{}", tags=("a",)), job()])
    assert ids(engine, JobFilter(tags=("",))) == []
