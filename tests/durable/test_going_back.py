"""Handles and workers of a store that goes back in time under their feet."""

from __future__ import annotations

import pytest

from steadypool import JobState, Queue
from steadypool.durable.engine.errors import UnknownJob
from tests.durable import app
from tests.durable.engines import EngineKind
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT, Stage

pytestmark = pytest.mark.every_engine


@pytest.mark.parametrize("chosen", [None, "order-42"])
def test_a_handle_takes_no_other_job_for_its_own(
    queue: Queue, engine_kind: EngineKind, url: str, chosen: str | None
) -> None:
    queue.engine.migrate()
    with engine_kind.remember(url) as go_back:
        old = app.add.options(id=chosen).enqueue(1, 1)
        go_back()
    new = app.add.options(id=chosen).enqueue(2, 2)
    with Working(queue, "thread"):
        assert new.result(WAIT) == 4
    for use in (old.result, old.record, old.cancel):
        with pytest.raises(UnknownJob, match="gone back"):
            use()
    if chosen is None:
        assert new.id != old.id
        with pytest.raises(UnknownJob):
            queue.get(old.id)


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_worker_completes_no_new_job_of_an_old_number(
    queue: Queue, stage: Stage, engine_kind: EngineKind, url: str, kind: str
) -> None:
    queue.engine.migrate()
    with Working(queue, kind, workers=1, lease=3.0) as working:
        with engine_kind.remember(url) as go_back:
            app.act.enqueue(stage.address)
            actor = stage.enter()
            go_back()
        new = app.add.options(delay=3600).enqueue(2, 3)
        assert new.job_id.startswith("job-1-"), "this is not what is tried here"
        event = working.wait_for("LeaseLost")
        assert event.jobs == 1
        actor.tell("return")
        later = app.add.enqueue(1, 1)
        assert later.result(WAIT) == 2
        assert new.state is JobState.SCHEDULED
        queue.retry(new.job_id)
        assert new.result(WAIT) == 5


def test_what_a_live_worker_had_completed_runs_again(
    queue: Queue, stage: Stage, engine_kind: EngineKind, url: str
) -> None:
    handle = app.act.enqueue(stage.address)
    with Working(queue, "thread", workers=1, lease=3.0):
        actor = stage.enter()
        with engine_kind.remember(url) as go_back:
            actor.tell("return")
            handle.result(WAIT)
            go_back()
        stage.enter().tell("return")
        assert handle.result(WAIT) == "actor" and handle.attempts == 1
