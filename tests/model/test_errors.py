"""Errors travel: every one pickles with its message and its facts."""

from __future__ import annotations

import concurrent.futures
import copy
import pickle
from typing import Any

import pytest

from steadypool.model import errors
from steadypool.model.errors import (
    CheckpointRefused,
    InternalError,
    JobCancelled,
    JobExit,
    JobInterrupted,
    JobTimeout,
    PoolBroken,
    PoolClosed,
    QueueFull,
    RemoteError,
    SteadypoolError,
    WorkerCrashed,
    WouldDeadlock,
)

FACTS: dict[type[SteadypoolError | JobInterrupted], dict[str, Any]] = {
    SteadypoolError: {},
    PoolClosed: {},
    PoolBroken: {},
    QueueFull: {},
    WouldDeadlock: {},
    JobTimeout: {"job_id": "j-1", "seconds": 2.5, "limit": "total_timeout", "stack": "  File x, line 1"},
    JobCancelled: {"job_id": "j-1", "cause": "shutdown"},
    JobExit: {"code": 3},
    RemoteError: {"type_name": "m.E", "text": "why", "traceback": "Traceback ..."},
    WorkerCrashed: {"pid": 42, "exitcode": -11, "signal_name": "SIGSEGV", "stack": "here", "oom": False},
    CheckpointRefused: {},
    JobInterrupted: {},
    InternalError: {},
}


def test_every_error_is_in_the_table() -> None:
    """Snooze, which carries a length of time and no message, is tested with the durable jobs that raise it."""
    assert {cls.__name__ for cls in FACTS} == set(errors.__all__) - {"Snooze"}


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickled", "copied"])
@pytest.mark.parametrize("cls", list(FACTS), ids=lambda cls: cls.__name__)
def test_it_comes_back_as_it_was(cls: type[SteadypoolError | JobInterrupted], again: Any) -> None:
    error = cls("the message", **FACTS[cls])
    error.add_note("a note")
    other = again(error)
    assert type(other) is cls
    assert str(other) == str(error) and other.args == ("the message",)
    assert other.__notes__ == ["a note"]
    for name, value in FACTS[cls].items():
        assert getattr(other, name) == value


@pytest.mark.parametrize("cls", list(FACTS), ids=lambda cls: cls.__name__)
def test_it_can_be_made_of_nothing(cls: type[SteadypoolError | JobInterrupted]) -> None:
    error = cls()
    assert isinstance(str(error), str) and isinstance(error, SteadypoolError) == isinstance(error, Exception)
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)


@pytest.mark.parametrize(
    ("cls", "standard"),
    [
        (PoolClosed, RuntimeError),
        (PoolBroken, concurrent.futures.BrokenExecutor),
        (PoolBroken, PoolClosed),
        (WouldDeadlock, RuntimeError),
        (JobTimeout, TimeoutError),
        (JobCancelled, concurrent.futures.CancelledError),
    ],
)
def test_what_a_caller_may_catch_it_as(cls: type[Exception], standard: type[Exception]) -> None:
    assert issubclass(cls, standard)


def test_a_crash_does_not_break_the_pool() -> None:
    assert not issubclass(WorkerCrashed, concurrent.futures.BrokenExecutor)


def test_a_time_limit_shows_where_the_job_was() -> None:
    assert str(JobTimeout("too long", stack="  File x, line 1\n")) == "too long\nThe job was here:\n  File x, line 1"
    assert str(JobTimeout("too long")) == "too long"
