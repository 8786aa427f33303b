"""The bounded queue: who comes next, who gets in, and who is woken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from steadypool.primitives.job_queue import JobQueue
from tests.patience import WAIT
from tests.primitives.loose import loose_job
from tests.races.arena import duel, switching_every


def put(queue: JobQueue, number: int, priority: int = 0, *, token: bool = True) -> Any:
    """Add a job as the pools do."""
    job = loose_job(number, priority)
    if token:
        assert queue.take_room()
    if token and priority == 0:
        queue.items.append(job)
    else:
        queue.put_ranked(job, has_room=token)
    return job


def taken(queue: JobQueue) -> Iterator[int]:
    """The numbers of all jobs, in the order they are taken."""
    while (job := queue.take()) is not None:
        yield job._number


def never() -> bool:
    return False


def test_plain_jobs_come_out_as_they_came_in() -> None:
    queue = JobQueue(10)
    for number in range(5):
        put(queue, number)
    assert len(queue) == 5 and list(taken(queue)) == [0, 1, 2, 3, 4] and len(queue) == 0


def test_priorities_come_first_and_are_stable() -> None:
    queue = JobQueue(10)
    for number, priority in enumerate([0, 1, -1, 5, 0, 1, 5, -1]):
        put(queue, number, priority)
    assert list(taken(queue)) == [3, 6, 1, 5, 0, 4, 2, 7]


def test_a_plain_job_without_room_keeps_its_place_in_the_line() -> None:
    queue = JobQueue(10)
    put(queue, 1, token=False)  # such as a retry: accepted before the others, back after them
    put(queue, 2)
    put(queue, 3, token=False)
    put(queue, 4)
    assert list(taken(queue)) == [1, 2, 3, 4]


def test_some_of_many() -> None:
    queue = JobQueue(100)
    jobs = [put(queue, number, priority=number % 2) for number in range(100)]
    assert set(queue.some(100)) == set(queue.some(1000)) == set(jobs)
    few = queue.some(10)
    assert len(few) == 10 and len({job._number // 20 for job in few}) == 5, "of each part of it"
    assert JobQueue(1).some(10) == []


def test_some_while_jobs_come_and_go() -> None:
    queue = JobQueue(100)
    for number in range(10):
        put(queue, number)

    over = threading.Event()

    def look(queue: JobQueue) -> None:
        try:
            for _ in range(60_000):
                assert queue.some(5)
        finally:
            over.set()

    def turn(queue: JobQueue) -> None:
        while not over.is_set():
            put(queue, 0)
            queue.take()

    with switching_every(1e-6):
        duel(1, lambda _: queue, (look, turn), lambda queue, _: None)


def test_room_is_taken_and_given_back() -> None:
    queue = JobQueue(2)
    one, other = put(queue, 0), put(queue, 1, priority=3)
    assert not queue.take_room()
    assert queue.take() is other and queue.take_room()
    assert queue.take() is one and queue.take_room()
    assert not queue.take_room()


def test_a_job_without_room_gives_none_back() -> None:
    queue = JobQueue(1)
    put(queue, 0)
    put(queue, 1, token=False)
    assert list(taken(queue)) == [0, 1]
    assert queue.take_room() and not queue.take_room()


def test_one_job_can_be_taken_out() -> None:
    queue = JobQueue(4)
    jobs = [put(queue, number, priority) for number, priority in enumerate([0, 0, 2, -2])]
    assert queue.remove(jobs[1]) and queue.remove(jobs[2]) and queue.remove(jobs[3])
    assert not any(queue.remove(job) for job in jobs[1:])
    assert list(taken(queue)) == [0]
    assert not queue.remove(jobs[0])
    assert len(queue.room) == 4


@pytest.mark.parametrize(
    ("priorities", "discarded"),
    [([0, 0, 0], 0), ([1, 0, 0], 1), ([0, -1, -2, -2], 2), ([3, 2, 2], 1), ([5], 0), ([], None)],
)
def test_what_is_discarded_is_the_oldest_of_the_lowest(priorities: list[int], discarded: int | None) -> None:
    queue = JobQueue(9)
    for number, priority in enumerate(priorities):
        put(queue, number, priority)
    job = queue.take_last_in_rank()
    assert (None if job is None else job._number) == discarded
    assert len(queue.room) == 9 - len(queue)


def test_a_job_that_had_to_be_let_in_is_not_discarded() -> None:
    queue = JobQueue(1)
    put(queue, 0, priority=-5, token=False)
    assert queue.take_last_in_rank() is None
    assert list(taken(queue)) == [0]


# -- waiting for room


def test_room_that_is_there_is_taken_without_a_wait() -> None:
    queue = JobQueue(1)
    assert queue.wait_for_room(0, never)
    assert not queue.blocked


@pytest.mark.parametrize("seconds", [0, 0.001])
def test_no_room_in_time(seconds: float) -> None:
    queue = JobQueue(1)
    put(queue, 0)
    assert not queue.wait_for_room(seconds, never)
    assert not queue.blocked


def test_a_closed_queue_lets_nobody_wait() -> None:
    queue = JobQueue(1)
    put(queue, 0)
    assert not queue.wait_for_room(None, lambda: True)
    assert not queue.blocked


def test_several_places_are_taken_at_once() -> None:
    queue = JobQueue(10)
    assert queue.wait_for_rooms(4, never) == 4
    assert queue.wait_for_rooms(100, never) == 6
    assert queue.is_full()


def test_a_wait_for_several_places_of_a_closed_queue_ends() -> None:
    queue = JobQueue(2)
    put(queue, 0)
    put(queue, 1)
    assert queue.wait_for_rooms(2, lambda: True) == 0
    assert not queue.room and not queue.blocked


def test_who_waits_for_several_places_takes_what_there_is_in_the_end() -> None:
    queue = JobQueue(10)
    for number in range(8):
        put(queue, number)
    assert queue.wait_for_rooms(5, never) == 2
    assert queue.is_full()


def blocked_producers(queue: JobQueue, number: int, is_closed: Any = never) -> tuple[list[Any], list[threading.Thread]]:
    """Threads that wait for room, and where they write what came of it."""
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(queue.wait_for_room(WAIT, is_closed)), daemon=True)
        for _ in range(number)
    ]
    for thread in threads:
        thread.start()
    deadline = threading.Event()
    while len(queue.blocked) < number:
        assert not deadline.wait(0.001)
    return answers, threads


def test_each_room_given_wakes_one_producer() -> None:
    queue = JobQueue(3)
    for number in range(3):
        put(queue, number)
    answers, threads = blocked_producers(queue, 3)
    assert len(list(taken(queue))) == 3
    for thread in threads:
        thread.join(WAIT)
    assert answers == [True, True, True]
    assert not queue.take_room() and not queue.blocked


def test_when_the_pool_closes_all_producers_look() -> None:
    queue = JobQueue(1)
    put(queue, 0)
    closed = threading.Event()
    answers, threads = blocked_producers(queue, 4, closed.is_set)
    closed.set()
    queue.wake_all_producers()
    for thread in threads:
        thread.join(WAIT)
    assert answers == [False] * 4 and not queue.blocked


class Bell:
    """A waker that counts how often it was called."""

    def __init__(self) -> None:
        self.opened = 0

    def release(self) -> None:
        self.opened += 1


def test_a_producer_that_leaves_after_it_was_woken_passes_it_on() -> None:
    queue = JobQueue(1)
    put(queue, 0)
    first, second = Bell(), Bell()
    queue.blocked.extend([first, second])
    queue.take()
    assert (first.opened, second.opened) == (1, 0)
    queue.forget_producer(first)  # it gave up at that moment, and the room is still there
    assert second.opened == 1


def test_a_producer_that_leaves_unwoken_wakes_no_other() -> None:
    queue = JobQueue(1)
    put(queue, 0)
    first, second = Bell(), Bell()
    queue.blocked.extend([first, second])
    queue.forget_producer(first)
    assert (first.opened, second.opened) == (0, 0) and list(queue.blocked) == [second]


# -- races


@pytest.mark.parametrize("interval", [None, 1e-6])
def test_producers_and_takers_race_and_nothing_is_lost_or_doubled(interval: float | None) -> None:
    producers, jobs_each, size = 3, 700, 4
    queue = JobQueue(size)
    out: list[int] = []
    most: list[int] = []

    def produce(base: int) -> None:
        for number in range(base, base + jobs_each):
            assert queue.wait_for_room(WAIT, never)
            if number % 3:
                queue.items.append(loose_job(number))
            else:
                queue.put_ranked(loose_job(number, number % 5 - 2), has_room=True)

    def take() -> None:
        nothing = threading.Event()
        while len(out) < producers * jobs_each:
            most.append(len(queue))
            job = queue.take()
            if job is None:
                nothing.wait(0.0001)
            else:
                out.append(job._number)

    with switching_every(interval):
        threads = [threading.Thread(target=produce, args=(i * jobs_each,), daemon=True) for i in range(producers)]
        threads += [threading.Thread(target=take, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
    assert sorted(out) == list(range(producers * jobs_each))
    assert max(most) <= size
    assert len(queue.room) == size and not queue.blocked


@pytest.mark.parametrize("priority", [0, 3])
def test_taking_and_removing_race_for_one_job(priority: int) -> None:
    def prepare(number: int) -> tuple[JobQueue, Any]:
        queue = JobQueue(1)
        return queue, put(queue, number, priority)

    def check(state: tuple[JobQueue, Any], answers: list[Any]) -> None:
        took, removed = answers
        assert (took is not None) is not removed
        assert len(state[0].room) == 1 and len(state[0]) == 0

    moves = (lambda state: state[0].take(), lambda state: state[0].remove(state[1]))
    with switching_every(1e-6):
        duel(300, prepare, moves, check)


# -- any order of steps


class AnyOrder(RuleBasedStateMachine):
    """The queue against a list that is sorted whenever somebody asks."""

    SIZE = 4

    def __init__(self) -> None:
        super().__init__()
        self.queue = JobQueue(self.SIZE)
        self.inside: list[Any] = []
        self.number = 0

    def next_in_line(self) -> Any:
        return min(self.inside, key=lambda job: (-job._options.priority, job._number))

    @precondition(lambda self: len(self.queue.room) > 0)
    @rule(priority=st.integers(-2, 2))
    def add(self, priority: int) -> None:
        self.number += 1
        self.inside.append(put(self.queue, self.number, priority))

    @rule(priority=st.integers(-2, 2))
    def let_in(self, priority: int) -> None:
        self.number += 1
        self.inside.append(put(self.queue, self.number, priority, token=False))

    @rule()
    def take(self) -> None:
        job = self.queue.take()
        if not self.inside:
            assert job is None
        else:
            assert job is self.next_in_line()
            self.inside.remove(job)

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.inside))
        assert self.queue.remove(job) and not self.queue.remove(job)
        self.inside.remove(job)

    @rule()
    def discard(self) -> None:
        held = [job for job in self.inside if job._has_room]
        job = self.queue.take_last_in_rank()
        expected = min(held, key=lambda job: (job._options.priority, job._number), default=None)
        assert job is expected
        if job is not None:
            self.inside.remove(job)

    @invariant()
    def room_is_what_is_left(self) -> None:
        assert len(self.queue) == len(self.inside)
        assert len(self.queue.room) == self.SIZE - sum(job._has_room for job in self.inside)


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
