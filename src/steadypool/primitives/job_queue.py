"""The bounded queue of jobs that wait for a worker.

Theory of operation
-------------------
A job is always in exactly one place: here, in a worker's hand, on the timers (between two attempts), or settled.
Every move takes it out of one place by one atomic step (``deque.popleft``, ``deque.remove``, ``list.pop``), and
only the thread that has taken it may move it on. There is no lock on the plain path, and none is needed:

* **Room.** One token in ``room`` stands for one free place. A producer pops a token before it appends a job, the
  taker of a job appends the token again. ``list.pop`` either gives a token or raises, so that racing producers
  can never overfill the queue.
  Tokens are made when they are needed, `BATCH` at a time: ``reserve`` counts those to come, so that a big bound, or
  none, costs nothing.
* **Plain jobs** (priority 0) wait in ``items``, first in, first out. The pool's hot path works on ``room`` and
  ``items`` directly: `ThreadPool.submit` and the worker loop are the two places that do.
* **Ranked jobs** wait in ``heap`` under ``lock``: other priorities, and jobs that have no token because they must
  get in whatever the bound says (a retry, which was accepted long ago; a job submitted by a job of the same pool,
  which would deadlock if it had to wait for room). They leave by priority, then by age (`JobQueue.put_ranked`). A
  worker looks at ``heap`` first; an empty list costs nothing.
* **Held jobs**, which wait for a limit or for the turn of their lane, are in ``held`` (`primitives.held_jobs`). While
  one of them could go, ``heap`` has ``held`` itself as an entry, in the place that the job has by priority and age. The
  worker that takes the entry draws the job. Twice in the heap it does no harm, as Ctrl-C may have it.
* **A producer that finds no room** leaves its waker in ``blocked`` and looks again before it sleeps; a thread that
  gives room back wakes one after it did. Either the producer sees the token or the giver sees the waker.

The steps above are atomic in CPython with the GIL and, for the single list and deque operations, without it.
"""

from __future__ import annotations

import _thread
import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from itertools import repeat, starmap
from typing import Generic, Protocol, TypeVar

from steadypool.model.clock import monotonic, sleep
from steadypool.model.options import TaskOptions
from steadypool.primitives.held_jobs import HeldJobs
from steadypool.primitives.wakeup import Waker


class Entry(Protocol):
    """What waits: a job."""

    _options: TaskOptions
    _number: int
    """Its place by age."""
    _submitted: float
    """When it was submitted; seconds of `time.monotonic`."""
    _has_room: bool
    """Whether it holds a token while it waits."""


E = TypeVar("E", bound=Entry)
BATCH = 1000
"""How many tokens are made at a time."""
GATHER_SECONDS = 0.005
"""How long who wants several tokens waits for the others once it has one."""
NO_BOUND = 1 << 40
"""More jobs than this never wait."""
ONCE: tuple[tuple[()], ...] = ((),)
"""For `starmap`: one call without arguments."""


class JobQueue(Generic[E]):
    """At most *size* jobs with a token, and those that must get in regardless.

    Any thread may call any method. None of them waits, but for `wait_for_room`.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.room: list[None] = [None] * min(size, BATCH)
        self.reserve = size - len(self.room)
        self.items: deque[E] = deque()
        self.heap: list[tuple[int, int, E | HeldJobs]] = []
        self.held: HeldJobs | None = None
        self.blocked: deque[Waker] = deque()
        # Reentrant: a finalizer that the garbage collector runs in the middle may submit a job.
        self._lock = threading.RLock()
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self.items) + len(self.heap)

    def put_ranked(self, job: E, *, has_room: bool) -> None:
        """Add a job by its priority; *has_room* says whether a token was taken for it."""
        job._has_room = has_room
        with self._lock:
            heapq.heappush(self.heap, (-job._options.priority, job._number, job))

    def hold(self, job: E, held: HeldJobs, *, has_room: bool) -> None:
        """Add a job that a limit may hold back, or that waits for the turn of its lane."""
        job._has_room = has_room
        with self._lock:
            self.held = held
            held.add(job)
        self.offer()

    def offer(self) -> None:
        """See that the heap has an entry for the held jobs, if one of them could go."""
        with self._lock:
            held = self.held
            if held is None or held.offered:
                return
            entry = held.next()
            if entry is not None:
                rank, number, _ = entry
                # By its low priority it stands behind others of its lane, not behind all that comes: lanes take turns.
                heapq.heappush(self.heap, (min(rank, 0), number, held))
                held.offered = True

    def offers_first(self) -> bool:
        """Whether a held job is next."""
        with self._lock:
            first = self.heap[0] if self.heap else None
            return first is not None and first[2] is self.held and not self._plain_is_first(first[0], first[1])

    def holds_back(self) -> int:
        """How many jobs are held."""
        return 0 if self.held is None else len(self.held)

    def take_to_settle(self) -> E | None:
        """Take any job, also one that is held back, in order to settle it; ``None`` if there is none."""
        job: E | None = None if self.held is None else self.held.take_any()
        if job is None:
            return self.take()
        if job._has_room:
            self.give_room()
        return job

    def take(self) -> E | None:
        """Take the job that is next; ``None`` if there is none."""
        place: list[E] = []
        return place[0] if self.take_into(place) else None

    def take_into(self, place: list[E]) -> bool:
        """As `take`, to the end of *place*: also when Ctrl-C comes, the job is in one of the two."""
        if self.heap and self._take_ranked(place):
            return True
        try:
            place.extend(starmap(self.items.popleft, ONCE))  # one step in C
        except IndexError:
            return bool(self.heap) and self._take_ranked(place)
        self.give_room()
        return True

    def _take_ranked(self, place: list[E]) -> bool:
        """Take the top of the heap if it comes before the first plain job."""
        with self._lock:
            while True:
                if not self.heap:
                    return False
                rank, number, job = self.heap[0]
                if rank >= 0 and self._plain_is_first(rank, number):
                    return False
                if not isinstance(job, HeldJobs):
                    break
                if self._draw(job, place):
                    return True
            place.append(job)
            heapq.heappop(self.heap)
        if job._has_room:
            self.give_room()
        return True

    def _draw(self, held: HeldJobs, place: list[E]) -> bool:
        """Take the held job whose turn it is; false if none can go any more. The top of the heap stands for it."""
        held.offered = False
        heapq.heappop(self.heap)
        job: E | None = held.draw(place)
        self.offer()
        if job is not None and job._has_room:
            self.give_room()
        return job is not None

    def _plain_is_first(self, rank: int, number: int) -> bool:
        try:
            return (0, self.items[0]._number) < (rank, number)
        except IndexError:
            return False

    def take_last_in_rank(self) -> E | None:
        """Take the job to discard when the queue is full: the oldest of the lowest priority that holds room."""
        with self._lock:
            ranked = [entry for entry in self._ranked() if entry[2]._has_room]
            lowest = max(ranked, key=lambda entry: (entry[0], -entry[1]), default=None)
            if lowest is not None and (lowest[0] > 0 or not self.items):
                return lowest[2] if self.remove(lowest[2]) else None
        try:
            job = self.items.popleft()
        except IndexError:
            return None
        self.give_room()
        return job

    def _ranked(self) -> list[tuple[int, int, E]]:
        """All jobs but the plain ones, with their ranks. The lock is held."""
        held = () if self.held is None else list(self.held.jobs)
        ranked = [(rank, number, job) for rank, number, job in self.heap if not isinstance(job, HeldJobs)]
        return [*ranked, *((-job._options.priority, job._number, job) for job in held)]

    def some(self, most: int) -> list[E]:
        """Jobs that wait: all, or *most* of them at most, evenly from the first to the last. For looking."""
        step = max(1, -(-len(self) // most))
        with self._lock:
            ranked = [job for _, _, job in self._ranked()[::step]]
        # `list` in one piece: what comes and goes meanwhile does not disturb it. Between making an iterator and using
        # it (as `islice` would have it) the garbage collector may let other threads in.
        return [*ranked, *list(self.items)[::step]][:most]

    def oldest_submits(self) -> list[float]:
        """When some of the jobs that wait were submitted, the oldest among them. For looking, not for the hot path."""
        with self._lock:
            ranked = [job._submitted for _, _, job in self._ranked()]
        try:
            # Plain jobs stand in the order of their submits.
            return [*ranked, self.items[0]._submitted]
        except IndexError:
            return ranked

    def has(self, job: E) -> bool:
        """Whether the job waits here. For looking, not for the hot path."""
        with self._lock:
            return job in self.items or any(entry[2] is job for entry in self._ranked())

    def remove(self, job: E) -> bool:
        """Take this one job out; false if another thread has it."""
        if self.held is not None and self.held.remove(job):
            if job._has_room:
                self.give_room()
            return True
        try:
            self.items.remove(job)
        except ValueError:
            return self._remove_ranked(job)
        self.give_room()
        return True

    def _remove_ranked(self, job: E) -> bool:
        if not self.heap:
            return False
        with self._lock:
            for index, entry in enumerate(self.heap):
                if entry[2] is job:
                    self.heap[index] = self.heap[-1]
                    self.heap.pop()
                    heapq.heapify(self.heap)
                    break
            else:
                return False
        if job._has_room:
            self.give_room()
        return True

    def window(self) -> int:
        """How many jobs a map has in flight that does not say."""
        return self.size if self.size < NO_BOUND else BATCH

    def is_full(self) -> bool:
        """Whether there is no room."""
        return not (self.room or self.reserve)

    def made(self) -> int:
        """How many tokens there are, taken or not."""
        return self.size - self.reserve

    def take_room(self) -> bool:
        """Take a token if there is one."""
        while True:
            try:
                self.room.pop()
            except IndexError:
                if self._make_room():
                    continue
                return False
            return True

    def take_rooms(self, count: int) -> bool:
        """Take *count* tokens, or none."""
        while True:
            taken: list[None] = []
            try:
                taken.extend(starmap(self.room.pop, repeat((), count)))
            except IndexError:
                self.give_rooms(len(taken))
                if self._make_room(count):
                    continue
                return False
            return True

    def wait_for_rooms(self, count: int, is_closed: Callable[[], bool]) -> int:
        """Take *count* tokens, waiting for one without limit and for the others `GATHER_SECONDS`.

        Returns how many were taken: none if it is closed.
        """
        count = min(count, self.size)
        if self.take_rooms(count):
            return count
        if not self.wait_for_room(None, is_closed):
            return 0
        taken, until = 1, monotonic() + GATHER_SECONDS
        while monotonic() < until:
            if self.take_rooms(count - taken):
                return count
            sleep(GATHER_SECONDS / 10)
        while taken < count and self.take_room():
            taken += 1
        return taken

    def _make_room(self, count: int = BATCH) -> bool:
        """Make some of the tokens that were not needed so far; false if all have been made."""
        with self._lock:
            count = min(max(count, BATCH), self.reserve)
            self.reserve -= count
            self.room.extend([None] * count)
        return count > 0

    def give_room(self) -> None:
        """Give a token back and let one blocked producer look."""
        self.room.append(None)
        if self.blocked:
            self.wake_producer()

    def give_rooms(self, count: int) -> None:
        """Give *count* tokens back."""
        self.room.extend([None] * count)
        for _ in range(min(count, len(self.blocked))):
            self.wake_producer()

    def wake_producer(self) -> None:
        """Let one blocked producer look, if there is one."""
        try:
            waker = self.blocked.popleft()
        except IndexError:
            return
        waker.release()

    def wake_all_producers(self) -> None:
        """Let every blocked producer look: the pool is closing."""
        for _ in range(len(self.blocked)):
            self.wake_producer()

    def forget_producer(self, waker: Waker) -> None:
        """The producer does not wait any more. If it was woken meanwhile, another may need that: pass it on."""
        try:
            self.blocked.remove(waker)
        except ValueError:
            if self.room:
                self.wake_producer()

    def wait_for_room(self, seconds: float | None, is_closed: Callable[[], bool]) -> bool:
        """Take a token, waiting up to *seconds* (``None``: without limit). False: no token, or closed."""
        deadline = None if seconds is None else monotonic() + seconds
        waker = _thread.allocate_lock()
        waker.acquire()
        while True:
            self.blocked.append(waker)
            try:
                if self.take_room():
                    return True
                if is_closed():
                    return False
                left = -1.0 if deadline is None else min(deadline - monotonic(), threading.TIMEOUT_MAX)
                if (deadline is not None and left <= 0) or not waker.acquire(timeout=left):
                    return self.take_room()
            finally:
                self.forget_producer(waker)
