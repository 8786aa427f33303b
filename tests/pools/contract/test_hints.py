"""What a newcomer gets wrong first, and what the pool says to it."""

from __future__ import annotations

import threading
import traceback
from typing import Any

import pytest

import steadypool
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage


def test_an_option_given_as_an_argument(pool: Any) -> None:
    error = pool.submit(jobs.double, 1, timeout=5).exception(WAIT)
    assert isinstance(error, TypeError)
    assert "pool.submit(task(double, timeout=5), ...)" in "".join(traceback.format_exception(error))
    other = pool.submit(jobs.double, 1, colour=5).exception(WAIT)
    assert "task(" not in "".join(traceback.format_exception(other))


def test_every_public_name_is_listed() -> None:
    assert set(steadypool.__all__) <= set(dir(steadypool))


def test_which_argument_cannot_be_pickled() -> None:
    with steadypool.ProcessPool(1) as pool:
        for args, kwargs, named in (
            ((1, threading.Lock()), {}, "argument 2 of the job"),
            ((1,), {"by": {"deep": [0, threading.Lock()]}}, "argument by['deep'][1] of the job"),
        ):
            error = pool.submit(jobs.same, *args, **kwargs).exception(WAIT)
            assert f"(it is {named} that cannot be pickled, of type lock)" in error.__notes__


def test_stuck_and_interrupted_jobs_are_named_with_their_arguments(make_pool: Any, stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=0)
    future = pool.submit(jobs.act, stage.address, "the one")
    actor = stage.enter()
    report = pool.drain(0)
    assert future.outcome is steadypool.Outcome.INTERRUPTED
    assert all("'the one'" in row.arguments for row in (*report.interrupted, *report.stuck))
    assert "'the one'" in str(report) and report.to_dict()["interrupted"][0]["arguments"]
    actor.close()


@pytest.mark.parametrize("show", [False, lambda task, args, kwargs: "(secret)"])
def test_what_is_not_to_be_shown_is_not(make_pool: Any, stage: Stage, show: Any) -> None:
    pool = make_pool(1, cancel_grace=0, show_arguments=show)
    pool.submit(jobs.act, stage.address, "the one")
    actor = stage.enter()
    assert "the one" not in str(pool.drain(0))
    actor.close()
