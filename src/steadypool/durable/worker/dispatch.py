"""From claims to jobs of the pool: one by one, or several short ones in a bundle.

A **bundle** is short jobs of one task that are one job for a pool of processes, since a message costs more than they
do. Each has its own context, outcome and claim (`durable.worker.run_job`). When a bundle ends without
saying how one of its jobs did (its process died, its time was up), that one runs again alone, under the same claim.

Not on threads: a process that is stopped runs nothing more, while a thread goes on with the job that it has begun.
That one would then run twice at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from steadypool.durable.engine.records import Claim, Settlement, Verdict
from steadypool.durable.worker import verdicts
from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.engine_backoff import RETRYABLE
from steadypool.durable.worker.in_flight import Bundle, HeldClaim, InFlight
from steadypool.durable.worker.kind_pools import KindPools
from steadypool.durable.worker.pool_adapter import TaskAdapter, most_bundled
from steadypool.durable.worker.room import Room
from steadypool.durable.worker.saver import Beginning
from steadypool.model.clock import monotonic
from steadypool.model.errors import JobTimeout
from steadypool.pools.executor.contract import Prepared


class Dispatcher:
    """Hands claims to the pool. On the worker's loop.

    Args:
        pools: what runs them.
        room: what fits.
        adapters: of each task that is known here.
        may_bundle: whether short jobs may travel together.
        on_end: called on a thread of the pool when jobs have ended; they are in flight by then.
    """

    def __init__(
        self,
        context: WorkerContext,
        pools: KindPools,
        room: Room,
        adapters: Mapping[str, TaskAdapter],
        may_bundle: bool,
        on_end: Callable[[], None],
    ) -> None:
        self._in_flight = context.in_flight
        self._emitter = context.emitter
        self._pools = pools
        self._room = room
        self._adapters = adapters
        self._may_bundle = may_bundle
        self._on_end = on_end
        self._set_aside_for = context.settings.given_up_after
        self._engine, self._backoff = context.engine, context.backoff
        self._has_savers = any(adapter.states is not None for adapter in adapters.values())
        self.interrupt_at: int | None = None
        """The save at which jobs are interrupted, for tests; likewise the state with which they begin."""
        self.state: bytes | None = None
        self.met_unknown = False
        """Whether there were jobs that cannot be run here: they are given back, and are to be set aside."""
        self._set_aside: Counter[str] = Counter()

    def start(self, claims: Sequence[Claim], worker: int) -> None:
        """Have these run, which the registration *worker* has claimed."""
        starting: list[HeldClaim] = []
        now = monotonic() if claims else 0.0
        for claim in claims:
            adapter = self._adapters.get(claim.task)
            kind = "" if adapter is None else adapter.kind
            fits = adapter is None or self._room.fits(kind, claim.queue)
            held = self._in_flight.take(claim, worker, kind, now)
            if adapter is None and claim.turn is not None:
                aside = Settlement(claim, Verdict.RETURN, delay=self._set_aside_for, aside=True)
                self._in_flight.settle(held, aside)
                self._set_aside[claim.task] += 1
            elif adapter is None or not fits:
                self._in_flight.settle(held, given_back(claim))
                self.met_unknown = self.met_unknown or adapter is None
            elif not adapter.has_passed(claim):
                self._file_anew(held, adapter)
            elif claim.expires_in is not None and claim.expires_in <= 0:
                error = JobTimeout("its total_timeout passed", job_id=claim.id, limit="total_timeout")
                self._give_up(held, verdicts.expired(claim), error)
            else:
                starting.append(held)
        if starting and self._has_savers:
            starting = self._begun(starting)
        if starting:
            self._submit(self._bundled(starting))

    def _begun(self, starting: Sequence[HeldClaim]) -> list[HeldClaim]:
        """Those that may start, each with what its last run has saved. If that cannot be read, it goes back."""
        adapters = self._adapters
        back = [held for held in starting if held.claim.token > 1 and adapters[held.claim.task].states is not None]
        try:
            states = self._engine.notes.read([held.claim.number for held in back]) if back else {}
        except RETRYABLE as error:
            self._backoff.failed(error)
            for held in back:
                self._in_flight.settle(held, given_back(held.claim))
            starting = [held for held in starting if held not in back]
            states = {}
        for held in starting:
            claim, kind = held.claim, adapters[held.claim.task].states
            if kind is not None:
                self._in_flight.saves = True
                state = states.get(claim.number, self.state)
                facts = claim.number, claim.token, claim.lease, state, self._pools.mark, self.interrupt_at
                held.beginning = Beginning(kind, *facts)
        return list(starting)

    def take_set_aside(self) -> Counter[str]:
        """How many jobs of each task stood in lanes, cannot be run here, and are set aside."""
        found, self._set_aside = self._set_aside, Counter()
        return found

    def _file_anew(self, held: HeldClaim, adapter: TaskAdapter) -> None:
        """It was put before its task had these limits: it has to wait for its turn first."""
        try:
            turn = adapter.turn_of(held.claim)
        except Exception as error:  # of its arguments, or of the user's function that makes a key
            self._give_up(held, verdicts.not_started(held.claim, error), error)
        else:
            self._in_flight.settle(held, given_back(held.claim)._replace(turn=turn))

    def start_alone(self, held: HeldClaim) -> None:
        """Have one run again that was in a bundle."""
        self._submit([[held]])

    def _bundled(self, starting: Sequence[HeldClaim]) -> list[list[HeldClaim]]:
        """Short jobs of one task that follow each other, together; all others one by one."""
        share = most_bundled(len(starting), self._room.slots) if self._may_bundle else 1
        if share < 2:
            return [[held] for held in starting]
        groups: list[list[HeldClaim]] = []
        task: str | None = None
        room = 0
        for held in starting:
            claim = held.claim
            if room and claim.task == task and TaskAdapter.is_plain(claim):
                groups[-1].append(held)
                room -= 1
                continue
            groups.append([held])
            task, room = claim.task, min(share, self._adapters[claim.task].most_together(claim)) - 1
        return groups

    def _submit(self, groups: Sequence[list[HeldClaim]]) -> None:
        by_kind: dict[str, list[list[HeldClaim]]] = {}
        for group in groups:
            by_kind.setdefault(group[0].kind, []).append(group)
        for kind, its_groups in by_kind.items():  # of those that were submitted some have ended, and are empty
            self._submit_to(kind, its_groups)

    def _submit_to(self, kind: str, groups: Sequence[list[HeldClaim]]) -> None:
        groups, calls = self._calls_of(groups)
        futures = self._pools.submit(kind, calls) if calls else ()
        for group, future in zip(groups, futures, strict=False):
            bundle = Bundle(group, future) if len(group) > 1 else None
            for held in group:
                held.future, held.bundle = future, bundle
            # Not a callback: a pool hands those to a thread of their own, since they may take their time.
            future._wake_when_done(WakeOnEnd(self._in_flight, group, self._on_end))
        if len(futures) < len(groups):
            for group in groups[len(futures) :]:
                for held in group:
                    self._in_flight.settle(held, given_back(held.claim))
            self._pools.on_closed()

    def _calls_of(self, groups: Sequence[list[HeldClaim]]) -> tuple[list[list[HeldClaim]], list[Prepared]]:
        """The groups of which calls can be made, and the calls. A row that another program wrote may be none."""
        able: list[list[HeldClaim]] = []
        calls: list[Prepared] = []
        for group in groups:
            try:
                calls.append(self._call_of(group))
                able.append(group)
            except Exception as error:
                if len(group) == 1:
                    self._give_up(group[0], verdicts.not_started(group[0].claim, error), error)
                else:
                    alone, theirs = self._calls_of([[held] for held in group])
                    able += alone
                    calls += theirs
        return able, calls

    def _call_of(self, group: Sequence[HeldClaim]) -> Prepared:
        adapter = self._adapters[group[0].claim.task]
        if len(group) == 1:
            return adapter.prepare(group[0].claim, group[0].beginning)
        return adapter.prepare_bundle([held.claim for held in group])

    def _give_up(self, held: HeldClaim, settlement: Settlement, error: Exception) -> None:
        self._emitter.emit_failure(held.claim, settlement, error)
        self._in_flight.settle(held, settlement)


class WakeOnEnd:
    """What the pool wakes when a job, or a bundle of them, has ended; see `primitives.future.Waker`."""

    __slots__ = ("_group", "_in_flight", "_on_end")

    def __init__(self, in_flight: InFlight, group: list[HeldClaim], on_end: Callable[[], Any]) -> None:
        self._in_flight = in_flight
        self._group = group
        self._on_end = on_end

    def release(self) -> None:
        """It has ended. On a thread of the pool."""
        self._in_flight.finish(self._group)
        self._on_end()


def given_back(claim: Claim) -> Settlement:
    """What gives a claim back as if it had never been."""
    return Settlement(claim, Verdict.RETURN)
