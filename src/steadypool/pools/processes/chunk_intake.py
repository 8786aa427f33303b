"""Items of a map are taken on together, in chunks (`pools.processes.chunk`): how many, and how a chunk is made.

The map asks first how many items it is to gather (`ChunkIntake.items_together`), unless its caller gave a
``chunksize``. What has gathered comes in by `ChunkIntake.enter`, which makes a chunk of as many as fit a packet. The
numbers are those of `rules.prefetch`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from steadypool.model.options import TaskOptions
from steadypool.pools.processes.chunk import Chunk, Landed
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.packets import PackedCall, pack_chunk
from steadypool.pools.processes.places import Places
from steadypool.pools.processes.preparation import Preparation
from steadypool.pools.processes.steal import Stealer
from steadypool.primitives.job_context import running_loop
from steadypool.rules import prefetch


class ChunkIntake:
    """Takes on chunks of one pool, and cancels them."""

    def __init__(
        self,
        fleet: Fleet,
        places: Places,
        preparation: Preparation,
        stealer: Stealer,
        is_own_thread: Callable[[], bool],
    ) -> None:
        self._fleet = fleet
        self._core = fleet.core
        self._places = places
        self._preparation = preparation
        self._stealer = stealer
        self._is_own_thread = is_own_thread

    def items_together(self, fn: Callable[..., object], window: int) -> int:
        """How many of the next items of a map to gather, if the caller does not say."""
        if not self._fleet.takes_chunks or self._core.emitter.sinks:
            return 1
        return prefetch.by_themselves(self._fleet.pace.run_seconds.of(fn), window, self._core.max_workers)

    def enter(
        self, options: TaskOptions, fn: Callable[..., object], calls: list[tuple[object, ...]], landed: Landed | None
    ) -> Chunk | None:
        """Take on the first of these calls, as many as should travel together; ``None`` if they should not.

        Raises:
            PoolClosed: the pool takes no more jobs.
        """
        rooms = self._take_rooms(
            prefetch.together(len(calls), self._fleet.pace.run_seconds.of(fn), self._fleet.pace.item_bytes)
        )
        packed, calls = self._pack_together(fn, calls[:rooms])
        self._core.queue.give_rooms(rooms - len(calls))
        if packed is None:
            return None
        numbers = list(islice(self._core.tickets, len(calls)))
        if numbers[-1] - numbers[0] >= len(numbers):
            # Not with the GIL: another thread has taken tickets in between. The worker counts from the first.
            self._core.counts.withdraw(len(numbers))
            self._core.queue.give_rooms(len(numbers))
            return None
        chunk = Chunk(self._core, self.cancel_chunk, options, fn, calls, numbers, packed, landed)
        self._core.queue.items.append(chunk)
        if not self._fleet.full:
            self._fleet.pump()
        if self._core.refusal is not None and self._core.queue.remove(chunk):
            self._core.queue.give_rooms(chunk.rooms)
            self._core.counts.withdraw(chunk._size)
            self._fleet.bell.ring()
            raise self._core.refusal()
        return chunk

    def _pack_together(
        self, fn: Callable[..., object], calls: list[tuple[object, ...]]
    ) -> tuple[PackedCall | None, list[tuple[object, ...]]]:
        """Pickle as many of the first of these calls as fit a packet, and say which; none if they are to go singly."""
        while len(calls) > 1:
            try:
                packed = pack_chunk(self._preparation.functions, fn, calls)
            except Exception:
                break  # one of them cannot be pickled: each for itself, so that it fails alone
            assert packed.call is not None
            size = packed.call.size
            self._fleet.pace.item_bytes = size / len(calls)
            if size <= prefetch.CHUNK_BYTES:
                return packed, calls
            calls = calls[: len(calls) // 2]
        return None, []

    def _take_rooms(self, count: int) -> int:
        """Take as many places of the queue, waiting for them as a single job does; fewer if it has no more."""
        queue = self._core.queue
        if queue.take_rooms(count):
            return count
        if self._is_own_thread() or running_loop() is not None:
            return 0  # what each then does is up to the single job
        return queue.wait_for_rooms(count, lambda: self._core.refusal is not None)

    def cancel_chunk(self, chunk: Chunk) -> None:
        """Cancel what has not started of a chunk."""
        with self._core.lock:
            if chunk.jobs is None and chunk.outcome is not None:
                return
            if chunk.jobs is None and (self._core.queue.remove(chunk) or self._stealer.reclaim(chunk)):
                self._places.free_rooms(chunk)
                self._places.cancel_items(chunk)
                return
            jobs = self._places.unfold(chunk)
            if not jobs:
                # It is between the queue and a worker, in the hands of a thread that waits for the lock.
                chunk._told = "cancelled"
        for job in jobs:
            job.cancel()
