"""What is known of jobs beside their rows: who runs them since when and how far, and why they failed last."""

from __future__ import annotations

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import AttemptError, JobFilter, NewJob, Settlement, Verdict


def test_who_runs_a_job_since_when_and_how_far(engine: Engine) -> None:
    engine.put_many([NewJob("t", b"{}", id="mine"), NewJob("t", b"{}", id="other")])
    before = engine.now()
    worker = engine.register("some worker", 60.0)
    one, two = engine.claim(worker, ["default"], 2).claims
    engine.report(worker, {one.number: (3, 100), 12345: (1, None)})
    for record in (engine.get(one.id), next(r for r in engine.list(JobFilter()) if r.id == one.id)):
        assert record is not None
        assert (record.worker, record.progress) == ("some worker", (3, 100))
        assert record.running_since is not None and before - 1 <= record.running_since <= engine.now() + 1
    engine.report(worker, {two.number: (0.5, None)})
    assert [engine.get(claim.id).progress for claim in (one, two)] == [None, (0.5, None)]  # type: ignore[union-attr]
    engine.settle_many([Settlement(two, Verdict.RETURN)])
    back = engine.get(two.id)
    assert back is not None and (back.worker, back.running_since, back.progress) == (None, None, None)


def test_the_last_error_of_each_job_in_a_list(engine: Engine) -> None:
    engine.put_many([NewJob("t", b"{}", id="fails"), NewJob("t", b"{}", id="works")])
    worker = engine.register("w", 60.0)
    for number in (1, 2):
        claims = {claim.id: claim for claim in engine.claim(worker, ["default"], 2).claims}
        error = AttemptError(number, "failed", "ValueError", f"attempt {number}", "a traceback")
        engine.settle_many([Settlement(claims["fails"], Verdict.RETRY, error=error)])
    found = {record.id: record.last_error for record in engine.list(JobFilter())}
    assert found["works"] is None and found["fails"] is not None
    assert (found["fails"].type_name, found["fails"].message, found["fails"].attempt) == ("ValueError", "attempt 2", 2)
    assert found["fails"].traceback == "", "a list does not carry those"
