"""When running attempts reach their limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steadypool.primitives.deadlines import MAX_LINES, Deadlines
from steadypool.primitives.timers import Timers
from steadypool.rules.drain import earlier


class Clock:
    """An agenda, its deadlines, and which jobs were over their limit."""

    def __init__(self) -> None:
        self.over: list[object] = []
        self.timers = Timers()
        self.deadlines = Deadlines(self.timers, self.over.append)

    def next_due(self) -> float | None:
        return earlier(self.deadlines.next_due(), self.timers.next_due())

    def do_due(self, now: float) -> list[object]:
        self.deadlines.do_due(now)
        while (due := self.timers.take_due(now)) is not None:
            action, args = due
            action(*args)
        over, self.over[:] = list(self.over), []
        return over


def test_an_attempt_is_over_its_limit_once() -> None:
    clock = Clock()
    clock.deadlines.add("job", 5.0, 12.0)
    assert clock.next_due() == 12.0
    assert clock.do_due(11.9) == []
    assert clock.do_due(12.0) == ["job"]
    assert clock.do_due(99.0) == [] and clock.next_due() is None


def test_an_attempt_that_has_ended_is_not() -> None:
    clock = Clock()
    clock.deadlines.add("job", 5.0, 12.0)
    clock.deadlines.remove("job", 5.0)
    clock.deadlines.remove("job", 5.0)
    clock.deadlines.remove("never there", 7.0)
    assert clock.next_due() is None and clock.do_due(99.0) == []


def test_any_number_of_different_limits() -> None:
    clock = Clock()
    limits = [1.0 + n for n in range(3 * MAX_LINES)]
    for number, seconds in enumerate(limits):
        clock.deadlines.add(number, seconds, 100.0 + seconds)
    assert len(clock.deadlines._lines) <= MAX_LINES
    clock.deadlines.remove(MAX_LINES + 1, limits[MAX_LINES + 1])
    assert sorted(clock.do_due(1e9), key=str) == sorted(set(range(3 * MAX_LINES)) - {MAX_LINES + 1}, key=str)


steps = st.lists(
    st.tuples(st.just("begin"), st.integers(1, 24))
    | st.tuples(st.just("end"), st.integers(0, 200))
    | st.tuples(st.just("pass"), st.integers(0, 10)),
    max_size=200,
)


@given(steps)
def test_it_does_what_a_plain_table_does(steps: list[tuple[str, int]]) -> None:
    clock, now, begun = Clock(), 0.0, 0
    running: dict[int, tuple[float, float]] = {}
    for step, value in steps:
        if step == "begin":
            running[begun] = (float(value), now + value)
            clock.deadlines.add(begun, float(value), now + value)
            begun += 1
        elif step == "end" and begun:
            job = value % begun
            seconds, _ = running.pop(job, (0.0, 0.0))
            if seconds:
                clock.deadlines.remove(job, seconds)
        elif step == "pass":
            now += value
            expected = {job for job, (_, ends) in running.items() if ends <= now}
            over = clock.do_due(now)
            assert set(over) == expected and len(over) == len(expected)
            running = {job: ends for job, ends in running.items() if job not in expected}
        assert clock.next_due() == min((ends for _, ends in running.values()), default=None)
