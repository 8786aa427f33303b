"""A worker on the thread that calls it: claims one job, runs it, and settles it with the next claim. For tests.

It is made of the parts of `durable.worker.worker`, so that jobs are claimed, decoded, run, limited, judged and settled
as in production. What it has not: threads, a heartbeat, and patience. What the engine raises is for the caller.

Functions run on the calling thread, whatever kind of pool their tasks ask for; coroutine functions on an event loop,
one of its own or the one that it is given, which another thread has to run meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from steadypool.durable.client.nested_waits import Slots, new_folder
from steadypool.durable.client.queue import Queue
from steadypool.durable.client.task import DurableTask
from steadypool.durable.engine.errors import EngineError
from steadypool.durable.engine.records import Claim, ClaimResult, Settlement, Verdict
from steadypool.durable.engine.sweep_guard import MOST_SKIPPED
from steadypool.durable.engine.turns import LOOK_EVERY
from steadypool.durable.worker.claims import SETTLE, Claimer
from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.dispatch import Dispatcher, given_back
from steadypool.durable.worker.emitter import events
from steadypool.durable.worker.kind_pools import KindPools
from steadypool.durable.worker.kinds import kind_of, slot_groups
from steadypool.durable.worker.limits import Limits
from steadypool.durable.worker.links import LinkUpkeep
from steadypool.durable.worker.maintenance import Maintenance
from steadypool.durable.worker.pool_adapter import Pool, TaskAdapter
from steadypool.durable.worker.room import Ask, Room
from steadypool.durable.worker.schedules import Scheduler
from steadypool.durable.worker.settlement import Settler
from steadypool.model.clock import sleep
from steadypool.model.errors import Snooze
from steadypool.rules.near_names import near_name

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

KINDS = ("thread", "async")
LOOKS = 3
"""For a job that waits in a lane, before there is none."""
MOST_LOST = 1000
"""Jobs that a worker dies with."""


class Ended:
    """One job that has run."""

    def __init__(self, settlement: Settlement, error: BaseException | None) -> None:
        self.settlement = settlement
        self.error = error
        """Why its attempt failed; or the `Snooze` that it has raised."""

    @property
    def claim(self) -> Claim:
        """What was claimed."""
        return self.settlement.claim

    @property
    def has_failed(self) -> bool:
        """Whether its attempt did."""
        return self.error is not None and not isinstance(self.error, Snooze)

    @property
    def is_given_up(self) -> bool:
        """Whether it will not run again."""
        return self.settlement.verdict is Verdict.DISCARD


class CallerWorker:
    """A ``with`` block in which the calling thread is a worker.

    Args:
        context: as of every worker; its engine stays open.
        queues: the ones whose tasks it knows. All are kept in the one store.
        loop: where coroutine functions run; ``None``: on one of its own.
    """

    def __init__(self, context: WorkerContext, queues: Sequence[Queue], loop: AbstractEventLoop | None = None) -> None:
        self._context = context
        self._engine, self._in_flight = context.engine, context.in_flight
        self._loop = loop
        self._has_ended = threading.Event()
        self._error: BaseException | None = None
        self._trouble: Exception | None = None
        self.number = 0
        self._limits = [Limits(context, queue) for queue in queues]
        self._claimer = Claimer(context, lambda: self.number, self._declare_limits)
        self._schedulers = [Scheduler(context, queue) for queue in queues]
        self._links = LinkUpkeep(context)
        self._maintenance = Maintenance(self._engine, context.settings.caps.losses, 0.0, lambda: True)
        self._tasks, self._twice = _all_tasks(queues)
        self._kinds = {name: _kind_of(task) for name, task in self._tasks.items()}
        self._slots: dict[tuple[object, str], Slots] = {
            (queue, kind): self._slots_of(queue, kind) for queue in queues for kind in KINDS
        }
        self._entered: set[tuple[object, str]] = set()
        adapters = {
            name: TaskAdapter(task, kind, self._slots[task.queue, kind])
            for name, task in self._tasks.items()
            for kind in [self._kinds[name]]
        }
        self._pools = KindPools(KINDS, self._open_pool, lambda: None)
        groups = slot_groups(context.settings, KINDS, Queue.coroutines)
        room = Room(context.settings, groups, self._kinds, self._in_flight)
        self._dispatcher = Dispatcher(context, self._pools, room, adapters, False, self._has_ended.set)
        self._settler = Settler(context, adapters, self._dispatcher)

    def _declare_limits(self) -> None:
        for limits in self._limits:
            limits.declare_due()

    def __enter__(self) -> Self:
        self._context.emitter.subscribe(self._heard)
        self.number = self._engine.register(self._context.settings.name, self._context.settings.lease)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """What has not ended goes back, and what has is written."""
        left = list(self._in_flight.held.values())
        try:
            for held in left:
                self._in_flight.settle(held, given_back(held.claim))
            if kind is None:
                self._leave()
            else:
                with suppress(EngineError):  # the first error is the one to be told
                    self._leave()
        finally:
            if left:
                self._pools.request_drain(0.0)
            if self._pools.opened:
                self._pools.drain()

    def _leave(self) -> None:
        self.write()
        self._context.minutes.write()
        self._engine.leave(self.number)

    def look_after(self) -> None:
        """Do what a worker does now and then for all: for schedules, for jobs that wait for others, sweep and prune."""
        for scheduler in self._schedulers:
            scheduler.run_now()
            while not scheduler.until_due():  # there are many
                scheduler.run_now()
        self._links.run()
        self._maintenance.run_all()

    def step(
        self,
        queues: Sequence[str],
        attempt: int | None = None,
        state: bytes | None = None,
        interrupt_at: int | None = None,
    ) -> Ended | None:
        """Run one job of these queues; ``None``: there is none that may run now.

        Args:
            attempt: which one it is to be, whatever the store says.
            state: what its last run has saved, if the store does not say.
            interrupt_at: the save at which it is interrupted.

        Raises:
            EngineError: the engine could not.
            LookupError: none of the queues knows its task, or two do.
        """
        self._dispatcher.state, self._dispatcher.interrupt_at = state, interrupt_at
        for look in range(LOOKS if queues else 0):
            answer = self._claim(Ask(tuple(queues), 1))
            for claim in answer.claims:
                return self._run(claim if attempt is None else claim._replace(attempt=attempt))
            if look == 0:
                self._links.run()  # what the others wait for may have been given up
                continue
            if answer.next_due is None or answer.next_due > LOOK_EVERY:
                return None
            sleep(answer.next_due)  # an engine object looks at lanes only so often
        return None

    def lose(self, queues: Sequence[str], *, ran: bool) -> list[Claim]:
        """Claim all that may run of these queues, run it if *ran*, and settle nothing, as a worker that is killed."""
        self._declare_limits()
        claims = list(self._engine.claim(self.number, tuple(queues), MOST_LOST).claims)
        for claim in claims if ran else ():
            self._run(claim)
        self._in_flight.pending.clear()
        self._in_flight.done.clear()
        self._engine.renew(self.number, -1.0)
        for _ in range(MOST_SKIPPED + 1):  # on a busy machine a sweep may leave it to the next one
            self._engine.sweep(self._context.settings.caps.losses)
        return claims

    def write(self) -> None:
        """Write down what has ended."""
        if self._in_flight.pending or self._in_flight.done:
            self._claim(SETTLE)

    def _claim(self, ask: Ask) -> ClaimResult:
        answer = self._claimer.settle_and_claim([ask])
        if answer is None:
            assert self._trouble is not None
            raise self._trouble
        return answer

    def _run(self, claim: Claim) -> Ended:
        self._check_task(claim)
        self._has_ended.clear()
        self._error = None
        self._enter(claim.task)
        self._dispatcher.start([claim], self.number)
        while self._in_flight.held and not self._in_flight.ended:
            self._has_ended.wait()
        self._settler.settle_all(self._in_flight.take_ended())
        return Ended(self._in_flight.pending[-1], self._error)

    def _check_task(self, claim: Claim) -> None:
        """Do nothing, unless it is not known what to run; then the claim goes back.

        Raises:
            LookupError: saying why.
        """
        if claim.task in self._tasks and claim.task not in self._twice:
            return
        self._in_flight.settle(self._in_flight.take(claim, self.number, ""), given_back(claim))
        job = f"job {claim.id} is of the task {claim.task!r}"
        if claim.task in self._twice:
            raise LookupError(
                f"{job}, which two queues have, and a test keeps all queues in one store: name those of the test, as "
                "in job_store(queue)"
            )
        near = near_name(claim.task, self._tasks)
        hint = f"; did you mean {near!r}?" if near else ""
        raise LookupError(f"{job}, which no queue here has: import its module{hint}")

    def _heard(self, event: Any) -> None:
        if isinstance(event, events.EngineFailed):
            self._trouble = event.error
        elif isinstance(event, events.JobSnoozed):
            self._error = Snooze(event.delay)
        elif isinstance(event, (events.AttemptFailed, events.JobGivenUp, events.ArgumentsUnknown)):
            self._error = event.error

    # -- what runs them

    def _slots_of(self, queue: Queue, kind: str) -> Slots:
        url, settings = self._context.url, self._context.settings
        names = frozenset(name for name, task in self._tasks.items() if task.queue is queue)
        return Slots(url, settings.name, settings.queues, 1, kind == "async", new_folder(), names)

    def _open_pool(self, kind: str) -> Pool:
        name = self._context.settings.name
        if kind == "async":
            from steadypool.pools.aio.loop_pool import LoopPool

            return LoopPool(1, loop=self._loop, name=name)
        from steadypool.pools.threads.pool import CallerPool

        return CallerPool(1, name=name)

    def _enter(self, name: str) -> None:
        """Enter the lifespan of the task's queue, before its first job of a kind.

        Raises:
            LifespanFailed: it cannot be entered.
        """
        queue, kind = self._tasks[name].queue, self._kinds[name]
        if queue.lifespan is not None and (queue, kind) not in self._entered:
            pool = self._pools.of(kind)
            self._pools.enter(queue.lifespan, self._slots[queue, kind], pool if kind == "async" else None)
            self._entered.add((queue, kind))


def _kind_of(task: DurableTask[Any, Any]) -> str:
    return "async" if kind_of(task, "thread") == "async" else "thread"


def _all_tasks(queues: Sequence[Queue]) -> tuple[Mapping[str, DurableTask[Any, Any]], set[str]]:
    """By their names, and names that two functions have. Of a function that was made a task again, as by a factory of
    applications, the last task counts."""
    tasks: dict[str, DurableTask[Any, Any]] = {}
    twice: set[str] = set()
    for queue in queues:
        for name, task in queue.tasks.items():
            known = tasks.get(name)
            if known is not None and getattr(known.fn, "__code__", None) is not getattr(task.fn, "__code__", task):
                twice.add(name)
            tasks[name] = task
    return tasks, twice
