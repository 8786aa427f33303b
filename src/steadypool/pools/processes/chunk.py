"""Items of a map that travel together.

A chunk is jobs that have not needed futures yet. It is one entry of the queue and of a worker's hand, one packet down,
and as few frames up as leave in time; its items are still counted one by one.

Whatever is out of the ordinary *unfolds* it: an item fails, its worker dies, the pool drains, a caller asks what runs.
Its items that have not come back then become ordinary jobs, in the place where the chunk was, and the map that takes
the results is given them instead. So nothing but the short way knows chunks. `pools.processes.chunk_intake` says how
many items a chunk has.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures._base import PENDING
from queue import Empty, SimpleQueue
from typing import Any

from steadypool.model.clock import monotonic
from steadypool.model.options import TaskOptions, task_name
from steadypool.model.states import Outcome
from steadypool.pools.core.core import Core
from steadypool.pools.core.shared import Job
from steadypool.primitives.future import JobFuture

Landed = SimpleQueue[Any]


class Chunk:
    """Plain calls of one function, and what has come back of them. The core's lock protects it."""

    # What the queue, the hand, the pump and the packet touch of any entry.
    attempts = 0
    _entry = None
    _gated = None
    _told: str | None = None
    """It was cancelled while it was between two places: it must not start."""
    _attempt_ends: float | None = None
    _total_ends: float | None = None
    _packed_meta: bytes | None = None
    _has_room = True
    _state = PENDING
    _worker: Any = None
    _began = 0.0
    _serial = 0

    def __init__(
        self,
        core: Core,
        cancel: Callable[[Chunk], None],
        options: TaskOptions,
        fn: Callable[..., object],
        calls: list[tuple[object, ...]],
        numbers: list[int],
        packed: Any,
        landed: Landed | None,
    ) -> None:
        self._core = core
        self._cancel = cancel
        self._options = options
        self._fn = fn
        self._calls = calls
        self._numbers = numbers
        self._number = numbers[0]
        self._submitted = monotonic()
        self._packed = packed
        self._size = len(calls)
        self.rooms = self._size - 1
        """Places of the queue that it holds, besides the one that any entry does."""
        self.done = 0
        """Items that have come back; the first ones, since they run in order."""
        self.seconds = 0.0
        """How long those ran."""
        self.jobs: list[Job] | None = None
        """What it was unfolded into."""
        self._landed: Landed = SimpleQueue() if landed is None else landed

    @property
    def job_id(self) -> str:
        """The id of the item that comes back next."""
        return f"{self._core.name}-{self._numbers[min(self.done, self._size - 1)] + 1}"

    @property
    def outcome(self) -> Outcome | None:
        """As of a job: ``None`` as long as items have not come back."""
        return Outcome.SUCCEEDED if self.done == self._size else None

    @property
    def _task_name(self) -> str:
        return task_name(self._fn)

    # -- for the core, which holds its lock

    def came_back(self, values: list[object], seconds: float) -> None:
        """The next items have these results."""
        self.done += len(values)
        self.seconds += seconds
        if self.done == self._size:
            self._calls = []
        self._landed.put((self, values))

    def unfold(self) -> list[Job]:
        """The items that have not come back, as jobs. Only once."""
        jobs = [self._as_job(index) for index in range(self.done, self._size)]
        self._calls = []
        # A list of its own for the taker of the results, which forgets each job once it has its result.
        self.jobs = jobs[:]
        self._landed.put((self, None))
        return jobs

    def _as_job(self, index: int) -> Job:
        job: Job = JobFuture(
            self._core,
            self._options,
            self._fn,
            self._calls[index] if self._calls else (),
            {},
            None,
            self._submitted,
            self._numbers[index],
        )
        if self._worker is not None:
            job._worker = self._worker
            job._serial = self._serial + index
            job._began = self._began
        job.attempts = self.attempts
        return job

    # -- for the taker of the results

    def next(self, deadline: float | None) -> list[Any] | None:
        """The next results, in order; ``None`` once it has been unfolded. For chunks that land on their own.

        Raises:
            TimeoutError: nothing came until *deadline* (`time.monotonic`).
        """
        waiting = self._core.begin_wait(None)
        try:
            values: list[Any] | None = self._landed.get(
                timeout=None if deadline is None else max(0.0, deadline - monotonic())
            )[1]
        except Empty:
            raise TimeoutError("the map's results were not all there within its timeout") from None
        finally:
            self._core.end_wait(waiting)
        return values

    def cancel(self) -> None:
        """Cancel the items that have not started."""
        self._cancel(self)


Entry = Job | Chunk
"""What waits in the queue of a process pool, and stands in the hand of a worker."""
