"""Pure decisions: what becomes of an attempt, how much is claimed, which moves are legal."""

from __future__ import annotations

import math
from typing import Any

import pytest

from steadypool import JobTimeout, Limit, Outcome, PayloadRefused, Queue, RemoteError, Retry, WorkerCrashed
from steadypool.durable.client.nested_waits import Slots
from steadypool.durable.engine.errors import ArgumentsUnfit, ResultUnfit
from steadypool.durable.engine.records import AttemptError, Claim, Verdict
from steadypool.durable.engine.states import ENDED, MOVES, WAITING, JobState
from steadypool.durable.engine.texts import LONGEST_MESSAGE, LONGEST_TRACEBACK
from steadypool.durable.worker.pool_adapter import MOST_BUNDLED, RunTime, TaskAdapter, bundle_seconds, most_bundled
from steadypool.durable.worker.settings import WorkerSettings
from steadypool.durable.worker.verdicts import (
    AttemptEnd,
    CrashLimits,
    expired,
    settlement_of,
    unfit,
    unfit_since,
)
from steadypool.rules.claim_size import (
    AHEAD,
    LOOK_AGAIN,
    MOST_AHEAD,
    MOST_BYTES,
    Pace,
    room,
    room_in_bytes,
    window,
    writes_now,
)
from tests.durable import app


def claim(attempt: int = 1, crashes: int = 0, losses: int = 0, **more: Any) -> Claim:
    return Claim(7, 0, "job-7", 3, 1, attempt, crashes, losses, "app.work", "default", b"{}", **more)


def verdict(outcome: Outcome, error: BaseException | None = None, retry: Retry | None = None, **facts: Any) -> Any:
    return settlement_of(claim(**facts), AttemptEnd(outcome, error, b"1"), retry, CrashLimits(3, 25), 0.5)


def test_what_returned_is_complete() -> None:
    settlement = verdict(Outcome.SUCCEEDED)
    assert (settlement.verdict, settlement.result, settlement.claim.token) == (Verdict.COMPLETE, b"1", 3)


@pytest.mark.parametrize("outcome", [Outcome.RETURNED, Outcome.INTERRUPTED])
def test_an_interruption_is_not_a_failure(outcome: Outcome) -> None:
    settlement = verdict(outcome, ValueError())
    assert (settlement.verdict, settlement.error, settlement.delay) == (Verdict.RETURN, None, 0.0)


def test_a_failure_is_tried_again_as_its_rule_says() -> None:
    retry = Retry(3, on=ValueError, backoff=8, jitter=False)
    assert verdict(Outcome.FAILED, ValueError(), retry).verdict is Verdict.RETRY
    assert verdict(Outcome.FAILED, ValueError(), retry, attempt=2).delay == 16
    assert verdict(Outcome.FAILED, ValueError(), retry, attempt=3).verdict is Verdict.DISCARD
    assert verdict(Outcome.FAILED, TypeError(), retry).verdict is Verdict.DISCARD
    assert verdict(Outcome.FAILED, ValueError(), None).verdict is Verdict.DISCARD
    assert verdict(Outcome.TIMED_OUT, JobTimeout("late"), Retry(3)).verdict is Verdict.DISCARD
    assert verdict(Outcome.TIMED_OUT, JobTimeout("late"), Retry(3, on=JobTimeout)).verdict is Verdict.RETRY


def test_attempts_that_were_lost_or_crashed_use_up_no_retries() -> None:
    settlement = verdict(Outcome.FAILED, ValueError(), Retry(2), attempt=10, crashes=2, losses=7)
    assert settlement.verdict is Verdict.RETRY


def test_a_retry_that_would_come_too_late_is_none() -> None:
    retry = Retry(3, backoff=8, jitter=False)
    assert verdict(Outcome.FAILED, ValueError(), retry, expires_in=5.0).verdict is Verdict.DISCARD
    assert verdict(Outcome.FAILED, ValueError(), retry, expires_in=50.0).verdict is Verdict.RETRY


def test_a_crash_counts_for_itself() -> None:
    for crashes, wanted in ((0, Verdict.RETRY), (1, Verdict.RETRY), (2, Verdict.DISCARD)):
        settlement = verdict(Outcome.CRASHED, WorkerCrashed("dead"), crashes=crashes, attempt=crashes + 1)
        assert settlement.verdict is wanted and settlement.crashed
    assert settlement.reason == "its process died 3 times"


def test_a_result_that_does_not_fit_is_never_tried_again() -> None:
    settlement = verdict(Outcome.FAILED, ResultUnfit("no"), Retry(10))
    assert settlement.verdict is Verdict.DISCARD and "does not fit" in settlement.reason


def test_a_job_that_could_not_enqueue_another_has_failed_like_any_other() -> None:
    assert verdict(Outcome.FAILED, PayloadRefused("no"), Retry(10)).verdict is Verdict.RETRY


def test_arguments_of_another_version_go_back_ever_longer_and_are_no_failure() -> None:
    settlements = [
        unfit(claim()._replace(token=token), ArgumentsUnfit("no"), waited, 3600.0)
        for token, waited in ((1, None), (2, 30.0), (3, 90.0), (10, 3599.0), (2000, None))
    ]
    assert {settlement.verdict for settlement in settlements} == {Verdict.RETURN}
    assert [settlement.delay for settlement in settlements] == [30, 60, 120, 600, 600]
    assert [settlement.error is not None for settlement in settlements] == [True, False, False, False, True]


def test_arguments_of_another_version_are_given_up_in_the_end() -> None:
    last = unfit(claim()._replace(token=7), ArgumentsUnfit("no"), 172_800.0, 172_800.0)
    assert last.verdict is Verdict.DISCARD and last.error is not None and last.error.outcome == "failed"
    assert last.reason == "no worker could call its task with its arguments for 2 days"
    assert unfit(claim(), ArgumentsUnfit("no"), 1e9, math.inf).verdict is Verdict.RETURN


def test_the_time_of_arguments_of_another_version_begins_anew_with_each_attempt() -> None:
    errors = [AttemptError(1, outcome, "", "", at=at) for at, outcome in enumerate(("returned", "failed"))]
    assert unfit_since([]) is unfit_since(errors) is None
    assert unfit_since([*errors, *(AttemptError(2, "returned", "", "", at=at) for at in (5.0, 6.0))]) == 5.0


def test_errors_are_kept_short_and_whole_in_what_matters() -> None:
    error = verdict(Outcome.FAILED, ValueError("x" * 100_000)).error
    assert len(error.message) == LONGEST_MESSAGE and len(error.traceback) == LONGEST_TRACEBACK
    carried = verdict(Outcome.FAILED, RemoteError("m", type_name="a.B", text="why", traceback="Trace")).error
    assert (carried.type_name, carried.message, carried.traceback) == ("a.B", "why", "Trace")

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert verdict(Outcome.FAILED, Mute()).error.message == "<str() of the exception raised RuntimeError>"


def test_a_job_that_is_too_late_is_discarded() -> None:
    settlement = expired(claim())
    assert settlement.verdict is Verdict.DISCARD and settlement.error is not None
    assert settlement.error.outcome == "timed_out"


def test_a_dead_worker_s_jobs_run_again_within_ten_seconds() -> None:
    # Its lease runs out, and each of the others looks once in one and a half seconds at most.
    assert WorkerSettings().lease + 1.5 * LOOK_AGAIN < 10


def test_a_worker_holds_what_it_gets_through_in_a_moment() -> None:
    assert window(4, Pace()) == 4
    assert window(4, Pace(1.0)) == 4
    assert window(4, Pace(1000.0)) == 4 + int(1000 * AHEAD)
    assert window(4, Pace(1e9)) == 4 + MOST_AHEAD
    assert Pace().after(10, 0.0) == Pace()
    pace = Pace()
    for _ in range(30):
        pace = pace.after(100, 0.1)
    assert pace.rate == pytest.approx(1000, rel=0.01)


def test_a_worker_claims_when_that_is_worth_it_or_it_is_idle() -> None:
    assert room(0, 4, Pace()) == 4
    assert room(3, 4, Pace()) == 1
    assert room(4, 4, Pace()) == 0
    fast = Pace(1000.0)  # a hundred ahead
    assert room(104, 4, fast) == room(200, 4, fast) == 0
    assert room(80, 4, fast) == 0
    assert room(79, 4, fast) == 25
    assert room(0, 4, fast) == 104


def test_short_jobs_travel_together_as_far_as_is_known() -> None:
    pace = RunTime()
    assert pace.fit_into(0.005) == 1
    for _ in range(100):
        pace.add(0.001)
    assert pace.fit_into(0.005) == 5 and pace.fit_into(0.0001) == 1
    pace.add(1.0)  # one long run counts at once
    assert pace.fit_into(0.005) == 1
    assert most_bundled(15, 8) == 0 and most_bundled(32, 8) == 2 and most_bundled(10**6, 8) == MOST_BUNDLED


def test_what_travels_together_stays_within_a_part_of_the_time_limit() -> None:
    assert [bundle_seconds(limit) for limit in (None, 60.0, 0.02)] == [0.005, 0.005, pytest.approx(0.002)]


def test_only_plain_jobs_of_a_task_that_a_process_finds_travel_together() -> None:
    for kind, most in (("process", 5), ("thread", 1)):
        adapter = TaskAdapter(app.add, kind, Slots("sqlite:///jobs.db", "worker", ("default",), 1, False, ""))
        for _ in range(100):
            adapter.run_time.add(0.00099)
        assert adapter.most_together(claim()) == most
        for alone in (claim(attempt=2), claim(options=b"{}"), claim(expires_in=5.0)):
            assert adapter.most_together(alone) == 1


def test_limits_are_kept_by_the_engine_and_not_again_by_the_worker_s_pool() -> None:
    queue = Queue("sqlite:///not-used.db")
    limited = queue.task(app.add.fn, name="limited", limit=Limit(running=1), lane="one")
    adapter = TaskAdapter(limited, "thread", Slots("sqlite:///jobs.db", "worker", ("default",), 1, False, ""))
    options, _, _ = adapter.prepare(claim())
    assert limited.task_options.gates is not None
    assert (options.gates, options.limit, options.lane, options.plain) == (None, None, None, True)


def test_ends_are_written_when_enough_have_gathered_or_workers_are_idle() -> None:
    assert not writes_now(0, 0.0, 0, 4)
    assert not writes_now(5, 0.001, 50, 4)
    assert writes_now(5, 0.006, 50, 4)
    assert writes_now(100, 0.0, 50, 4)
    assert writes_now(1, 0.0, 3, 4)


def test_the_states_and_their_moves() -> None:
    assert MOVES.keys() == set(JobState) and frozenset() == WAITING & ENDED
    assert MOVES[JobState.COMPLETED] == frozenset()
    assert all(JobState.RUNNING not in MOVES[state] for state in JobState if state is not JobState.AVAILABLE)


def test_large_arguments_are_claimed_for_free_slots_alone() -> None:
    fast = Pace(1_000_000.0)
    assert room(100, 4, fast, MOST_BYTES - 1) == 4 + MOST_AHEAD - 100
    assert room(100, 4, fast, MOST_BYTES) == 0 and room(4, 4, fast, MOST_BYTES) == 0
    assert room(3, 4, fast, MOST_BYTES) == 1 and room(0, 4, fast, MOST_BYTES) == 4
    assert room_in_bytes(0) == MOST_BYTES and room_in_bytes(MOST_BYTES) == room_in_bytes(3 * MOST_BYTES) == 1
