"""What a worker makes of jobs, on every kind of pool."""

from __future__ import annotations

from pathlib import Path
from time import monotonic, sleep

import pytest

from steadypool import JobCancelled, JobDiscarded, JobState, Outcome, Queue
from steadypool.durable.worker import pool_adapter
from steadypool.rules import claim_size
from tests.durable import app
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT, Stage

PLAIN = ["thread", "process"]


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", PLAIN)
def test_jobs_run_and_their_results_are_kept(queue: Queue, kind: str) -> None:
    handles = [app.add.enqueue(number, other=1) for number in range(20)]
    with Working(queue, kind) as working:
        assert [handle.result(WAIT) for handle in handles] == list(range(1, 21))
        assert app.add_async.enqueue(2, 3).result(WAIT) == 5
    assert {handle.outcome for handle in handles} == {Outcome.SUCCEEDED}
    report = working.report
    assert report is not None and report.ok and (report.claimed, report.completed) == (21, 21)
    assert queue.stats().workers == ()


def test_coroutine_functions_run_on_a_loop(queue: Queue) -> None:
    with Working(queue, "async", workers=50):
        handles = [app.add_async.enqueue(number) for number in range(20)]
        assert [handle.result(WAIT) for handle in handles] == list(range(20))


def test_a_plain_function_beside_coroutines_runs_on_a_thread(queue: Queue) -> None:
    with Working(queue, "async"):
        assert app.add.enqueue(1).result(WAIT) == 1


@pytest.mark.every_engine
def test_a_failure_is_tried_again_with_the_error_of_each_attempt(queue: Queue) -> None:
    with Working(queue) as working:
        handle = app.fail.enqueue(times=2)
        assert handle.result(WAIT) == 3
        assert [(error.attempt, error.message) for error in handle.errors] == [(1, "attempt 1"), (2, "attempt 2")]
        assert "in fail" in handle.errors[0].traceback
    assert working.report is not None and working.report.retried == 2


def test_a_job_that_fails_for_good_is_discarded_with_its_error(queue: Queue) -> None:
    with Working(queue):
        handle = app.fail.enqueue()
        with pytest.raises(JobDiscarded, match="no retry is left: ValueError: attempt 3") as caught:
            handle.result(WAIT)
    assert caught.value.type_name == "ValueError" and "attempt 3" in caught.value.traceback
    assert handle.state is JobState.DISCARDED and handle.outcome is Outcome.FAILED and handle.attempts == 3


@pytest.mark.parametrize("kind", PLAIN)
def test_a_time_limit_ends_an_attempt(queue: Queue, stage: Stage, kind: str) -> None:
    with Working(queue, kind):
        handle = app.hang.enqueue(stage.address)
        with pytest.raises(JobDiscarded, match=r"timeout of 0[.]2 s"):
            handle.result(WAIT)
        assert handle.outcome is Outcome.TIMED_OUT
        stage.close()  # a thread goes on; a process may have been killed before it came here


def test_a_time_limit_may_be_given_for_one_call(queue: Queue, stage: Stage) -> None:
    with Working(queue):
        handle = app.act.options(timeout=0.1, meta={"who": "me"}).enqueue(stage.address)
        with pytest.raises(JobDiscarded, match=r"timeout of 0[.]1 s"):
            handle.result(WAIT)
        stage.enter().close()


def test_a_job_that_is_of_no_use_any_more_does_not_run(queue: Queue) -> None:
    handle = app.add.options(total_timeout=0.001).enqueue(1)
    with Working(queue), pytest.raises(JobDiscarded, match="total_timeout passed"):
        handle.result(WAIT)
    assert handle.outcome is Outcome.TIMED_OUT


def test_a_job_that_kills_its_process_is_buried_after_three_times(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from steadypool.durable.worker import verdicts

    monkeypatch.setattr(verdicts, "AFTER_CRASH", replace(verdicts.AFTER_CRASH, backoff=0.01))
    with Working(queue, "process") as working:
        handle, innocent = app.die.enqueue(), app.add.enqueue(1)
        with pytest.raises(JobDiscarded, match="its process died 3 times"):
            handle.result(WAIT)
        assert innocent.result(WAIT) == 1
    assert handle.outcome is Outcome.CRASHED and handle.attempts == 3
    assert working.report is not None and working.report.ok


@pytest.mark.every_engine
def test_a_task_that_nobody_here_knows_goes_back_with_its_attempt(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = app.add.enqueue(1)
    monkeypatch.delitem(queue.tasks, "tests.durable.app.add")
    with Working(queue) as working:
        event = working.wait_for("TaskUnknown")
    assert event.jobs == 1 and "tests.durable.app.act" in event.hint
    assert handle.record().reason == "no worker so far has known its task" and handle.record().due_at is None
    assert handle.state is JobState.SCHEDULED and handle.attempts == 0 and handle.errors == ()


def test_a_result_that_cannot_be_stored_is_told_and_the_job_not_run_again(queue: Queue) -> None:
    with Working(queue), pytest.raises(JobDiscarded, match="JSON cannot carry"):
        app.returns_nonsense.options(keep=60).enqueue().result(WAIT)


def test_the_fencing_token_names_the_claim(queue: Queue) -> None:
    with Working(queue):
        handle = app.token.enqueue()
        assert handle.result(WAIT) == f"{handle.job_id.removeprefix('job-')}:1"


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", PLAIN)
def test_a_running_job_is_cancelled_from_elsewhere(queue: Queue, stage: Stage, kind: str) -> None:
    with Working(queue, kind):
        handle = app.act.enqueue(stage.address)
        stage.enter().tell("obey")
        assert handle.cancel()
        with pytest.raises(JobCancelled):
            handle.result(WAIT)
        assert handle.state is JobState.CANCELLED and not handle.cancel()


def test_a_running_coroutine_is_cancelled_from_elsewhere(queue: Queue, stage: Stage) -> None:
    with Working(queue, "async"):
        handle = app.act_async.enqueue(stage.address)
        stage.enter().tell("obey")
        assert handle.cancel()
        with pytest.raises(JobCancelled):
            handle.result(WAIT)


@pytest.mark.every_engine
def test_several_queues_and_a_pause(queue: Queue) -> None:
    queue.pause("mail")
    paused, other = app.add.options(queue="mail").enqueue(1), app.add.options(queue="other").enqueue(2)
    with Working(queue, queues=("mail", "other")):
        assert other.result(WAIT) == 2
        assert paused.state is JobState.AVAILABLE
        queue.resume("mail")
        assert paused.result(WAIT) == 1


def test_a_worker_of_other_queues_leaves_a_job_alone(queue: Queue) -> None:
    handle = app.add.enqueue(1)
    with Working(queue, queues=("other",)):
        assert app.add.options(queue="other").enqueue(2).result(WAIT) == 2
    assert handle.state is JobState.AVAILABLE


def test_work_until_empty_waits_for_retries_and_not_for_what_is_scheduled(queue: Queue) -> None:
    later, again = app.add.options(delay=3600).enqueue(1), app.fail.enqueue(times=1)
    report = queue.work(kind="thread", workers=2, until_empty=True)
    assert again.state is JobState.COMPLETED and later.state is JobState.SCHEDULED
    assert report.ok and report.completed == 1 and report.retried == 1


def test_settings_that_make_no_sense(queue: Queue) -> None:
    for wrong in ({"kind": "fibre"}, {"queues": ()}, {"lease": 0.1}):
        with pytest.raises(ValueError):
            queue.work(**wrong)
    with pytest.raises(TypeError):
        queue.work(wrokers=3)


@pytest.fixture
def _bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs travel together however slow the machine is at the moment."""
    monkeypatch.setattr(pool_adapter, "BUNDLE_SECONDS", 3600.0)
    monkeypatch.setattr(pool_adapter, "KNOWN_AFTER", 0)
    monkeypatch.setattr(claim_size, "AHEAD", 3600.0)


@pytest.mark.usefixtures("_bundles")
def test_short_jobs_travel_together_and_are_jobs_of_their_own(queue: Queue) -> None:
    with Working(queue, "process") as working:
        for handle in queue.enqueue_many(app.add, [(number,) for number in range(300)]):  # now it is known to be short
            handle.result(WAIT)
        odd = queue.enqueue_many(app.odd, [(number,) for number in range(300)])
        tokens = queue.enqueue_many(app.token, [() for _ in range(300)])
        for handle in tokens:
            handle.result(WAIT)
        for handle in odd[1::2]:
            handle.result(WAIT)
        for handle in odd[::2]:
            with pytest.raises(JobDiscarded, match="ValueError: even"):
                handle.result(WAIT)
    assert [handle.outcome for handle in odd] == [Outcome.FAILED, Outcome.SUCCEEDED] * 150
    assert [handle.result() for handle in tokens] == [f"{handle.job_id.removeprefix('job-')}:1" for handle in tokens]
    assert working.report is not None and working.report.pool is not None
    assert working.report.pool.stats.accepted < working.report.claimed == 900
    assert sum(group.count for group in working.report.errors) == 150


@pytest.mark.usefixtures("_bundles")
def test_a_bundle_that_dies_costs_the_others_a_run_and_no_attempt(queue: Queue) -> None:
    with Working(queue, "process"):
        queue.enqueue_many(app.perhaps_die, [(0,) for _ in range(200)])[-1].result(WAIT)
        queue.pause()
        handles = queue.enqueue_many(app.perhaps_die, [(int(number == 50),) for number in range(200)])
        queue.resume()
        for place, handle in enumerate(handles):
            if place != 50:
                handle.result(WAIT)
        assert {handle.attempts for handle in handles[:50] + handles[51:]} == {1}
        found = handles[50].record()
        assert found.crashes > 0 or found.state is JobState.RUNNING
        handles[50].cancel()


@pytest.mark.usefixtures("_bundles")
def test_a_cancel_of_one_of_a_bundle_is_no_failure_of_the_one_that_runs(queue: Queue, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.touch()
    with Working(queue, "process", workers=1):
        queue.enqueue_many(app.until_first_stop, [(str(tmp_path),) for _ in range(200)])[-1].result(WAIT)
        queue.pause()
        runs.unlink()
        first, *others = queue.enqueue_many(app.until_first_stop, [(str(tmp_path),) for _ in range(50)])
        queue.resume()
        ends = monotonic() + WAIT
        while not runs.exists() and monotonic() < ends:
            sleep(0.002)
        others[0].cancel()
        assert first.result(WAIT) == 1
        assert [handle.result(WAIT) for handle in others[1:]] == [1] * 48
        with pytest.raises(JobCancelled):
            others[0].result(WAIT)


@pytest.mark.parametrize("kind", PLAIN)
def test_a_job_may_enqueue_others(queue: Queue, kind: str) -> None:
    with Working(queue, kind):
        ids = app.enqueue_more.enqueue(3).result(WAIT)
        assert [queue.get(job_id).result(WAIT) for job_id in ids] == [0, 1, 2]
