"""Exceptions come out of a worker as they were raised in it."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from typing import Any

import pytest

from steadypool import Outcome, RemoteError
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT
from tests.pools.processes import deeds
from tests.pools.processes.methods import METHODS


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Any:
    """How workers are started. These tests share theirs."""
    return request.param


def printed(error: BaseException) -> str:
    """The error as Python prints it."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("text", 1, None),
        KeyError("key"),
        OSError(2, "No such file", "name", None, "other"),
        FileNotFoundError(2, "No such file", "name"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        SyntaxError("bad", ("file", 3, 4, "text")),
        ImportError("text", name="module", path="path"),
        AttributeError("text", name="attribute", obj="obj"),
        jobs.Odd("odd"),
        RemoteError("of one's own", type_name="x"),
        TimeoutError("a job's own"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_type_arguments_and_attributes(shared_pool: Any, error: BaseException) -> None:
    error.add_note("a note")
    error.extra = [1, 2]  # type: ignore[attr-defined]
    raised = shared_pool.submit(jobs.fail_with, error).exception(WAIT)
    assert type(raised) is type(error)
    assert raised.args == error.args
    assert str(raised) == str(error)
    for name in ("extra", "__notes__", "errno", "strerror", "filename", "filename2", "start", "reason", "value"):
        assert getattr(raised, name, None) == getattr(error, name, None), name
    for name in ("msg", "lineno", "offset", "text", "type_name"):
        assert getattr(raised, name, None) == getattr(error, name, None), name


@pytest.mark.parametrize(
    ("make", "attributes"),
    [
        (deeds.fail_with_two_words, {"one": "this", "other": "that"}),
        (deeds.fail_holding, {"code": 42}),
    ],
)
def test_an_init_that_cannot_be_called_again(shared_pool: Any, make: Any, attributes: dict[str, Any]) -> None:
    future = shared_pool.submit(make)
    error = future.exception(WAIT)
    assert future.outcome is Outcome.FAILED
    assert not isinstance(error, RemoteError)
    assert {name: getattr(error, name) for name in attributes} == attributes
    assert f"in {make.__name__}" in printed(error)


def test_those_of_the_standard_library(shared_pool: Any) -> None:
    error = shared_pool.submit(run_failing).exception(WAIT)
    assert isinstance(error, subprocess.CalledProcessError)
    assert (error.returncode, error.cmd[-1], error.output) == (3, "import sys; print(1); sys.exit(3)", b"1\n")
    error = shared_pool.submit(json.loads, "{").exception(WAIT)
    assert isinstance(error, json.JSONDecodeError)
    assert (error.pos, error.doc) == (1, "{")


def run_failing() -> None:
    """Have a program fail."""
    subprocess.run([sys.executable, "-c", "import sys; print(1); sys.exit(3)"], check=True, stdout=subprocess.PIPE)


def test_the_remote_traceback_is_shown_when_printed(shared_pool: Any) -> None:
    error = shared_pool.submit(jobs.fail_deep, 2).exception(WAIT)
    text = printed(error)
    assert text.count("in fail_deep") == 3
    assert "1 / 0" in text
    assert "child.py" not in text
    assert "direct cause" in text, "as concurrent.futures has it"


def test_cause_context_and_notes(shared_pool: Any) -> None:
    error = shared_pool.submit(jobs.fail_because).exception(WAIT)
    assert (type(error), error.args, error.__notes__) == (LookupError, ("the effect",), ["a note"])
    assert (type(error.__cause__), error.__cause__.args) == (ValueError, ("the cause",))
    error = shared_pool.submit(fail_while_failing).exception(WAIT)
    assert type(error) is KeyError
    assert type(error.__context__) is deeds.TwoWords
    error = shared_pool.submit(fail_from_none).exception(WAIT)
    assert type(error) is KeyError
    assert error.__suppress_context__ or error.__context__ is None
    assert "TwoWords" not in printed(error)


def fail_while_failing() -> None:
    """Raise an error with a context."""
    try:
        deeds.fail_with_two_words()
    finally:
        raise KeyError("later")


def fail_from_none() -> None:
    """Raise an error that hides its context."""
    try:
        deeds.fail_with_two_words()
    except deeds.TwoWords:
        raise KeyError("later") from None


def test_a_group(shared_pool: Any) -> None:
    error = shared_pool.submit(deeds.fail_with_a_group).exception(WAIT)
    assert isinstance(error, ExceptionGroup)
    assert error.message == "several"
    assert "ValueError: one" in printed(error)
    assert [type(each) for each in error.exceptions] == [ValueError, deeds.TwoWords]
    error = shared_pool.submit(deeds.fail_with_a_hopeless_group).exception(WAIT)
    assert isinstance(error, ExceptionGroup)
    assert [type(each) for each in error.exceptions] == [RemoteError, KeyError]


def test_a_local_type(shared_pool: Any) -> None:
    error = shared_pool.submit(deeds.fail_with_local_type).exception(WAIT)
    assert "Local" in (error.type_name if isinstance(error, RemoteError) else type(error).__qualname__)
    assert "from here" in str(error)


@pytest.mark.parametrize(
    ("make", "name", "text"),
    [
        (deeds.fail_homesick, "tests.pools.processes.deeds.Homesick", "away"),
        (deeds.fail_leaving, "tests.pools.processes.deeds.Leaver", "away"),
        (deeds.fail_holding_in_args, "tests.pools.processes.deeds.HoldingInArgs", "with a lock"),
    ],
)
def test_a_stand_in_for_the_hopeless(warm_pool: Any, make: Any, name: str, text: str) -> None:
    error = warm_pool.submit(make).exception(WAIT)
    assert isinstance(error, RemoteError)
    assert error.type_name == name
    assert text in error.text
    assert name in str(error)
    assert text in str(error)
    assert f"in {make.__name__}" in error.traceback
    assert f"in {make.__name__}" in printed(error)
    [group] = warm_pool.errors()
    assert make.__name__ in group.where


def test_the_ledger_groups_by_the_line_in_the_worker(warm_pool: Any) -> None:
    for future in [warm_pool.submit(jobs.fail, str(number)) for number in range(5)]:
        future.exception(WAIT)
    [group] = warm_pool.errors()
    assert group.count == 5
    assert group.where.endswith("in fail")
    assert "jobs.py" in group.where
    assert "raise ValueError(message)" in group.traceback


def test_a_huge_message_is_carried(shared_pool: Any) -> None:
    error = shared_pool.submit(jobs.fail, "x" * 3_000_000).exception(WAIT)
    assert isinstance(error, ValueError)
    assert len(str(error)) == 3_000_000


def test_an_error_that_holds_an_array(shared_pool: Any) -> None:
    import numpy as np

    error = shared_pool.submit(jobs.fail_with, LookupError(np.arange(100_000))).exception(WAIT)
    assert isinstance(error, LookupError)
    assert error.args[0].sum() == sum(range(100_000))
