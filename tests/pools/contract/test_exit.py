"""The end of the interpreter, and of a pool nobody refers to any more."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from steadypool.model.events import PoolClosing
from tests.patience import WAIT, takes
from tests.pools.contract import jobs, program
from tests.pools.contract.kinds import Kind
from tests.pools.contract.stage import Stage
from tests.pools.contract.watch import Watch

pytestmark = pytest.mark.differs_on("asyncio", "it ends with its loop: see tests/pools/aio/test_endings.py")

START_OF_PYTHON = 10.0
"""Seconds that a loaded machine may take to start and end an interpreter."""


def run(kind: Kind, which: Callable[..., None], *arguments: str) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a program."""
    process = program.start(kind, which, *arguments)
    try:
        output, errors = process.communicate(timeout=2 * WAIT)
    finally:
        process.kill()
        process.wait()
    return process.returncode, output, errors


def test_a_pool_left_open_is_drained(kind: Kind, tmp_path: Any) -> None:
    path = str(tmp_path / "notes")
    assert run(kind, program.left_open, path) == (0, "end of main\n", "")
    assert len(jobs.lines(path)) == 20


def test_what_is_stuck_is_named_and_does_not_hold_the_exit(kind: Kind, stage: Stage) -> None:
    with takes(START_OF_PYTHON):
        code, output, errors = run(kind, program.left_open_stuck, stage.address)
    assert (code, output) == (0, "end of main\n")
    assert (
        "leaky" in errors
        and "tests.pools.contract.jobs.act" in errors
        and "tests.pools.contract.jobs.nothing" in errors
    )
    assert "Traceback" not in errors and "Exception" not in errors
    if not kind.kills:
        assert "in act" in errors  # where it is stuck


def test_several_pools_are_drained_at_the_same_time(kind: Kind, stage: Stage) -> None:
    code, output, errors = run(kind, program.left_open_by_two, stage.address)
    assert (code, output) == (0, "end of main\n")
    assert errors.count("at interpreter exit") == 3


def test_a_pool_never_used(kind: Kind) -> None:
    assert run(kind, program.left_open_unused) == (0, "end of main\n", "")


def test_threads_may_use_their_pool_to_the_last(kind: Kind, tmp_path: Any) -> None:
    path = str(tmp_path / "notes")
    assert run(kind, program.left_open_by_a_thread, path) == (0, "end of main\n", "")
    assert jobs.lines(path) == [str(number) for number in range(5)] or len(jobs.lines(path)) == 5


def test_a_retry_is_waited_for(kind: Kind, tmp_path: Any) -> None:
    path = str(tmp_path / "notes")
    assert run(kind, program.left_open_with_retry, path) == (0, "end of main\n", "")
    assert len(jobs.lines(path)) == 3


def test_the_exit_code_of_a_failed_program_stays(kind: Kind) -> None:
    code, _, errors = run(kind, program.left_open_after_failing)
    assert code == 1 and "main failed" in errors and "steadypool: at" not in errors


# -- a pool nobody refers to


@pytest.mark.parametrize("used", [False, True])
def test_a_pool_nobody_refers_to_ends(kind: Kind, stage: Stage, used: bool) -> None:
    pool = kind.make(1)
    watch = Watch(pool)
    if used:
        pool.submit(jobs.nothing).result(WAIT)
    gone = weakref.ref(pool)
    watch.unsubscribe = lambda: None
    del pool
    gc.collect()
    assert gone() is None
    if used:
        watch.wait_for(PoolClosing)


def test_it_ends_after_the_jobs_it_has(kind: Kind, stage: Stage) -> None:
    pool = kind.make(1)
    future, actor = stage.start(pool)
    queued = pool.submit(jobs.same, 1)
    del pool
    gc.collect()
    assert not future.done()
    actor.tell("return")
    assert (future.result(WAIT), queued.result(WAIT)) == ("actor", 1)


def test_a_bound_method_or_a_map_with_input_keeps_it(kind: Kind) -> None:
    submit = kind.make(1).submit
    gc.collect()
    assert submit(jobs.same, 1).result(WAIT) == 1
    results = kind.make(1).map(jobs.same, range(100), buffersize=3)
    gc.collect()
    assert list(results) == list(range(100))
