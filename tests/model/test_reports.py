"""The books as records: whether they balance, and how they read."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import MappingProxyType

import pytest

from steadypool import DrainReport, ErrorGroup, Outcome, PoolState, PoolStats
from steadypool.model.reports import InterruptedJob, StuckJob, UnfinishedJob, WorkerStats

STATS = PoolStats(
    name="p",
    state=PoolState.CLOSED,
    accepted=28,
    waiting=0,
    running=0,
    retrying=0,
    succeeded=1,
    failed=2,
    timed_out=3,
    cancelled=4,
    crashed=5,
    returned=6,
    interrupted=7,
    rejected=8,
    retries=9,
    stuck=0,
    workers=2,
    max_workers=2,
    capacity=2,
    queue_size=10,
    worker_rows=(WorkerStats("w-1", 42, "p-1", "m.f", 0.5, 3),),
)
REPORT = DrainReport("p", PoolState.CLOSED, 1.25, True, STATS)


def test_every_outcome_counts_once() -> None:
    assert STATS.ended == 28 and STATS.balanced


@pytest.mark.parametrize("place", ["accepted", "waiting", "running", "retrying", *(o.value for o in Outcome)])
def test_one_job_too_many_anywhere_does_not_balance(place: str) -> None:
    assert not replace(STATS, **{place: getattr(STATS, place) + 1}).balanced


@pytest.mark.parametrize("place", ["rejected", "retries", "stuck", "restarts", "sink_errors"])
def test_what_is_no_accepted_job_does_not_count(place: str) -> None:
    assert replace(STATS, **{place: 99}).balanced


UNFINISHED = UnfinishedJob("p-1", "m.f", "(1, 2)", 0.5)
INTERRUPTED = InterruptedJob("p-2", "m.g", 2, 1.5)
STUCK = StuckJob("p-3", "m.h", 9.5, '  File "h.py", line 3, in h\n    spin()\n', "shutdown")
ERRORS = ErrorGroup("m.f", "ValueError", "f.py:3 in f", 12, 0.0, 1.0, "Traceback ...", ("p-4",), "bad")


def test_a_drain_is_ok_when_everything_ended_by_itself() -> None:
    assert REPORT.ok
    assert replace(REPORT, errors=(ERRORS,)).ok
    assert not replace(REPORT, on_time=False).ok
    assert not replace(REPORT, unfinished=(UNFINISHED,)).ok
    assert not replace(REPORT, interrupted=(INTERRUPTED,)).ok
    assert not replace(REPORT, stuck=(STUCK,)).ok


def full_report() -> DrainReport:
    return replace(
        REPORT,
        on_time=False,
        unfinished=(UNFINISHED,) * 12,
        interrupted=(INTERRUPTED,),
        stuck=(STUCK,),
        errors=(ERRORS,),
        notes=("a callback has not ended",),
    )


def test_a_report_is_plain_data() -> None:
    data = full_report().to_dict()
    assert json.loads(json.dumps(data)) == data and type(data["state"]) is type(data["stats"]["state"]) is str
    assert data["ok"] is False and data["state"] == "closed"
    assert data["stuck"][0]["stack"] == STUCK.stack
    assert data["stats"]["succeeded"] == 1 and data["stats"]["worker_rows"][0]["pid"] == 42


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_what_a_meta_holds_is_made_plain() -> None:
    meta = MappingProxyType({"tenant": "a", "size": 2.5, "urgent": True, 3: None, "odd": Unprintable(), "set": {1}})
    rows = (replace(UNFINISHED, meta=meta), replace(INTERRUPTED, meta=meta), replace(STUCK, meta=meta))
    report = replace(REPORT, unfinished=rows[:1], interrupted=rows[1:2], stuck=rows[2:])
    assert report.unfinished[0].meta is meta and len({*rows}) == 3
    data = json.loads(json.dumps(report.to_dict()))
    for name in ("unfinished", "interrupted", "stuck"):
        assert data[name][0]["meta"] == {
            "tenant": "a",
            "size": 2.5,
            "urgent": True,
            "3": None,
            "odd": "<repr() raised RuntimeError>",
            "set": "{1}",
        }


def test_a_report_reads_well() -> None:
    text = str(full_report())
    assert text.splitlines()[0] == "pool 'p' closed after 1.25 s: not everything ended in time, 1 stuck"
    assert "28 accepted: 1 succeeded, 2 failed, 3 timed out" in text
    assert "never started: 12" in text and "... and 2 more" in text
    assert "p-1 m.f(1, 2) waited 0.5 s" in text
    assert "p-2 m.g in attempt 2, ran 1.5 s" in text
    assert "p-3 m.h running for 9.5 s, asked to stop (shutdown)" in text and "spin()" in text
    assert "  errors: 1 group (12 jobs)\n    12 x m.f: ValueError: bad\n        at f.py:3 in f, latest p-4" in text
    assert "note: a callback has not ended" in text


def test_an_error_without_a_place_names_none() -> None:
    report = replace(REPORT, errors=(replace(ERRORS, where=""),))
    assert str(report).endswith("12 x m.f: ValueError: bad\n        latest p-4")


def test_jobs_that_are_stuck_at_one_place_stand_together() -> None:
    other = replace(STUCK, id="p-9", stack="  elsewhere\n")
    stuck = (*(replace(STUCK, id=f"p-{n}", arguments=f"('url-{n}')") for n in range(12)), other)
    text = str(replace(REPORT, on_time=True, stuck=stuck))
    assert text.startswith("pool 'p' closed after 1.25 s: every job has its outcome, but 13 are stuck\n")
    assert text.count("spin()") == 1 and "  ... and 2 more there\n  all 12 are here:\n" in text
    assert "  stuck: p-3 m.h('url-3') running for 9.5 s, asked to stop (shutdown)\n" in text
    assert "  stuck: p-9 m.h running for 9.5 s, asked to stop (shutdown), is here:\n      elsewhere" in text
    interrupted = (replace(INTERRUPTED, arguments="(1)"),)
    text = str(replace(REPORT, on_time=False, stuck=stuck[:1], interrupted=interrupted))
    assert "not everything ended in time, 1 stuck\n" in text and "p-2 m.g(1) in attempt 2" in text


def test_the_books_read_well() -> None:
    stats = replace(STATS, held_back={"stripe": 4}, oldest_waiting=3.25, drain_estimate=8.0, capacity=1, stuck=1)
    assert str(stats).splitlines() == [
        "pool 'p' closed: 2 of 2 workers, 1 job at a time, room for 10 jobs to wait",
        "  28 accepted: 1 succeeded, 2 failed, 3 timed out, 4 cancelled, 5 crashed, 6 returned, 7 interrupted",
        "  rejected: 8, retries: 9, stuck workers: 1, held back by stripe: 4",
        "  the oldest job has waited 3.2 s, a drain would take 8.0 s",
        "  w-1 runs p-1 m.f for 0.5 s",
    ]
    assert repr(stats).startswith("PoolStats(name='p', ")


def test_many_workers_are_not_all_listed() -> None:
    text = str(replace(STATS, worker_rows=STATS.worker_rows * 12))
    assert text.count("w-1 runs") == 10 and text.endswith("... and 2 more")


def test_books_of_nothing_are_two_lines() -> None:
    empty = dict.fromkeys((*(outcome.value for outcome in Outcome), "accepted", "rejected", "retries"), 0)
    text = str(replace(STATS, **empty, queue_size=None, worker_rows=(), name="\x1b[2J"))  # type: ignore[arg-type]
    assert text == "pool '\\x1b[2J' closed: 2 of 2 workers, room for any number of jobs to wait\n  0 accepted: none"


def test_a_group_of_errors_reads_well() -> None:
    group = replace(ERRORS, arguments=("(1)",), rate=0.5, traceback="Traceback ...\nValueError: \x1b[2J\n")
    first, place, *rest = str(group).splitlines()
    assert first == "12 x m.f: ValueError: bad" and re.fullmatch(
        r"  at f.py:3 in f; first \S+, last \S+, 30.0 a minute", place
    )
    assert rest == ["  latest job: p-4(1)", "    Traceback ...", r"    ValueError: \x1b[2J"]
    assert "at an unknown place; " in str(replace(ERRORS, where="")) and repr(group).startswith("ErrorGroup(task=")


def test_a_report_of_nothing_says_so() -> None:
    empty = replace(STATS, accepted=0, **{outcome.value: 0 for outcome in Outcome})
    assert str(replace(REPORT, stats=empty)) == "pool 'p' closed after 1.25 s: on time\n  0 accepted: none ended"
