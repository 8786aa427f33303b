"""Jobs of tasks that no worker knows: out of the way, found again, given up."""

from __future__ import annotations

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter, NewJob
from steadypool.durable.engine.states import JobState

from .steps import LONG, QUEUES, complete, put, record, take, worker

SOME = ["app.work", "app.other"]


def waiting(engine: Engine) -> tuple[int, int]:
    """How many are available, and how many scheduled."""
    [row] = engine.stats().queues
    return row.available, row.scheduled


def test_what_is_set_aside_waits_and_keeps_all_it_has(engine: Engine) -> None:
    gone, known = put(engine, task="gone", priority=5), put(engine, task="app.work")
    assert dict(engine.set_aside(QUEUES, SOME, 10, LONG)) == {"gone": 1}
    found = record(engine, gone)
    assert (found.state, found.attempt, found.due_at, found.priority) == (JobState.SCHEDULED, 0, None, 5)
    assert found.reason == "no worker so far has known its task"
    [listed] = engine.list(JobFilter(frozenset({JobState.SCHEDULED})))
    assert (listed.id, listed.due_at, listed.reason) == (gone, None, found.reason)
    assert waiting(engine) == (1, 1) and engine.depths(QUEUES)[0].scheduled == 1
    who = worker(engine)
    claimed = engine.claim(who, QUEUES, 10)
    assert [claim.id for claim in claimed.claims] == [known] and claimed.next_due is None
    assert dict(engine.set_aside(QUEUES, SOME, 10, LONG)) == {}


def test_it_is_found_by_who_knows_the_task_in_its_order(engine: Engine) -> None:
    ids = [put(engine, task=task, priority=priority) for task, priority in (("b", 0), ("a", 0), ("b", 1), ("c", 0))]
    engine.set_aside(QUEUES, SOME, 10, LONG)
    assert engine.recall(QUEUES, ["unheard of"], 10) == engine.recall(["elsewhere"], ["b"], 10) == 0
    assert engine.recall(QUEUES, ["a", "b"], 1) == 1
    assert [claim.task for claim in take(engine, worker(engine))] == ["a"]
    assert engine.recall(QUEUES, ["b", "z"], 10) == 2
    claims = take(engine, worker(engine))
    assert [claim.id for claim in claims] == [ids[2], ids[0]] and {claim.attempt for claim in claims} == {1}
    engine.settle_many([complete(claim) for claim in claims])
    assert record(engine, ids[3]).state is JobState.SCHEDULED


def test_it_is_looked_at_by_the_head_of_each_queue(engine: Engine) -> None:
    engine.put_many([NewJob(f"gone.{n % 2}", b"{}", queue=queue) for n in range(30) for queue in ("default", "mail")])
    put(engine, task="app.work")
    assert dict(engine.set_aside([*QUEUES, "mail"], SOME, 10, LONG)) == {"gone.0": 10, "gone.1": 10}
    assert dict(engine.set_aside(QUEUES, SOME, 100, LONG)) == {"gone.0": 10, "gone.1": 10}
    assert [claim.task for claim in take(engine, worker(engine))] == ["app.work"]


def test_it_can_be_changed_like_any_that_waits(engine: Engine) -> None:
    ids = [put(engine, task="gone", unique=f"k{n}") for n in range(4)]
    engine.set_aside(QUEUES, SOME, 10, LONG)
    records = [record(engine, job_id) for job_id in ids]
    engine.cancel(records[0].number, records[0].nonce)
    assert record(engine, ids[0]).state is JobState.CANCELLED
    engine.retry(records[0].number, records[0].nonce)
    engine.discard(records[1].number, records[1].nonce, "no use")
    engine.retry(records[2].number, records[2].nonce)
    states = [record(engine, job_id).state for job_id in ids]
    assert states == [JobState.AVAILABLE, JobState.DISCARDED, JobState.AVAILABLE, JobState.SCHEDULED]
    assert engine.recall(QUEUES, ["gone"], 10) == 1
    assert len(take(engine, worker(engine))) == 3


def test_it_is_given_up_when_its_time_is_over(engine: Engine) -> None:
    old, new = put(engine, task="gone", unique="k"), put(engine, task="other.gone")
    engine.set_aside(QUEUES, ["other.gone"], 10, 0.0)
    engine.set_aside(QUEUES, SOME, 10, LONG)
    assert not engine.claim(worker(engine), QUEUES, 10).claims  # due, but not to be run
    assert record(engine, old).state is JobState.SCHEDULED and waiting(engine) == (0, 2)
    [depth] = engine.depths(QUEUES)
    assert (depth.available, depth.scheduled) == (0, 2)
    assert not engine.list(JobFilter(frozenset({JobState.AVAILABLE})))
    assert len(engine.list(JobFilter(frozenset({JobState.SCHEDULED})))) == 2
    assert dict(engine.give_up_unknown(10, "nobody knows it")) == {"gone": 1}
    assert dict(engine.give_up_unknown(10, "nobody knows it")) == {}
    found = record(engine, old)
    assert (found.state, found.reason) == (JobState.DISCARDED, "nobody knows it")
    assert record(engine, new).state is JobState.SCHEDULED
    assert put(engine, task="gone", unique="k")  # its key is free again
    engine.retry(found.number, found.nonce)
    assert record(engine, old).state is JobState.DISCARDED  # but not for itself any more


def test_it_is_scheduled_until_it_is_given_up(engine: Engine) -> None:
    gone = record(engine, put(engine, task="gone"))
    engine.set_aside(QUEUES, SOME, 10, 0.0)
    assert engine.cancel(gone.number, gone.nonce) is JobState.SCHEDULED


def test_it_may_wait_for_ever(engine: Engine) -> None:
    put(engine, task="gone")
    assert dict(engine.set_aside(QUEUES, SOME, 10, float("inf"))) == {"gone": 1}
    assert dict(engine.give_up_unknown(10, "")) == {} and waiting(engine) == (0, 1)
