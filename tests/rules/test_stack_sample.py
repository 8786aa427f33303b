"""When a worker may be looked at that does not answer."""

from __future__ import annotations

import pytest

from steadypool.rules.stack_sample import ASLEEP_SECONDS, BUSY_SECONDS, UNSEEN_SECONDS, may_look


@pytest.mark.parametrize(
    ("waited", "state", "ran", "allowed"),
    [
        (0.0, "S", 0.0, False),
        (ASLEEP_SECONDS, "S", 0.0, True),
        (ASLEEP_SECONDS, "S", None, True),
        (0.09, "R", 0.0, False),  # has had no processor: it may be anywhere
        (0.09, "R", BUSY_SECONDS / 2, False),
        (BUSY_SECONDS, "R", BUSY_SECONDS, True),
        (0.09, "T", 1.0, False),  # stopped
        (0.09, "t", 1.0, False),
        (0.09, "D", 1.0, False),
        (0.09, "Z", 1.0, False),
        (UNSEEN_SECONDS / 2, None, None, False),
        (UNSEEN_SECONDS, None, None, True),
        (UNSEEN_SECONDS / 2, "R", None, False),
        (UNSEEN_SECONDS, "R", None, True),
    ],
)
def test_only_when_it_runs_no_python_code(waited: float, state: str | None, ran: float | None, allowed: bool) -> None:
    assert may_look(waited, state, ran) is allowed
