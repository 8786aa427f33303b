"""Average run times."""

from __future__ import annotations

import pytest

from steadypool.primitives.run_times import KEPT, MOST_TASKS, RunTimes


def test_nothing_is_known_before_a_run() -> None:
    assert RunTimes().mean is None


def test_a_sample_stands_for_as_many_runs_as_it_says() -> None:
    times = RunTimes()
    times.add(1.0)
    times.add(0.001 * 64, 64)
    assert times.mean == pytest.approx(1.064 / 65)


def test_what_is_long_ago_counts_less_and_less() -> None:
    times = RunTimes()
    for _ in range(10 * KEPT):
        times.add(1.0)
    for _ in range(10 * KEPT):
        times.add(3.0)
    assert times.mean == pytest.approx(3.0, rel=0.01)


def test_a_clock_that_seems_to_go_back_does_no_harm() -> None:
    times = RunTimes()
    times.add(-1.0)
    assert times.mean == 0.0


def test_each_task_has_its_own() -> None:
    times = RunTimes()
    times.add(1.0, task="slow")
    times.add(0.064, 64, task="quick")
    times.add(3.0)
    means = times.means()
    assert means.of_task == {"slow": 1.0, "quick": pytest.approx(0.001)}
    assert means.of_all == pytest.approx(4.064 / 66)
    times.add_to_task("slow", 3.0)
    assert times.means().of_task["slow"] == 2.0 and times.mean == means.of_all


def test_tasks_are_bounded() -> None:
    times = RunTimes()
    for number in range(2 * MOST_TASKS):
        times.add(1.0, task=f"t{number}")
    means = times.means()
    assert len(means.of_task) == MOST_TASKS and means.of_all == 1.0
