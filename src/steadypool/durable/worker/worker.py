"""The worker: claims jobs, has pools run them, and writes down what became of each.

Theory of operation
-------------------
Three threads of ours, and the pool's::

    caller    ──run()──▶ waits for the end, and for signals; has the last word on the time limit
    loop      ══ settle + claim, one transaction ══ engine     (everything that is held is changed here alone)
                │ claims ▼            ▲ ended jobs (appended by the pool's threads, which then ring)
    pool      ──┴── runs them ────────┘
    heartbeat ── renews the lease (`durable.worker.heartbeat`); wakes the loop when it was lost

The loop's rounds are here. What each part of one does is in a file of its own::

    settlement  what has ended      ─▶ settlements in flight (`verdicts`: which)
    claims      what is in flight   ◀▶ engine: settle, then claim (`rules.claim_size`, `room`: how many, and when)
    dispatch    claims              ─▶ jobs of the pools (`kinds`, `kind_pools`), short ones in bundles
    give_back   claims that wait    ─▶ settlements in flight, behind a job that takes long
    schedules   ticks that are due  ─▶ jobs of the queue
    wait        until there is news, or enough has ended

* **One claim, one settlement.** A claim is in flight until its settlement is pending; it is pending until the
  engine has written it. After an error of the engine everything stays where it is and is tried again.
* **A lost lease** (`durable.worker.registration`): every job at work is asked to stop (``lease_lost``), a new
  registration is made, and work goes on. What the old jobs return is still offered to the engine, whose fence decides.
* **The end** (`durable.worker.shutdown`): the caller of `run` waits for it no longer than the limit, whatever the
  engine does, and then says what was not written.
* **Waking.** A request to stop and a lost lease are states that the loop looks at before it sleeps; the thread that
  changes one wakes the loop next. A job that has ended is in flight before the loop is woken.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar

from steadypool.durable.client.nested_waits import Slots, new_folder
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.records import ClaimResult, Verdict
from steadypool.durable.worker import lifespan
from steadypool.durable.worker.claims import Claimer
from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.depths import Depths
from steadypool.durable.worker.dispatch import Dispatcher
from steadypool.durable.worker.emitter import events
from steadypool.durable.worker.engine_backoff import RETRYABLE
from steadypool.durable.worker.give_back import GiveBack
from steadypool.durable.worker.kind_pools import KindPools, show_pool
from steadypool.durable.worker.kinds import SlotGroup, kind_of, kinds_of, limits_of, slot_groups
from steadypool.durable.worker.limits import Limits
from steadypool.durable.worker.links import LinkUpkeep
from steadypool.durable.worker.maintenance import Maintenance
from steadypool.durable.worker.pool_adapter import Pool, TaskAdapter, check_pool_arguments, open_pool
from steadypool.durable.worker.registration import Registration
from steadypool.durable.worker.report import WorkReport
from steadypool.durable.worker.room import Room
from steadypool.durable.worker.run_job import nothing
from steadypool.durable.worker.schedules import Scheduler
from steadypool.durable.worker.settings import WorkerSettings
from steadypool.durable.worker.settlement import Settler
from steadypool.durable.worker.shutdown import Shutdown
from steadypool.durable.worker.stop_request import stop_on_signals
from steadypool.durable.worker.unknown_tasks import UnknownTasks
from steadypool.durable.worker.until_empty import UntilEmpty
from steadypool.durable.worker.wait import WorkerWait
from steadypool.model.clock import monotonic
from steadypool.model.errors import PoolBroken
from steadypool.model.health import Health, HealthReason
from steadypool.model.options import TaskOptions
from steadypool.model.queue_depth import LimitCount, QueueDepth
from steadypool.model.sink_protocols import QueueWatcher, Sink, Watcher
from steadypool.model.states import PoolState
from steadypool.pools.inspect.health import read_health
from steadypool.rules import claim_size
from steadypool.rules.health import is_alive

T = TypeVar("T")
WARM_UP = TaskOptions(name="steadypool.warm_up", meta={})
WARM_UP_LIMIT = 20.0
"""Seconds that a worker waits for its processes before it begins to claim."""
WRITE_OUT = 5.0
"""Seconds to write down what has ended, when the pool was closed from outside."""


class Worker:
    """Works on a queue until a drain is requested. Made for one run.

    Args:
        queue: the queue; its tasks are the ones that this worker knows.
        settings: how.

    Any thread, and a signal handler, may call `request_drain`.
    """

    def __init__(self, queue: Queue, settings: WorkerSettings | None = None) -> None:
        self.settings = settings = settings or WorkerSettings()
        self._queue = queue
        self._context = context = WorkerContext.of(queue.url, settings)
        self._engine = context.engine
        self._emitter = context.emitter
        self._counts = context.counts
        self._backoff = context.backoff
        self._in_flight = context.in_flight
        self._stop = context.stop
        self._wait = WorkerWait(self._in_flight, self._is_interrupted)
        self._kinds = kinds_of(queue.tasks.values(), settings.kind)
        check_pool_arguments(settings, self._kinds)
        self._registration = Registration(context, queue.tasks, self._kinds != ("process",), self._wait.wake)
        self._claimer = Claimer(context, lambda: self._registration.number, Limits(context, queue).declare_due)
        self._maintenance = Maintenance(
            self._engine, settings.caps.losses, claim_size.LOOK_AGAIN, lambda: self._registration.may_sweep
        )
        self._scheduler = Scheduler(context, queue)
        self._links = LinkUpkeep(context)
        self._folder = new_folder()
        self._pools: KindPools | None = None
        self._sinks: list[Sink] = []
        self._pool_sinks: list[Sink] = []
        self._depths = Depths(queue.url, settings.queues)
        self._is_registered = False
        self._look_at = 0.0
        """When the engine is asked again though there is nothing to write and no room."""
        self._until_empty = False
        self._is_stopping = False
        self._done = threading.Event()
        self._failure: BaseException | None = None
        for sink in queue.sinks:
            self.subscribe(sink)

    # -- for the caller

    def run(self, *, until_empty: bool = False, drain_timeout: float = 30.0, on_signals: bool = False) -> WorkReport:
        """Work until a drain is requested.

        Args:
            until_empty: stop, too, when no job of these queues is available, running or about to be retried. Jobs in a
                paused queue are left there, and noted.
            drain_timeout: for *on_signals*: seconds that the end may take, everything included.
            on_signals: SIGTERM and SIGINT drain; a second one cancels what runs; only on the main thread.

        Raises:
            SchemaMismatch: the tables are of another version.
            EngineError: the store could not be reached at the start.
        """
        self._until_empty = until_empty
        thread = threading.Thread(target=self._work, name="steadypool-durable", daemon=True)
        with stop_on_signals(self.request_drain, drain_timeout) if on_signals else nullcontext():
            thread.start()
            self._wait_for_the_end()
        if self._failure is not None:
            raise self._failure
        return self._counts.report(self._in_flight)

    def request_drain(self, seconds: float | None = 30.0) -> None:
        """Claim no more and end, within *seconds*, everything included (``None``: when all that runs has ended)."""
        self._stop.request(seconds)
        self._wait.wake()

    def subscribe(self, sink: Sink, *, jobs: bool = False) -> Callable[[], None]:
        """Have *sink* called with every event of the worker (`steadypool.events`); returns what ends that.

        A sink with metrics shows the figures of the queues, too, and the books of the pool.

        With *jobs*, before `run`, also with every event of its pool; short jobs then travel one by one, so that each
        has its own.
        """
        self._emitter.subscribe(sink)
        if isinstance(sink, QueueWatcher):
            sink.watch_queues(self)
        self._sinks.append(sink)
        if jobs:
            self._pool_sinks.append(sink)
        for pool in self._opened:
            show_pool(pool, sink)
        return partial(self._unsubscribe, sink)

    def _unsubscribe(self, sink: Sink) -> None:
        self._emitter.unsubscribe(sink)
        self._sinks = [other for other in self._sinks if other is not sink]
        if isinstance(sink, QueueWatcher):
            sink.unwatch_queues(self)
        if isinstance(sink, Watcher):
            for pool in self._opened:
                sink.unwatch(pool)

    def health(self) -> Health:
        """Whether the worker is alive, and ready: registered, its pools and its database at work. From any thread."""
        pools = self._opened
        reasons = tuple(dict.fromkeys(reason for pool in pools for reason in read_health(pool._core).reasons))
        reasons += tuple(self._reasons())
        state = pools[0]._core.public_state if pools else PoolState.OPEN
        capacity = sum(pool.stats().capacity for pool in pools)
        return Health(self.settings.name, state, is_alive(reasons), not reasons, reasons, capacity=capacity)

    def _reasons(self) -> Iterator[HealthReason]:
        if self._failure is not None:
            yield HealthReason.BROKEN
        elif self._done.is_set():
            return
        elif not self._is_registered:
            yield HealthReason.STARTING
        elif self._stop.requests and self._opened and self._opened[0]._core.public_state is PoolState.OPEN:
            yield HealthReason.DRAINING
        if self._backoff and not self._done.is_set():
            yield HealthReason.STORE_AWAY

    def depths(self) -> tuple[QueueDepth, ...]:
        """What its named queues hold, as of a few seconds ago, counted up to a bound. From any thread; never waits
        longer than a second for the database."""
        return self._depths.read()

    def failures(self) -> Mapping[tuple[str, str, str], int]:
        """How many attempts have failed here, by queue, task, and what came next: ``"retry"`` or ``"discard"``."""
        return dict(self._emitter.failures)

    def ticks(self) -> Mapping[tuple[str, str, str], int]:
        """How many ticks of schedules this worker has put a job for, or has skipped, by queue and task."""
        return dict(self._emitter.ticks)

    def limits(self) -> tuple[LimitCount, ...]:
        """How many jobs run and wait under each limit, of all workers, likewise; none while that is not known."""
        return self._depths.read_limits()

    @property
    def _core(self) -> Any:
        """That of its first pool, for those who show it; ``None`` before there is one."""
        return self._opened[0]._core if self._opened else None

    @property
    def _opened(self) -> tuple[Pool, ...]:
        """Its pools, the first one first."""
        return () if self._pools is None else tuple(self._pools.opened.values())

    @property
    def time_left(self) -> float | None:
        """Seconds until everything must be over; ``None``: there is no limit."""
        return self._stop.remaining

    @property
    def completed(self) -> int:
        """How many jobs it has completed, and written down, so far."""
        return self._counts.verdicts[Verdict.COMPLETE]

    @property
    def held(self) -> int:
        """How many claims it holds now."""
        return len(self._in_flight.held)

    def _wait_for_the_end(self) -> None:
        # Looked at again each second: a signal handler may have set the limit meanwhile.
        while not self._done.wait(self._stop.within(claim_size.LOOK_AGAIN)):
            if self._stop.remaining == 0.0:
                self._counts.notes.append("the time was up before everything was written down")
                return

    # -- the loop's life

    def _work(self) -> None:
        try:
            pools = self._set_up()
            self._try(self._claimer.declare_limits)
            self._try(self._scheduler.run_due)  # before it is asked whether there is nothing to do
            while not self._stop.requests and not self._is_empty():
                self._round()
            self._is_stopping = True
            Shutdown(self._context, pools, self._wait, self._registration, self._claimer, self._settler).run()
            self._check_lifespan()
        except BaseException as error:
            self._failure = error
            self._abandon()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._depths.close()
            self._done.set()

    def _abandon(self) -> None:
        """It cannot go on: what it holds is to be had by others as soon as the lease is over."""
        self._registration.stop()
        if self._pools is not None:
            self._pools.request_drain(0.0)
            self._pools.leave()
        self._engine.close()

    def _set_up(self) -> KindPools:
        if self._engine.schema().found == 0:
            self._engine.migrate()
        self._registration.begin()
        tasks, settings = self._queue.tasks, self.settings
        kinds = {name: kind_of(task, settings.kind) for name, task in tasks.items()}
        groups = slot_groups(settings, self._kinds, self._queue.coroutines)
        self._room = room = Room(settings, groups, kinds, self._in_flight)
        slots = self._slots_of(groups, kinds)
        has_savers = any(task.states is not None for task in tasks.values())
        mark = os.path.join(self._folder, "drains") if has_savers else None
        self._pools = pools = KindPools(
            self._kinds, lambda kind: self._open_pool(kind, slots[kind]), self._pool_has_closed, mark
        )
        limits = limits_of(groups, settings.name)
        adapters = {name: TaskAdapter(tasks[name], kind, slots[kind], limits.get(kind)) for name, kind in kinds.items()}
        self._dispatcher = Dispatcher(
            self._context, pools, room, adapters, not self._pool_sinks, self._wait.jobs_have_ended
        )
        self._give_back = GiveBack(self._in_flight, pools, room)
        self._unknown = UnknownTasks(self._context, adapters)
        self._emptiness = UntilEmpty(self._context, self._unknown, self._links)
        self._settler = Settler(self._context, adapters, self._dispatcher)
        early = self._kinds if self._queue.lifespan is not None else self._kinds[:1]
        for kind in early:  # where there is a lifespan, it is entered before a job is claimed
            pool = pools.of(kind)
            if kind == "process":
                self._warm_up(pool, slots["process"].count)
        self._wait.listener = self._engine.listener("work")
        if advisory := self._engine.take_advisory():
            self._emitter.report(events.EngineAdvisory, advisory)
        self._is_registered = True  # who hears of it may ask at once
        self._registration.emit_registered()
        return pools

    def _slots_of(self, groups: Sequence[SlotGroup], kinds: Mapping[str, str]) -> Mapping[str, Slots]:
        """What the jobs of each kind know of the worker."""
        url, settings = self._queue.url, self.settings
        slots: dict[str, Slots] = {}
        for number, group in enumerate(groups):
            names = frozenset(name for name, kind in kinds.items() if kind in group.kinds)
            folder = os.path.join(self._folder, str(number))
            for kind in group.kinds:
                slots[kind] = Slots(url, settings.name, settings.queues, group.slots, kind == "async", folder, names)
        return slots

    def _open_pool(self, kind: str, slots: Slots) -> Pool:
        settings, pools = self.settings, self._pools
        assert pools is not None
        name = settings.pool.get("name") or " ".join(settings.queues)
        if kind != self._kinds[0]:
            name = f"{name} ({kind})"
        manager = self._queue.lifespan
        if manager is not None and kind == "thread":
            pools.enter(manager, slots)
        pool = open_pool(settings, kind, name, slots, self._queue)
        if manager is not None and kind == "async":
            pools.enter(manager, slots, pool)
        for sink in self._pool_sinks:
            pool.subscribe(sink)
        for sink in self._sinks:
            if sink not in self._pool_sinks:
                show_pool(pool, sink)
        return pool

    def _raise_unless_entered(self, future: Any) -> None:
        try:
            future.result()
        except PoolBroken as broken:
            if self._queue.lifespan is None:
                raise
            raise lifespan.failed(lifespan.reason_of(broken)) from broken

    def _check_lifespan(self) -> None:
        """Raise what has kept a process from entering the lifespan."""
        if self._queue.lifespan is None:
            return
        for pool in self._opened:
            refusal = pool._core.refusal
            error = None if refusal is None else refusal()
            if isinstance(error, PoolBroken):
                raise lifespan.failed(lifespan.reason_of(error))

    def _warm_up(self, pool: Pool, count: int) -> None:
        """Have every process of the pool there before the first job is claimed, which would wait for them.

        Raises:
            PoolBroken: none can be started.
        """
        until = monotonic() + WARM_UP_LIMIT
        futures = pool._submit_prepared([(WARM_UP, nothing, ())] * count)
        while not self._stop.requests and monotonic() < until and wait(futures, 0.5).not_done:
            pass
        for future in futures:
            if future.done():
                self._raise_unless_entered(future)

    # -- one round

    def _round(self) -> None:
        self._registration.begin_again()
        began = monotonic()
        self._give_back.run_due(began)
        ended = self._in_flight.take_ended()
        self._room.note_ended(ended, began)
        self._settler.settle_all(ended)
        if (answer := self._settle_and_claim(began)) is None:
            self._wait.sleep(self._backoff.pause)
            return
        self._dispatcher.start(answer.claims, self._registration.number)
        self._settler.request_cancels(answer.cancels)
        self._maintain()
        self._maintain_unknown()
        self._try(self._scheduler.run_due)
        if self._dispatcher.met_unknown or self._unknown.is_flooded():
            self._set_unknown_aside()
        else:
            self._wait_for_news(answer)

    def _set_unknown_aside(self) -> None:
        self._dispatcher.met_unknown = False
        if self._claimer.settle_and_claim() is None:  # what was claimed of them is to lie among the others first
            return
        self._try(self._unknown.set_aside)

    def _settle_and_claim(self, now: float) -> ClaimResult | None:
        asks = self._room.asks(now)
        if not asks and not self._in_flight.pending and now < self._look_at:
            return ClaimResult()  # nothing to write, no room: the engine is only asked for cancels, now and then
        self._look_at = now + claim_size.LOOK_AGAIN
        return self._claimer.settle_and_claim(asks)

    def _wait_for_news(self, answer: ClaimResult) -> None:
        in_flight, has_room = self._in_flight, self._room.has_some()
        if in_flight.pending or self._is_interrupted() or (answer.more and has_room):
            return  # something was settled without having run, or there is more to be had
        until = min(claim_size.LOOK_AGAIN, self._scheduler.until_due(), self._claimer.reports.until_save())
        if has_room and not in_flight.ended and not self._is_empty():
            until = min(until, self._maintenance.until_prune())
            self._wait.listen(until if answer.next_due is None else min(until, answer.next_due))
        elif not has_room and not in_flight.ended:
            self._wait.wait_for_end(until)
        self._wait.gather(self._room.slots)

    def _is_interrupted(self) -> bool:
        return bool(self._stop.requests) or self._registration.is_lost

    def _pool_has_closed(self) -> None:
        """On the thread that closes it: `steadypool top` can have it drained, and a pool that is broken closes."""
        if not (self._stop.requests or self._is_stopping):
            self._counts.notes.append("its pool was closed by another, or could not go on; so the worker ended")
            self.request_drain(WRITE_OUT)

    def _maintain_unknown(self) -> None:
        """Find jobs that were set aside and are known here, and give up what no worker has known; now and then."""
        self._unknown.emit_set_aside(self._dispatcher.take_set_aside())
        if self._try(lambda: self._unknown.run_due(has_room=self._room.has_some())):
            self._wait.wake()  # there is something to claim

    def _maintain(self) -> None:
        """Tell how far jobs are and what has ended, take back what dead workers held, and prune; now and then."""
        self._try(self._claimer.report)
        self._try(self._context.minutes.write_due)
        if self._try(self._links.run_due):
            self._wait.wake()  # there is more
        if not self._maintenance.is_due():
            return
        if (swept := self._try(self._maintenance.run_due)) is not None and swept.workers:
            self._emitter.report(events.JobsRecovered, swept.workers, swept.returned, swept.discarded)

    def _try(self, step: Callable[[], T]) -> T | None:
        """Do what may wait; ``None``: the engine could not."""
        try:
            return step()
        except RETRYABLE as error:
            self._backoff.failed(error)
            return None

    def _is_empty(self) -> bool:
        return self._until_empty and self._emptiness.is_empty()
