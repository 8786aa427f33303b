"""The error ledger: what counts as the same failure, and that it is bounded."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from steadypool import JobTimeout, RemoteError
from steadypool.primitives.error_ledger import (
    MAX_GROUPS,
    MAX_JOB_IDS,
    MAX_TEXT,
    Ledger,
    first_line,
    place,
    traceback_text,
    type_name,
    where_raised,
)


class Own(Exception):
    """An exception of this module."""


def raised(error: BaseException) -> BaseException:
    """The error, having been raised here."""
    try:
        raise error
    except BaseException as caught:
        return caught


def raised_elsewhere(error: BaseException) -> BaseException:
    """The error, having been raised on another line."""
    try:
        raise error
    except BaseException as caught:
        return caught


def test_failures_are_one_group_by_task_type_and_line() -> None:
    ledger = Ledger()
    for number in range(3):
        ledger.add(f"j-{number}", "t", raised(ValueError(f"message {number}")))
    ledger.add("j-3", "other task", raised(ValueError("x")))
    ledger.add("j-4", "t", raised(KeyError("x")))
    ledger.add("j-5", "t", raised_elsewhere(ValueError("x")))
    groups = ledger.groups()
    assert [group.count for group in groups] == [3, 1, 1, 1]
    first = groups[0]
    assert (first.task, first.type_name, first.message) == ("t", "ValueError", "message 0")
    assert (
        first.where.endswith(" in raised") and "tests" not in first.where.partition(":")[0].rpartition("machinery")[0]
    )
    assert first.job_ids == ("j-0", "j-1", "j-2")
    assert first.first_seen <= first.last_seen
    assert "ValueError: message 0" in first.traceback and "raise error" in first.traceback


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert where_raised(ValueError()) == ""


def test_the_innermost_line_counts() -> None:
    def inner() -> None:
        raise OSError("x")

    def outer() -> None:
        inner()

    with pytest.raises(OSError) as caught:
        outer()
    assert where_raised(caught.value).endswith(" in inner")


def test_the_place_of_an_error_from_another_process_comes_with_its_cause() -> None:
    error, cause = ValueError("here"), Own("there")
    cause.steadypool_where = "work/job.py:3 in run"  # type: ignore[attr-defined]
    error.__cause__ = cause
    assert where_raised(error) == "work/job.py:3 in run"
    assert where_raised(raised(error)).endswith(" in raised")  # raised here after all


def test_a_circle_of_causes_ends() -> None:
    one, other = ValueError(), OSError()
    one.__cause__, other.__cause__ = other, one
    assert where_raised(one) == ""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError(), "ValueError"),
        (Own(), f"{__name__}.Own"),
        (RemoteError(type_name="m.Odd"), "m.Odd"),
        (RemoteError(), "steadypool.RemoteError"),
    ],
)
def test_what_a_type_is_called(error: Exception, expected: str) -> None:
    assert type_name(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError(), ""),
        (ValueError("x" * 1000), "x" * 300),
        (KeyError("k"), "'k'"),
        (JobTimeout("too long", stack="  File ..."), "too long"),
    ],
)
def test_the_first_line_of_a_message(error: Exception, expected: str) -> None:
    assert first_line(error) == expected


@pytest.mark.parametrize(
    ("filename", "expected"),
    [("/a/b/c/d.py", "c/d.py:7 in f"), ("d.py", "d.py:7 in f"), ("<string>", "<string>:7 in f")],
)
def test_how_a_place_is_written(filename: str, expected: str) -> None:
    assert place(filename, 7, "f") == expected


def test_groups_are_bounded_and_the_longest_unseen_goes() -> None:
    ledger = Ledger()
    for number in range(MAX_GROUPS):
        ledger.add("j", f"task {number}", OSError())
    ledger.add("j", "task 0", OSError())  # seen again
    ledger.add("j", "one more", OSError())
    tasks = {group.task for group in ledger.groups()}
    assert len(tasks) == MAX_GROUPS
    assert "task 0" in tasks and "one more" in tasks and "task 1" not in tasks


def test_a_group_is_bounded() -> None:
    ledger = Ledger()
    for number in range(500):
        ledger.add(f"j-{number}", "t", raised(ValueError("x" * 10 * MAX_TEXT)))
    (group,) = ledger.groups()
    assert group.count == 500
    assert group.job_ids == tuple(f"j-{number}" for number in range(500 - MAX_JOB_IDS, 500))
    assert len(group.traceback) < MAX_TEXT + 100 and len(group.message) == 300


def test_a_long_traceback_keeps_both_ends() -> None:
    text = traceback_text(raised(ValueError("begin " + "x" * 3 * MAX_TEXT + " end")))
    assert text.startswith("Traceback") and text.rstrip().endswith(" end") and "\n...\n" in text


def test_the_most_frequent_come_first() -> None:
    ledger = Ledger()
    for task, times in [("a", 1), ("b", 5), ("c", 3)]:
        for _ in range(times):
            ledger.add("j", task, OSError())
    assert [group.task for group in ledger.groups()] == ["b", "c", "a"]


def test_many_threads_count_and_nothing_is_lost() -> None:
    ledger = Ledger()
    start = threading.Barrier(4)

    def fail() -> None:
        start.wait()
        for number in range(300):
            ledger.add(f"j-{number}", f"task {number % 3}", raised(ValueError("x")))
            ledger.groups()

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [group.count for group in ledger.groups()] == [400, 400, 400]


def test_an_error_that_fails_another_job_while_it_is_formatted() -> None:
    ledger = Ledger()

    class Busy(Exception):
        """Its text causes another failure."""

        def __str__(self) -> str:
            ledger.add("j-2", "inner", OSError())
            return "busy"

    ledger.add("j-1", "outer", raised(Busy()))
    found: dict[str, Any] = {group.task: group for group in ledger.groups()}
    assert set(found) == {"outer", "inner"}
