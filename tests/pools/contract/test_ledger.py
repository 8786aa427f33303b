"""What the books keep of a failure: samples, arguments, rates; and who is told of it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import JobFailure, Outcome, Retry, task
from steadypool.primitives.arguments import MAX_TEXT
from tests.pools.contract import jobs
from tests.pools.contract.kinds import Kind
from tests.pools.contract.stage import WAIT, Stage


def redacted(task: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """For ``show_arguments``."""
    return f"({task.rpartition('.')[2]}: {len(args)} secrets)"


def test_a_group_shows_jobs_with_their_arguments(pool: Any, tmp_path: Any) -> None:
    again = task(jobs.always_fail, retry=Retry(3, backoff=0), id="a")
    pool.submit(again, str(tmp_path / "notes")).exception(WAIT)
    (group,) = pool.errors()
    (shown,) = group.arguments  # a long path is shortened in its middle
    assert shown.startswith("('") and shown.endswith("notes')") and group.sample == f"a{shown}"
    assert (group.count, group.attempts, group.job_ids) == (1, 3, ("a",))
    assert 0 < group.rate <= 1 / 60
    assert "in always_fail" in group.traceback and "OSError: call 3" in group.traceback
    report = pool.drain(WAIT)
    assert report.errors[0].arguments == group.arguments
    assert json.loads(json.dumps(report.to_dict()))["errors"][0]["attempts"] == 3
    assert f"latest a{shown}" in str(report)


def test_a_traceback_has_its_remote_part(pool: Any) -> None:
    pool.submit(jobs.fail_because).exception(WAIT)
    (group,) = pool.errors()
    assert group.where.endswith("in fail_because")
    for line in ("in fail_because", "ValueError: the cause", "LookupError: the effect", "a note"):
        assert line in group.traceback


@pytest.mark.parametrize(("show", "expected"), [(False, ""), (redacted, "(fail: 1 secrets)")])
def test_arguments_can_be_kept_out(make_pool: Callable[..., Any], stage: Stage, show: Any, expected: str) -> None:
    pool = make_pool(1, show_arguments=show, cancel_grace=30)
    pool.submit(jobs.fail, "the password").exception(WAIT)
    _, actor = stage.start(pool)
    returned = pool.submit(jobs.fail, "another password")
    actor.tell("obey")
    report = pool.drain(0)
    assert returned.outcome is Outcome.RETURNED
    assert [row.arguments for row in report.unfinished] == [expected]
    assert [group.arguments for group in report.errors] == [(expected,)]
    assert "another password" not in json.dumps(report.to_dict())


class Rude:
    """An argument that cannot be shown."""

    def __repr__(self) -> str:
        raise SystemExit("no")


class Long:
    """An argument that says more than anybody wants to read."""

    def __repr__(self) -> str:
        return "long " * 1_000_000


def refuses(task: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """For ``show_arguments``: a function with a mistake in it."""
    raise LookupError("no rule for this task")


def test_arguments_that_cannot_be_shown_cost_nobody_anything(make_pool: Callable[..., Any]) -> None:
    heard: list[JobFailure] = []
    pool = make_pool(1, on_error=heard.append)
    for argument in (Rude(), Long(), "x" * 1_000_000):
        assert isinstance(pool.submit(jobs.fail_until, argument, wrong=1).exception(WAIT), TypeError)
    (group,) = pool.errors()
    rude, long, text = group.arguments
    assert rude == "(<repr() of an argument raised SystemExit>)"
    assert long.startswith("(long long") and text.startswith("('xxx") and max(len(long), len(text)) <= MAX_TEXT
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    report = pool.drain(WAIT)
    assert [failure.arguments for failure in heard] == [rude, long, text]
    assert len(str(report)) < 3000 and report.stats.succeeded == 1


def test_a_redaction_that_fails_shows_nothing(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1, show_arguments=refuses)
    pool.submit(jobs.fail, "the password").exception(WAIT)
    (group,) = pool.errors()
    assert group.arguments == ("(<show_arguments raised LookupError>)",)
    assert pool.drain(WAIT).stats.failed == 1


def test_on_error_hears_of_each_failure(make_pool: Callable[..., Any], stage: Stage) -> None:
    heard: list[JobFailure] = []
    pool = make_pool(1, on_error=heard.append, cancel_grace=30)
    for number in range(2):
        pool.submit(task(jobs.fail, id=f"f{number}", meta={"tenant": 1}), "x").exception(WAIT)
    late, actor = stage.start(pool, fn=task(jobs.act, id="late", timeout=0.05))
    late.exception(WAIT)
    actor.tell("return")
    pool.submit(jobs.same, 1).result(WAIT)
    pool.submit(jobs.fail, "y").cancel()
    pool.drain(WAIT)
    found = {failure.job_id: failure for failure in heard if not failure.job_id.startswith(pool.name)}
    assert [found[name].outcome for name in ("f0", "f1", "late")] == [Outcome.FAILED, Outcome.FAILED, Outcome.TIMED_OUT]
    first = found["f0"]
    assert (first.pool, first.attempts, first.arguments, first.meta) == (pool.name, 1, "('x')", {"tenant": 1})
    assert first.task.endswith("fail") and isinstance(first.error, ValueError)
    assert [found[name].group.count for name in ("f0", "f1", "late")] == [1, 2, 1]
    assert found["late"].error is late.exception(WAIT)


def test_on_error_hears_when_the_future_has_settled(make_pool: Callable[..., Any]) -> None:
    seen: list[Any] = []
    futures: list[Any] = []
    told = threading.Event()

    def look(failure: JobFailure) -> None:
        seen.append(failure.error)
        told.set()

    pool = make_pool(1, on_error=look)
    futures.append(pool.submit(jobs.fail))
    assert told.wait(WAIT)
    assert futures[0].exception(WAIT) is seen[0]


def test_what_on_error_raises_is_logged_and_does_no_harm(
    make_pool: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    def raises(failure: JobFailure) -> None:
        raise SystemExit(1)

    pool = make_pool(1, on_error=raises, name="careless")
    with caplog.at_level(logging.ERROR, "steadypool"):
        assert isinstance(pool.submit(jobs.fail).exception(WAIT), ValueError)
        assert pool.submit(jobs.same, 1).result(WAIT) == 1
        assert pool.drain(WAIT).stats.failed == 1
    (record,) = [r for r in caplog.records if "on_error" in r.message]
    assert "'careless'" in record.message and record.exc_info


async def coroutine(failure: JobFailure) -> None:
    """Not for ``on_error``."""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"on_error": "log"}, "on_error=print"),
        ({"on_error": coroutine}, "plain function"),
        ({"show_arguments": None}, "True, False, or a function"),
        ({"show_arguments": "no"}, "True, False, or a function"),
    ],
)
def test_what_makes_no_sense_is_told_at_once(kind: Kind, options: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        kind.make(1, **options)
