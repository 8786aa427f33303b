"""What the drain report says, to programs and to people."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import task
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage


class Unprintable:
    """An argument whose ``repr`` raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Slow:
    """An argument whose ``repr`` takes its time."""

    def __repr__(self) -> str:
        time.sleep(0.1)
        return "Slow()"


class Endless:
    """An argument whose ``repr`` does not end, for as long as a test may take."""

    def __repr__(self) -> str:
        time.sleep(WAIT)
        return "Endless()"


@pytest.mark.parametrize("kind_of_argument", [Slow, Endless])
def test_slow_arguments_do_not_hold_up_a_drain(
    make_pool: Callable[..., Any], stage: Stage, kind_of_argument: Any
) -> None:
    pool = make_pool(1, cancel_grace=0.05)
    stage.start(pool)
    futures = [pool.submit(jobs.same, kind_of_argument()) for _ in range(500)]
    report = pool.drain(0)
    assert report.elapsed < WAIT  # 500 * 0.1 s is more
    assert len(report.unfinished) == 500 and all(future.done() for future in futures)
    assert "too long" in report.unfinished[-1].arguments


def messy_report(make_pool: Callable[..., Any], stage: Stage) -> Any:
    """The report of a drain in which everything happened that can."""
    pool = make_pool(1, cancel_grace=0.05, name="mailer")
    pool.submit(jobs.fail, "no such host").exception()
    stage.start(pool, fn=task(jobs.act, id="hangs", meta={"tenant": object()}))
    pool.submit(task(jobs.everything, id="never"), "x" * 10_000, list(range(10_000)), **{f"k{n}": n for n in range(30)})
    pool.submit(jobs.everything, Unprintable())
    for number in range(20):
        pool.submit(jobs.same, number)
    return pool.drain(0)


def test_to_dict_is_plain_data(make_pool: Callable[..., Any], stage: Stage) -> None:
    report = messy_report(make_pool, stage)
    data = json.loads(json.dumps(report.to_dict()))
    assert (data["name"], data["state"], data["on_time"], data["ok"]) == ("mailer", "closed", False, False)
    assert data["stats"]["returned"] == 22 and data["stats"]["failed"] == 1
    assert data["unfinished"][0]["id"] == "never"
    assert data["interrupted"][0]["id"] == "hangs"
    assert data["interrupted"][0]["meta"]["tenant"].startswith("<object object")
    assert all(row["meta"]["tenant"] for row in data["stuck"])
    assert data["errors"][0]["message"] == "no such host"
    assert {"elapsed", "stuck"} <= set(data)


def test_the_text_is_for_people(make_pool: Callable[..., Any], stage: Stage) -> None:
    text = str(messy_report(make_pool, stage))
    assert "mailer" in text and "never" in text and "hangs" in text and "no such host" in text
    assert "24 accepted" in text and "22 returned" in text
    assert "12 more" in text  # not every one of 22 is listed
    assert len(text) < 6000
    assert max(len(line) for line in text.splitlines()) < 700


def test_arguments_are_shortened_and_may_not_be_printable(make_pool: Callable[..., Any], stage: Stage) -> None:
    report = messy_report(make_pool, stage)
    assert len(report.unfinished[0].arguments) < 1000
    assert "RuntimeError" in report.unfinished[1].arguments or "Unprintable" in report.unfinished[1].arguments


def test_a_good_end_is_one_or_two_lines(pool: Any) -> None:
    pool.submit(jobs.nothing)
    report = pool.drain(10)
    assert "on time" in str(report) and "1 succeeded" in str(report)
    assert len(str(report).splitlines()) <= 2
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True
