"""What the tests of every pool share."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from steadypool.durable.worker import heartbeat
from steadypool.pools.processes.ipc import stack_request
from tests.forks import Forked
from tests.patience import STACK
from tests.pools.contract.differences import is_left_out
from tests.pools.contract.kinds import Kind
from tests.pools.contract.stage import Stage

# What jobs of tests need, imported once and not by each worker process that the forkserver starts.
multiprocessing.set_forkserver_preload(
    [
        *("pytest", "numpy", "tests.pools.contract.jobs", "tests.pools.processes.deeds"),
        *("steadypool.durable.client.queue", "steadypool.durable.worker.run_job"),
        "steadypool.durable.engine.sqlite.engine",
    ]
)

# A busy machine is no failure. The examples are the same each time, and new ones with STEADYPOOL_TEST_LONG.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=os.environ.get("STEADYPOOL_TEST_LONG") != "1",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the scenarios that a kind of pool cannot have."""
    left_out = [item for item in items if is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without the garbage collector: there is nothing to free yet, and it takes a fifth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin each folder with nothing for `gc.collect()` to look at: with what is left it takes a tenth of a second."""
    _set_aside(item.path.parent)


@cache
def _set_aside(folder: Path) -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _helpers_are_forked() -> Iterator[None]:
    """The helper process of each worker that the tests start in this process: an interpreter takes 0.2 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heartbeat, "start_program", _fork_helper)
        yield


def _fork_helper(module: str) -> Forked:
    return Forked(module, text=False, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)


@pytest.fixture(autouse=True)
def loops_end() -> Iterator[None]:
    """No loop of a pool of kind asyncio outlives its test."""
    yield
    used = sys.modules.get("tests.pools.contract.on_a_loop")  # the other kinds need no asyncio
    if used is not None:
        used.OnALoop.end_loops()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Where the jobs of `jobs.act` wait for the test."""
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def patient_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that want the stack of a worker process, which on a busy machine may not answer within 0.1 s."""
    monkeypatch.setattr(stack_request, "STACK_SECONDS", STACK)


@pytest.fixture
def make_pool(kind: Kind, stage: Stage) -> Iterator[Callable[..., Any]]:
    """Makes pools. At the end of the test they are drained, and the books must balance."""
    pools: list[Any] = []

    def make(max_workers: int | None = 2, **options: Any) -> Any:
        pools.append(kind.make(max_workers, **options))
        return pools[-1]

    yield make
    stage.close()
    for pool in pools:
        report = pool.drain(timeout=10)
        stats = report.stats
        assert stats.balanced and pool.stats().balanced, stats
        assert stats.waiting == stats.running == stats.retrying == 0, stats


@pytest.fixture
def pool(make_pool: Callable[..., Any]) -> Any:
    """A pool of two workers."""
    return make_pool(2)
