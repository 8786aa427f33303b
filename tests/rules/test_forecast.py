"""The drain forecast: numbers alone."""

from __future__ import annotations

import pytest

from steadypool.rules.forecast import RELIEF, drain_estimate, warns


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
    assert drain_estimate(mean, waiting, running, capacity) == expected


def test_it_warns_once_for_each_time_that_the_estimate_outgrows_the_limit() -> None:
    warned, said = False, []
    for estimate in (None, 5.0, 11.0, 30.0, 9.9, 11.0, 10 * RELIEF, 10.1, None, 50.0):
        warn, warned = warns(warned, estimate, 10.0)
        said.append(warn)
    assert said == [False, False, True, False, False, False, False, True, False, False]
