"""What all parts of a pool of processes look at: its workers, and what they may be given."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from steadypool.model.states import PoolState
from steadypool.pools.core.core import Core
from steadypool.pools.core.shared import Job
from steadypool.pools.processes.chunk import Entry
from steadypool.pools.processes.pace import Pace
from steadypool.pools.processes.trim import Trim
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.pools.threads.worker import JobRunner
from steadypool.primitives.wakeup import PipeBell


class Fleet:
    """The workers of one pool, and the facts by which jobs go to them. The core's lock protects it."""

    def __init__(self, core: Core, bell: PipeBell, packets: bool, pump: Callable[[], None]) -> None:
        self.core = core
        self.bell = bell
        self.packets = packets
        """Whether the lines to workers keep packets: what lies unread in one can be taken back."""
        self.plan = core.call_later
        self.pump = pump
        """Hands waiting jobs to workers with room."""
        self.takes_bundles = packets
        """Whether jobs may travel together."""
        self.takes_chunks = True
        """Whether items of a map may."""
        self.workers: set[ProcessWorker] = set()
        self.available: tuple[ProcessWorker, ...] = ()
        """The workers that may be given jobs."""
        self.callers: set[JobRunner] = set()
        """Threads of this process that hold a job: callers, and the loader."""
        self.stuck: dict[object, Job] = {}
        self.may_grow = True
        """Whether another worker may be started."""
        self.holding = False
        """No worker is started for a while, since some could not be."""
        self.full = False
        """No worker has room: no thread need try before a result comes."""
        self.told_started: WeakKeyDictionary[Entry, int] = WeakKeyDictionary()
        """Jobs that were first in a hand, and taken back, and the attempt that sinks may know to have started."""
        self.pace = Pace(core.run_times, packets)
        self.trim = Trim(core, lambda: self.workers)

    def recount(self) -> None:
        """Something changed that the number of workers depends on. The lock is held."""
        self.available = tuple(worker for worker in self.workers if not worker.retiring and not worker.dead)
        self.may_grow = len(self.available) < self.core.max_workers and not self.holding and self.refusal_is_soft()

    def refusal_is_soft(self) -> bool:
        """Whether there may still be jobs to run."""
        return self.core.state is not PoolState.CLOSED and self.core.broken_by is None

    def came_back(self, worker: ProcessWorker) -> None:
        """The worker has come back from a job that was settled while it ran, or is dead. The lock is held."""
        job, worker.taken, worker.taken_name = worker.taken, None, None
        if job is not None:
            self.core.limits.free(job)

    def pids(self) -> list[int]:
        """The processes of the workers that live."""
        with self.core.lock:
            return [worker.pid for worker in self.workers if worker.started and not worker.dead]

    def look_again(self) -> None:
        """Workers may have room, or what waits may have changed: hand out what can be."""
        self.full = False
        self.pump()
