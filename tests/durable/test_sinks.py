"""What a worker does with its sinks, also with one that raises."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from steadypool import JobDiscarded, Queue
from steadypool.cli.queue.work_log import WorkLog
from steadypool.events import Event, SinkFailed
from tests.durable import app
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT


def test_a_worker_logs_a_named_batch_and_what_fails_later(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    with queue.batch("import") as batch:
        app.add.enqueue(1, 2)
    working = Working(queue)
    working.worker.subscribe(WorkLog())
    with caplog.at_level(logging.INFO, "steadypool"), working:
        working.wait_for("BatchFinished")
        for _ in range(2):
            with pytest.raises(JobDiscarded):
                app.fail.enqueue().result(WAIT)
        working.wait_for("JobGivenUp", 2)
    kinds = [getattr(record, "kind", "") for record in caplog.records]
    assert kinds.count("BatchFinished") == 1 and kinds.count("JobGivenUp") == 2
    (finished,) = [record for record in caplog.records if getattr(record, "kind", "") == "BatchFinished"]
    assert finished.getMessage().startswith(f"{batch.id} (import) has finished: 1 completed")
    assert finished.name_ == "import"  # type: ignore[attr-defined]
    assert working.report is not None and not working.report.notes


class Broken:
    """A sink that raises at every event but `SinkFailed`."""

    def __init__(self, takes: bool) -> None:
        self.got: list[Any] = []
        self._takes = takes

    def __call__(self, event: Event) -> None:
        self.got.append(event)
        if not (self._takes and isinstance(event, SinkFailed)):
            raise OSError("no room")


@pytest.mark.parametrize("takes", [True, False])
def test_a_sink_that_raises_is_reported_once_and_goes_on_getting_events(queue: Queue, takes: bool) -> None:
    broken = Broken(takes)
    working = Working(queue)
    working.worker.subscribe(broken)
    with working, pytest.raises(JobDiscarded):
        app.fail.enqueue().result(WAIT)
    kinds = [type(event).__name__ for event in broken.got]
    assert kinds[1] == "SinkFailed" and kinds.count("SinkFailed") == 1 and kinds[-1] == "JobGivenUp"
    (failed,) = working.all("SinkFailed")
    assert (failed.sink, failed.got, str(failed.error)) == ("Broken", kinds[0], "no room")
    assert working.report is not None and working.report.notes == ("a sink raised OSError: no room",)
