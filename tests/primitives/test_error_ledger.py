"""The error ledger: what counts as the same failure, and that it is bounded."""

from __future__ import annotations

import threading
from typing import Any

from steadypool.model.error_text import MAX_TEXT
from steadypool.primitives.error_ledger import MAX_GROUPS, MAX_JOB_IDS, Ledger
from tests.patience import WAIT


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
        thread.join(WAIT)
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
