"""Who passes the gates next: compared with a look at every job that waits."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadypool import Limit, task
from steadypool.model.call_gates import CallGates
from steadypool.model.limit import Over
from steadypool.model.options import TaskOptions
from steadypool.primitives.gates import GATES, GatedCall, closed_by
from steadypool.primitives.held_jobs import SWEEP_AFTER, HeldJobs

numbers = count()


class Job:
    """As far as it waits at gates."""

    attempts = 1
    _has_room = False

    def __init__(self, gates: CallGates, lane: int, key: int, priority: int = 0) -> None:
        self._number = next(numbers)
        self._submitted = float(self._number)
        self._options = TaskOptions(priority=priority)
        self._gated = GatedCall(gates.of((lane, key), {}))
        self.job_id = str(self._number)


def call(lane: int, key: int) -> None:
    """What is limited."""


def gates_of(*limits: Limit) -> CallGates:
    return CallGates(call, f"held-{next(numbers)}", limits, "lane")


def two_pools() -> tuple[list[HeldJobs], list[HeldJobs]]:
    """Two pools, and those that were woken."""
    woken: list[HeldJobs] = []
    pools: list[HeldJobs] = []
    for at in range(2):
        pools.append(HeldJobs(lambda at=at: woken.append(pools[at])))  # type: ignore[misc]
    return pools, woken


ops = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "draw", "draw", "release", "remove"]),
        st.integers(0, 1),
        st.integers(0, 2),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    max_size=80,
)


class Books:
    """Two pools, and what a look at every job says of them."""

    def __init__(self, over: Over) -> None:
        self.name = f"held-{next(numbers)}"
        self.all_of_them = Limit(f"{self.name}-all", running=2)
        self.by_key = Limit(f"{self.name}-key", running=1, by="key", over=over)
        self.kinds = [gates_of(self.all_of_them, self.by_key), gates_of(self.by_key), gates_of()]
        self.pools, _ = two_pools()
        self.waiting: list[list[Job]] = [[], []]
        self.running: list[Job] = []

    def add(self, at: int, kind: int, lane: int, key: int) -> None:
        job = Job(self.kinds[kind], lane, key)
        self.pools[at].add(job)
        self.waiting[at].append(job)

    def draw(self, at: int, *_: int) -> None:
        place: list[Any] = []
        job = self.pools[at].draw(place)
        assert place == ([] if job is None else [job])
        if job is not None:
            self.waiting[at].remove(job)
            self.running.append(job)

    def release(self, at: int, number: int, *_: int) -> None:
        if self.running:
            GATES.release(self.running.pop(number % len(self.running)), None, began=True)

    def remove(self, at: int, number: int, *_: int) -> None:
        if self.waiting[at]:
            assert self.pools[at].remove(self.waiting[at].pop(number % len(self.waiting[at])))

    def check(self) -> None:
        for at, pool in enumerate(self.pools):
            self.waiting[at] = [job for job in self.waiting[at] if job not in pool.dropped]
            assert list(pool.jobs) == self.waiting[at]
            passing = [job for job in self.waiting[at] if closed_by(job._gated.passage, 0.0) is None]
            found = pool.next()
            assert (found is None) == (not passing)
            assert found is None or found[2] in passing
        for gate in {gate for job in self.running for gate in job._gated.gates}:
            assert gate.running == sum(gate in job._gated.gates for job in self.running)
            assert gate.running <= (1 if gate.gate.name == self.by_key.name else 2)

    def end(self) -> None:
        for job in self.running:
            GATES.release(job, None, began=True)
        for pool in self.pools:
            while pool.take_any() is not None:
                pass
            assert pool.next() is None and pool.held_back() == []
        assert [gate for gate in GATES._known if gate.name.startswith(self.name)] == []


@given(ops, st.sampled_from(["wait", "wait", "discard", "replace"]))
def test_no_job_waits_that_could_pass_and_none_passes_that_may_not(steps: Any, over: Over) -> None:
    books = Books(over)
    for what, *how in steps:
        getattr(books, what)(*how)
        books.check()
    books.end()


@pytest.mark.parametrize("lanes", [1, 2, 7])
def test_each_lane_has_its_turn(lanes: int) -> None:
    held, gates = two_pools()[0][0], gates_of()
    for at in range(3):
        for lane in range(lanes):
            held.add(Job(gates, lane, at))
    drawn = [held.draw([])._gated.lane for _ in range(3 * lanes)]
    assert drawn == [str(lane) for lane in range(lanes)] * 3 and held.draw([]) is None


def test_what_is_free_again_wakes_the_other_pool_once() -> None:
    pools, woken = two_pools()
    gates = gates_of(Limit(f"held-{next(numbers)}", running=1))
    for pool in pools:
        for _ in range(50):
            pool.add(Job(gates, 0, 0))
    job = pools[0].draw([])
    assert pools[0].next() is None and pools[1].next() is None and not woken
    GATES.release(job, pools[0], began=True)
    assert woken == [pools[1]]
    assert pools[1].draw([]) is not None and pools[0].draw([]) is None
    assert [(gate.gate.name, waiting) for gate, _, _, waiting in pools[0].held_back()] == [(gates.limits[0][0], 49)]


def test_what_is_cancelled_at_a_closed_gate_is_forgotten() -> None:
    held, gates = two_pools()[0][0], gates_of(Limit(f"held-{next(numbers)}", running=1))
    held.add(Job(gates, 0, 0))
    assert held.draw([]) is not None
    for _ in range(20 * SWEEP_AFTER):
        job = Job(gates, 0, 0)
        held.add(job)
        assert held.remove(job)
    [group] = held._groups.values()
    assert len(group.lanes["0"]) <= SWEEP_AFTER


def test_a_rate_says_when_it_opens_and_a_start_that_did_not_come_is_given_back() -> None:
    held, gates = two_pools()[0][0], gates_of(Limit(f"held-{next(numbers)}", starts=1, per=3600))
    for _ in range(2):
        held.add(Job(gates, 0, 0))
    job = held.draw([])
    assert held.next() is None and held.opens is not None
    GATES.release(job, held, began=False)
    assert held.next() is not None


def test_what_ctrl_c_has_left_between_two_lines_passes_once() -> None:
    held, gates = two_pools()[0][0], gates_of(Limit(f"held-{next(numbers)}", running=1))
    held.add(Job(gates, 0, 0))
    job = next(iter(held.jobs))
    GATES.acquire(job, 0.0)  # and the interrupt came here
    assert held.draw([]) is job and job._gated.gates[0].running == 1


def test_gates_that_say_nothing_any_more_are_forgotten() -> None:
    gates = gates_of(Limit(f"held-{next(numbers)}", starts=1000, per=0.001, by="key"))
    held = two_pools()[0][0]
    for key in range(3000):
        held.add(Job(gates, 0, key))
        GATES.release(held.draw([]), held, began=True)
    assert len(GATES._known) < 1500
    assert task(call, limit=gates.limits[0][1]).task_options.gates is not None
