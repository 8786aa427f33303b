"""The poison matrix: what breaks other pools costs one job here."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from steadypool import JobExit, Outcome, PoolState, RemoteError, WorkerCrashed
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.processes import deeds
from tests.pools.processes.methods import on_each_parent
from tests.pools.processes.warming import warm

CANNOT_PICKLE = (TypeError, pickle.PicklingError, AttributeError)


@dataclass(frozen=True)
class Poison:
    """A job that ought to fail alone."""

    name: str
    fn: Callable[..., Any]
    error: type[BaseException] | tuple[type[BaseException], ...]
    args: Callable[[], tuple[Any, ...]] = field(default=tuple)
    """Makes the arguments."""
    says: str = ""
    outcome: Outcome = Outcome.FAILED


MATRIX = [
    Poison("SIGKILL of its worker", deeds.kill, WorkerCrashed, outcome=Outcome.CRASHED),
    Poison("os._exit in job", deeds.leave, WorkerCrashed, lambda: (1,), outcome=Outcome.CRASHED),
    Poison("sys.exit in job", jobs.leave, JobExit, lambda: (3,)),
    Poison("KeyboardInterrupt in job", deeds.raise_interrupt, JobExit),
    Poison("result cannot be pickled", deeds.make_lock, CANNOT_PICKLE, says="lock"),
    Poison("exception cannot be rebuilt", deeds.fail_with_two_words, deeds.TwoWords, says="this and that"),
    Poison(
        "result cannot be loaded",
        deeds.make_hostile,
        LookupError,
        lambda: (int, deeds.raise_lookup_error),
        says="not to be loaded",
    ),
    Poison("argument cannot be pickled", jobs.same, CANNOT_PICKLE, lambda: (deeds.make_lock(),), says="lock"),
    Poison(
        "argument's __getstate__ raises",
        jobs.same,
        RuntimeError,
        lambda: (deeds.HostileState(),),
        says="no state for anybody",
    ),
]
"""The rows of the matrix, as they were tried on others."""

MORE = [
    Poison("segfault", deeds.segfault, WorkerCrashed, outcome=Outcome.CRASHED),
    Poison("all descriptors closed", deeds.close_everything, WorkerCrashed, outcome=Outcome.CRASHED),
    Poison("recursion without end", deeds.recurse, RecursionError),
    Poison("result is a generator", deeds.make_generator, CANNOT_PICKLE, says="generator"),
    Poison("argument's pickling raises", jobs.same, LookupError, lambda: (deeds.Hostile(deeds.raise_lookup_error),)),
    Poison("result's pickling raises", deeds.make_hostile, LookupError, lambda: (deeds.raise_lookup_error,)),
    Poison("result's pickling exits", deeds.make_hostile, JobExit, lambda: (deeds.raise_system_exit,)),
    Poison(
        "result's pickling kills", deeds.make_hostile, WorkerCrashed, lambda: (deeds.kill,), outcome=Outcome.CRASHED
    ),
    Poison("result's loading exits", deeds.make_hostile, JobExit, lambda: (int, deeds.raise_system_exit)),
    Poison("result's loading interrupts", deeds.make_hostile, JobExit, lambda: (int, deeds.raise_interrupt)),
    Poison(
        "argument cannot be loaded",
        jobs.same,
        LookupError,
        lambda: (deeds.Hostile(load=deeds.raise_lookup_error),),
        says="not to be loaded",
    ),
    Poison("argument's loading exits", jobs.same, JobExit, lambda: (deeds.Hostile(load=deeds.raise_system_exit),)),
    Poison(
        "argument's loading kills",
        jobs.same,
        WorkerCrashed,
        lambda: (deeds.Hostile(load=deeds.kill),),
        outcome=Outcome.CRASHED,
    ),
    Poison("exception cannot be loaded here", deeds.fail_homesick, RemoteError, says="away"),
    Poison("exception exits when it is loaded here", deeds.fail_leaving, RemoteError, says="Leaver"),
    Poison("exception cannot be printed", deeds.fail_silently, (deeds.Silent, RemoteError)),
    Poison("exception holds a lock", deeds.fail_holding, deeds.Holding, says="with a lock"),
    Poison("exception has a lock in its arguments", deeds.fail_holding_in_args, RemoteError, says="HoldingInArgs"),
]
"""Of the same kind."""


@on_each_parent
@pytest.mark.parametrize("poison", MATRIX, ids=lambda poison: poison.name)
def test_only_the_poisoned_job_fails(make_pool: Any, stage: Stage, poison: Poison) -> None:
    check_poison(make_pool, stage, poison)


@pytest.mark.parametrize("poison", MORE, ids=lambda poison: poison.name)
def test_only_the_poisoned_job_fails_of_more(make_pool: Any, stage: Stage, poison: Poison) -> None:
    check_poison(make_pool, stage, poison)


def check_poison(make_pool: Any, stage: Stage, poison: Poison) -> None:
    """Have a job run, then the poison, then another job."""
    pool = warm(make_pool(2, cancel_grace=0.5))
    began = pool.stats().accepted
    sibling, actor = stage.start(pool)
    poisoned = pool.submit(poison.fn, *poison.args())
    later = pool.submit(jobs.same, "later")

    error = poisoned.exception(WAIT)
    assert isinstance(error, poison.error), repr(error)
    assert poisoned.outcome is poison.outcome
    if poison.says:
        assert poison.says in str(error)

    assert later.result(WAIT) == "later"
    assert not sibling.done()
    actor.tell("return")
    assert sibling.result(WAIT) == "actor"

    report = pool.drain(timeout=WAIT)
    assert report.ok
    assert report.state is PoolState.CLOSED
    stats = report.stats
    assert stats.balanced
    assert (stats.accepted - began, getattr(stats, poison.outcome.value)) == (3, 1)
    assert stats.succeeded == stats.accepted - 1
    assert sum(group.count for group in report.errors) == 1


@on_each_parent
def test_as_many_poisons_as_workers_and_more(warm_pool: Any) -> None:
    """Some pools lose a worker to each."""
    futures = [(poison, warm_pool.submit(poison.fn, *poison.args())) for poison in MATRIX + MORE]
    for poison, future in futures:
        assert isinstance(future.exception(WAIT), poison.error), poison.name
        assert future.outcome is poison.outcome, poison.name
    assert [warm_pool.submit(jobs.same, number).result(WAIT) for number in range(4)] == [0, 1, 2, 3]


def test_a_fork_that_returns_twice_ends_one_job_once(warm_pool: Any, stage: Stage) -> None:
    sibling, actor = stage.start(warm_pool)
    for _ in range(5):
        assert warm_pool.submit(deeds.fork_and_return).result(WAIT) == "parent"
        assert warm_pool.submit(jobs.same, 1).result(WAIT) == 1
    actor.tell("return")
    assert sibling.result(WAIT) == "actor"
