"""The agenda: what is due, in which order, and what was dropped."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from steadypool.primitives.timers import Agenda


def noted(*_: Any) -> None:
    """What is to be done."""


def other(*_: Any) -> None:
    """Something else."""


def done(agenda: Agenda, now: float) -> list[Any]:
    """What is due at *now*, in order."""
    found = []
    while (due := agenda.take_due(now)) is not None:
        found.append(due[1][0])
    return found


def test_nothing_is_due_on_an_empty_agenda() -> None:
    agenda = Agenda()
    assert agenda.next_due() is None and agenda.take_due(1e9) is None


def test_what_is_due_comes_by_its_moment_and_then_as_it_was_added() -> None:
    agenda = Agenda()
    for due, what in [(3.0, "c"), (1.0, "a"), (2.0, "b"), (1.0, "a again")]:
        agenda.add(due, noted, what)
    assert agenda.next_due() == 1.0
    assert done(agenda, 0.9) == []
    assert done(agenda, 2.0) == ["a", "a again", "b"]
    assert agenda.next_due() == 3.0


def test_what_was_dropped_is_never_due() -> None:
    agenda = Agenda()
    first, second = agenda.add(1.0, noted, "first"), agenda.add(2.0, noted, "second")
    assert agenda.drop(first) and not agenda.drop(first)
    assert agenda.next_due() == 2.0 and done(agenda, 9.0) == ["second"]
    assert not agenda.drop(second)
    assert not agenda.drop(None)


def test_what_was_dropped_is_freed_at_once() -> None:
    class Big:
        """Something that an entry refers to."""

    agenda, big = Agenda(), Big()
    entry = agenda.add(1e9, noted, big)
    freed = weakref.ref(big)
    del big
    assert freed() is not None
    agenda.drop(entry)
    gc.collect()
    assert freed() is None


def test_dropped_entries_do_not_pile_up() -> None:
    agenda = Agenda()
    kept = agenda.add(1e9, noted, "kept")
    for number in range(10_000):
        agenda.drop(agenda.add(1e6 + number, noted, number))
    assert len(agenda._heap) < 4 * Agenda.COMPACT_AT
    assert agenda.drop(kept) and agenda.next_due() is None


def test_what_is_planned_for_one_action() -> None:
    agenda = Agenda()
    agenda.add(1.0, noted, "a", 1)
    agenda.add(2.0, other, "b")
    dropped = agenda.add(3.0, noted, "c")
    agenda.drop(dropped)
    assert agenda.planned(noted) == [("a", 1)] and agenda.planned(other) == [("b",)]


steps = st.lists(
    st.tuples(st.just("add"), st.integers(0, 20)) | st.tuples(st.sampled_from(["drop", "take"]), st.integers(0, 60)),
    max_size=300,
)


@given(steps)
def test_it_does_what_a_sorted_list_does(steps: list[tuple[str, int]]) -> None:
    agenda = Agenda()
    agenda.COMPACT_AT = 4  # type: ignore[misc]  # so that it sweeps often
    entries: list[Any] = []
    left: dict[int, float] = {}
    for step, value in steps:
        if step == "add":
            left[len(entries)] = float(value)
            entries.append(agenda.add(float(value), noted, len(entries)))
        elif step == "drop" and entries:
            number = value % len(entries)
            assert agenda.drop(entries[number]) is (left.pop(number, None) is not None)
        elif step == "take":
            expected = sorted((due, number) for number, due in left.items() if due <= value)
            assert done(agenda, float(value)) == [number for _, number in expected]
            left = {number: due for number, due in left.items() if due > value}
        assert agenda.next_due() == min(left.values(), default=None)
