"""Jobs that wait for jobs of their own queue: seen when all slots of a worker do so, and none could run what they
wait for.

Theory of operation: each job that waits leaves a file in a folder of its worker's, named by the job, its process and a
number that grows; so it is the same whether jobs run on threads, in processes or on a loop. Each of them looks once a
second. When as many jobs wait as there are slots, and they are the same ones for a while, the one that came last gives
up with `WouldDeadlock`: that frees a slot, and the others go on. If this is the only live worker the while is short;
if there are others they may yet take what is waited for, and it is longer. Files of a process that was killed do not
count.
"""

from __future__ import annotations

import os
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import Self

from steadypool.durable.client.address import TEST_VARIABLE
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobRecord
from steadypool.durable.engine.states import JobState
from steadypool.durable.engine.url import is_same_place
from steadypool.model.clock import monotonic
from steadypool.model.errors import WouldDeadlock

LOOK_EVERY = 1.0
ALONE_AFTER = 2.0
"""Seconds after which a worker that is the only one has waited long enough."""
STUCK_AFTER = 30.0
"""The same if there are others, which may be busy."""


@dataclass(frozen=True, slots=True)
class Slots:
    """What the jobs of one worker know of it."""

    url: str
    worker: str
    queues: tuple[str, ...]
    count: int
    on_loop: bool
    """Its jobs run on an event loop, which a wait would block."""
    folder: str
    tasks: frozenset[str] = frozenset()
    """Those whose jobs have these slots; empty: all."""
    test: str | None = field(default_factory=lambda: os.environ.get(TEST_VARIABLE))
    """In a test: what processes have to know of its store, those too whose server was started before the test."""


def new_folder() -> str:
    """A name for a folder, which the first job that waits makes."""
    import tempfile

    return os.path.join(tempfile.gettempdir(), f"steadypool-waits-{os.getpid()}-{os.urandom(4).hex()}")


def enter(slots: Slots) -> None:
    """A job of that worker begins in the present context."""
    _within.set((slots, next(_serials)))


def work_for(slots: Slots) -> None:
    """All jobs of this process are that worker's."""
    global _of_process
    _of_process = slots


def enter_in_process() -> None:
    """A job begins in a process of a worker's."""
    if _of_process is not None:
        enter(_of_process)


def slots_here() -> Slots | None:
    """Those of the worker whose job the calling code is; ``None`` outside of one."""
    within = _within.get()
    return None if within is None else within[0]


def refuse_on_loop() -> None:
    """A wait of the calling code would hold up all jobs of its worker, whatever it waits for, and however briefly.

    Raises:
        RuntimeError: it runs on the event loop of all jobs of a worker.
    """
    within = _within.get()
    if within is None or not within[0].on_loop:
        return
    try:
        import asyncio

        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "result() waits, and this thread runs the event loop of all jobs of this worker: use "
        "await handle.result_async()"
    )


class Watch:
    """One wait, in a job, for another job."""

    def __init__(self, engine: Engine, slots: Slots, job: int) -> None:
        self._engine = engine
        self._slots = slots
        self._job = f"{os.getpid()}.{job}"
        self._file: str | None = None
        self._seen: frozenset[str] = frozenset()
        self._since = 0.0
        self._limit = ALONE_AFTER

    @staticmethod
    def here(url: str, engine: Engine) -> Watch | None:
        """For the calling code, which waits for a job kept at *url*; ``None`` outside of a job of a worker of it."""
        within = _within.get()
        if within is None or not is_same_place(url, within[0].url):
            return None
        return Watch(engine, *within)

    def look(self, found: JobRecord) -> None:
        """The job that is waited for is as it was *found*, and has not ended.

        Raises:
            WouldDeadlock: as described above.
        """
        slots = self._slots
        if found.queue not in slots.queues or (slots.tasks and found.task not in slots.tasks):
            return
        runs_elsewhere = found.state is JobState.RUNNING and found.worker not in (None, slots.worker)
        waiting = self._all_waiting()
        if runs_elsewhere or len({_job_of(name) for name in waiting}) < slots.count or waiting != self._seen:
            self._seen, self._since, self._limit = waiting, monotonic(), ALONE_AFTER
            return
        if monotonic() - self._since >= self._limit and self._file == max(waiting, key=_number_of):
            self._give_up(found)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            _remove(os.path.join(self._slots.folder, self._file))

    def _all_waiting(self) -> frozenset[str]:
        folder = self._slots.folder
        if self._file is None:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            # By the clock that all processes of the machine share.
            self._file = f"{self._job}.{time.monotonic_ns()}"
            with open(os.path.join(folder, self._file), "x"):
                pass
        names = os.listdir(folder)
        gone = {name for name in names if not _is_alive(int(name.partition(".")[0]))}
        for name in gone:
            _remove(os.path.join(folder, name))
        return frozenset(names) - gone

    def _give_up(self, found: JobRecord) -> None:
        alive = [row.name for row in self._engine.workers() if row.alive]
        if found.state is JobState.RUNNING and alive.count(self._slots.worker) > 1:
            return  # another worker of the same name may run it
        if len(alive) > 1 and self._limit < STUCK_AFTER:
            self._limit = STUCK_AFTER
            return
        slots = self._slots
        raise WouldDeadlock(
            f"all {slots.count} slots of worker {slots.worker!r} wait for jobs of queues that it works on, and "
            f"{found.id} ({found.task}, {found.state.value}) was not begun for {self._limit:g} s: give what is "
            "waited for a queue and workers of its own, @queue.task(queue=...), or enqueue what follows instead of "
            "waiting"
        )


def _job_of(name: str) -> str:
    return name.rpartition(".")[0]


def _number_of(name: str) -> int:
    return int(name.rpartition(".")[2])


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # its worker has ended, and removed the folder


_within: ContextVar[tuple[Slots, int] | None] = ContextVar("steadypool_within", default=None)
_of_process: Slots | None = None
_serials = count()
