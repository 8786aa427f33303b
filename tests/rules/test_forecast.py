"""The drain forecast: numbers alone."""

from __future__ import annotations

import pytest

from steadypool.rules.forecast import RELIEF, Means, Run, drain_estimate, spread, warns


@pytest.mark.parametrize(
    ("mean", "waiting", "running", "capacity", "expected"),
    [
        (None, 100, [(5.0, None)], 4, None),
        (1.0, 0, [], 4, 0.0),
        (1.0, 100, [], 4, 25.0),
        (1.0, 1, [], 4, 1.0),  # no quicker than one run
        (1.0, 0, [(0.25, None)], 4, 0.75),
        (1.0, 10, [(0.5, None), (0.5, None)], 2, 5.5),
        (1.0, 0, [(100.0, None)], 4, 99.0),  # long over the average: expect as much again
        (1.0, 0, [(100.0, 2.0)], 4, 2.0),  # but its limit ends it
        (1.0, 0, [(100.0, -0.1)], 4, 0.0),
        (1.0, 3, [], 0, 3.0),  # every worker is stuck: as if one came back
    ],
)
def test_the_estimate(
    mean: float | None, waiting: int, running: list[tuple[float, float | None]], capacity: int, expected: float | None
) -> None:
    runs = [Run("task", ran, left) for ran, left in running]
    assert drain_estimate(Means(mean), {"task": waiting}, runs, capacity) == expected


@pytest.mark.parametrize(
    ("waiting", "running", "capacity", "expected"),
    [
        ({"quick": 10_000}, [], 4, 2.5),
        ({"quick": 10_000, "slow": 4}, [], 4, 62.5),
        ({"quick": 10_000, "slow": 1}, [], 100, 60.0),  # no quicker than the slowest of them
        ({"slow": 0}, [], 4, 0.0),
        ({}, [Run("slow", 20.0)], 4, 40.0),
        ({"quick": 4_000}, [Run("slow", 20.0), Run("slow", 55.0)], 4, 40.0),
        ({"quick": 4_000}, [Run("quick", 0.0)], 1, 4.001),
        ({"new": 8}, [], 4, 4.0),  # never measured: as all are on average
        ({"new": 8}, [Run("new", 30.0)], 4, 67.0),  # one of them runs already: no less than that
        ({"new": 8}, [Run("quick", 30.0)], 4, 30.0 - 0.001),
    ],
)
def test_by_task(waiting: dict[str, float], running: list[Run], capacity: int, expected: float) -> None:
    means = Means(2.0, {"quick": 0.001, "slow": 60.0})
    assert drain_estimate(means, waiting, running, capacity) == pytest.approx(expected)


def test_what_was_seen_stands_for_the_rest() -> None:
    assert spread({"a": 30, "b": 10}, 400) == {"a": 300, "b": 100}
    assert spread({"a": 3}, 1) == {"a": 1}
    assert spread({}, 5) == {"": 5}
    assert spread({}, 0) == {"": 0}


def test_it_warns_once_for_each_time_that_the_estimate_outgrows_the_limit() -> None:
    warned, said = False, []
    for estimate in (None, 5.0, 11.0, 30.0, 9.9, 11.0, 10 * RELIEF, 10.1, None, 50.0):
        warn, warned = warns(warned, estimate, 10.0)
        said.append(warn)
    assert said == [False, False, True, False, False, False, False, True, False, False]
