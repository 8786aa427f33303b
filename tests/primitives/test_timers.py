"""The agenda: what is due, in which order, and what was dropped."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from steadypool.primitives.timers import Timers


def noted(*_: Any) -> None:
    """What is to be done."""


def other(*_: Any) -> None:
    """Something else."""


def done(timers: Timers, now: float) -> list[Any]:
    """What is due at *now*, in order."""
    found = []
    while (due := timers.take_due(now)) is not None:
        found.append(due[1][0])
    return found


def test_nothing_is_due_on_an_empty_agenda() -> None:
    timers = Timers()
    assert timers.next_due() is None and timers.take_due(1e9) is None


def test_what_is_due_comes_by_its_moment_and_then_as_it_was_added() -> None:
    timers = Timers()
    for due, what in [(3.0, "c"), (1.0, "a"), (2.0, "b"), (1.0, "a again")]:
        timers.add(due, noted, what)
    assert timers.next_due() == 1.0
    assert done(timers, 0.9) == []
    assert done(timers, 2.0) == ["a", "a again", "b"]
    assert timers.next_due() == 3.0


def test_what_was_dropped_is_never_due() -> None:
    timers = Timers()
    first, second = timers.add(1.0, noted, "first"), timers.add(2.0, noted, "second")
    assert timers.drop(first) and not timers.drop(first)
    assert timers.next_due() == 2.0 and done(timers, 9.0) == ["second"]
    assert not timers.drop(second)
    assert not timers.drop(None)


def test_what_was_dropped_is_freed_at_once() -> None:
    class Big:
        """Something that an entry refers to."""

    timers, big = Timers(), Big()
    entry = timers.add(1e9, noted, big)
    freed = weakref.ref(big)
    del big
    assert freed() is not None
    timers.drop(entry)
    gc.collect()
    assert freed() is None


def test_dropped_entries_do_not_pile_up() -> None:
    timers = Timers()
    kept = timers.add(1e9, noted, "kept")
    for number in range(10_000):
        timers.drop(timers.add(1e6 + number, noted, number))
    assert len(timers._heap) < 4 * Timers.COMPACT_AT
    assert timers.drop(kept) and timers.next_due() is None


def test_what_is_planned_for_one_action() -> None:
    timers = Timers()
    timers.add(1.0, noted, "a", 1)
    timers.add(2.0, other, "b")
    dropped = timers.add(3.0, noted, "c")
    timers.drop(dropped)
    assert timers.planned(noted) == [("a", 1)] and timers.planned(other) == [("b",)]


steps = st.lists(
    st.tuples(st.just("add"), st.integers(0, 20)) | st.tuples(st.sampled_from(["drop", "take"]), st.integers(0, 60)),
    max_size=300,
)


@given(steps)
def test_it_does_what_a_sorted_list_does(steps: list[tuple[str, int]]) -> None:
    timers = Timers()
    timers.COMPACT_AT = 4  # type: ignore[misc]  # so that it sweeps often
    entries: list[Any] = []
    left: dict[int, float] = {}
    for step, value in steps:
        if step == "add":
            left[len(entries)] = float(value)
            entries.append(timers.add(float(value), noted, len(entries)))
        elif step == "drop" and entries:
            number = value % len(entries)
            assert timers.drop(entries[number]) is (left.pop(number, None) is not None)
        elif step == "take":
            expected = sorted((due, number) for number, due in left.items() if due <= value)
            assert done(timers, float(value)) == [number for _, number in expected]
            left = {number: due for number, due in left.items() if due > value}
        assert timers.next_due() == min(left.values(), default=None)
