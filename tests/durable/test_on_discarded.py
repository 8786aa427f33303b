"""`on_discarded=`: another task that is run when a job is given up."""

from __future__ import annotations

import pytest

from steadypool import JobDiscarded, JobFilter, Queue
from tests.durable import app
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", ["thread", "process"])
def test_it_is_run_with_the_arguments_the_id_and_the_reason(queue: Queue, kind: str) -> None:
    handle = app.charge.enqueue(7, note="ü")
    with Working(queue, kind=kind), pytest.raises(JobDiscarded):
        handle.result(WAIT)
    with Working(queue, queues=("alarms",)):
        [told] = queue.list(task="refund")
        assert queue.get(told.id).result(WAIT) == [7, "ü", 1.5, handle.id, "no retry is left"]


@pytest.mark.every_engine
def test_a_call_may_have_another_or_none(queue: Queue) -> None:
    app.charge.options(on_discarded=None).enqueue(1)
    other = app.charge.options(on_discarded=app.take_note.options(delay=60, tags=("late",))).enqueue(2)
    queue.discard(other.id, "by hand")
    queue.discard_all(JobFilter(task="charge"))
    [waits] = queue.list(task="take_note")
    assert waits.payload is not None and waits.payload.decode() == f'{{"job_id":"{other.id}"}}'
    assert waits.tags == ("late",) and waits.due_at is not None
    assert queue.list(task="refund") == []


def test_what_cannot_be_run_is_refused_at_once(queue: Queue) -> None:
    mine, other = Queue("sqlite:///mine.db"), Queue("sqlite:///other.db")

    def work(order: int) -> None: ...
    def needs(customer: int) -> None: ...

    handler = mine.task(needs, name="needs")
    for wrong in (needs, other.task(needs, name="needs"), "needs"):
        with pytest.raises(TypeError, match="on_discarded must be a task of the same queue"):
            mine.task(work, name="work", on_discarded=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="needs 'customer', which is none of these"):
        mine.task(work, name="work", on_discarded=handler)
    with pytest.raises(ValueError, match="must have no id, no unique and no after"):
        mine.task(work, name="work", on_discarded=app_task(mine).options(unique="k"))


def app_task(queue: Queue):  # type: ignore[no-untyped-def]
    def tell(job_id: str) -> None: ...

    return queue.task(tell, name="tell")
