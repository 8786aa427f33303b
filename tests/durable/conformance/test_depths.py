"""What named queues hold, counted up to a bound."""

from __future__ import annotations

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import AttemptError, NewJob, Settlement, Verdict
from steadypool.model import queue_depth
from steadypool.model.queue_depth import QueueDepth


def test_each_state_is_counted_by_queue(engine: Engine) -> None:
    jobs = [NewJob("t", b"{}", "mail", priority=number % 3) for number in range(6)]
    engine.put_many([*jobs, NewJob("t", b"{}", "mail", delay=60.0), NewJob("t", b"{}", "other")])
    worker = engine.register("w", 60.0)
    one, two, three = engine.claim(worker, ["mail"], 3).claims
    error = AttemptError(1, "failed", "E", "no")
    engine.settle_many(
        [
            Settlement(one, Verdict.DISCARD, error=error, reason="no retry is left"),
            Settlement(two, Verdict.RETRY, error=error, delay=60.0),
        ]
    )
    mail, empty, other = engine.depths(["mail", "empty", "other"])
    assert (mail.name, mail.available, mail.scheduled, mail.retryable) == ("mail", 3, 1, 1)
    assert (mail.running, mail.discarded, mail.paused, mail.answers) == (1, 1, False, True)
    assert mail.oldest_available is not None and 0.0 <= mail.oldest_available < 60.0
    assert empty == QueueDepth("empty", True, False, 0, 0.0, 0, 0, 0, 0, 0)
    assert (other.available, other.running) == (1, 0)
    engine.settle_many([Settlement(three, Verdict.COMPLETE, result=b"1")])
    engine.pause("other", True)
    mail, other = engine.depths(["mail", "other"])
    assert mail.running == 0 and mail.discarded == 1 and other.paused


def test_a_delayed_job_whose_time_has_come_is_available(engine: Engine) -> None:
    engine.put_many([NewJob("t", b"{}", at=engine.now() + 0.01)])
    until = engine.now() + 0.02
    while engine.now() < until:
        pass
    [default] = engine.depths(["default"])
    assert (default.available, default.scheduled) == (1, 0)


def test_a_count_stops_at_the_bound(engine: Engine) -> None:
    engine.put_many([NewJob("t", b"{}")] * 9)
    engine.put_many([NewJob("t", b"{}", delay=60.0)] * 9)
    [default] = engine.depths(["default"], 5)
    assert (default.available, default.scheduled) == (5, 5)
    [default] = engine.depths(["default"])
    assert (default.available, default.scheduled) == (9, 9)
    assert queue_depth.MOST_COUNTED == 20_000
