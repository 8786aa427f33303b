"""The worker: claims jobs, has a pool run them, and writes down what became of each.

Theory of operation
-------------------
Three threads of ours, and the pool's::

    caller ──run()──▶ waits for the end, and for signals; has the last word on the time limit
    loop   ══ settle + claim, one transaction ══ engine        (everything that is held is changed here alone)
             │ claims ▼            ▲ ended jobs (appended by the pool's threads, which then ring)
    pool   ──┴── runs them ────────┘
    heart  ── renews the lease (`durable.heartbeat`); tells the loop when it was lost

* **The loop** sleeps in one of two places. With nothing to do it listens for news (`Listener.wait`), a second at
  most: that is the safety net for news that were lost, and when it looks for cancels and dead workers. With jobs at
  work it waits for their ends on a bell, and gathers them for a few milliseconds (`durable.demand`), so that one commit
  settles many.
* **One claim, one settlement.** A claim is on the desk until its settlement is pending; it is pending until the
  engine has written it. After an error of the engine everything stays where it is and is tried again. Since that call
  may have claimed jobs of which we never heard, the next thing is to disown those.
* **A bundle** is short jobs of one task that are one job for a pool of processes, since a message costs more than
  they do. Each has its own context, outcome and claim all the same. When a bundle ends without saying how one of its
  jobs did (its process died, its time was up), that one runs again by itself, under the same claim.
* **A lost lease**: every job at work is told (``lease_lost``), a new registration is made, and work goes on. What the
  old jobs return is still offered to the engine: the fence decides, not we.
* **The end**: (1) claim no more, and have the pool hand back what has not started; (2) the pool's own drain ladder;
  (3) give back what was interrupted, but for jobs that still run here, stuck: their lease runs out when this process
  has gone; (4) write down everything, for as long as there is time; (5) stop the heartbeat; (6) take leave. Whoever
  called `run` waits for all this no longer than the limit, whatever the engine does, and then says what was not
  written.
"""

from __future__ import annotations

import os
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from steadypool.durable import verdicts
from steadypool.durable.demand import GATHER, MOST_GATHERED, Pace, window, writes_now
from steadypool.durable.desk import Bundle, Desk, Held, end_of
from steadypool.durable.errors import EngineError, SchemaMismatch
from steadypool.durable.feeding import KINDS, MOST_BUNDLED, Feed, open_pool
from steadypool.durable.heartbeat import Heartbeat
from steadypool.durable.opening import open_engine
from steadypool.durable.performing import nothing
from steadypool.durable.records import DEFAULT_QUEUE, Claim, Claimed, Settlement, Verdict
from steadypool.durable.signals import StopOnSignals
from steadypool.durable.telling import events
from steadypool.durable.upkeep import Upkeep
from steadypool.durable.verdicts import Caps
from steadypool.durable.workreport import WorkReport
from steadypool.machinery.bell import Bell
from steadypool.machinery.ledger import Ledger
from steadypool.pools.contract import Prepared
from steadypool.seams.sink import Sink
from steadypool.words.options import TaskOptions, check_count, check_seconds
from steadypool.words.reports import DrainReport
from steadypool.words.states import NEVER_LOOKED_AT, Outcome

if TYPE_CHECKING:
    from steadypool.durable.queue import Queue

LOOK_AGAIN = 1.0
"""Seconds after which an idle worker looks for itself."""
UNKNOWN_DELAY = 30.0
"""Seconds for which a job goes back whose task is not known here: in a deploy, a newer worker comes soon."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two tries at an engine in trouble."""
WARM_UP = TaskOptions(name="steadypool.warm_up", meta={})
WARM_UP_LIMIT = 20.0
"""Seconds that a worker waits for its processes before it begins to claim."""
FLUSH_SHARE = 0.25
LONGEST_FLUSH = 2.0
"""Of a drain's time, so much is kept for writing down what is left."""


DEFAULT_CAPS = Caps()


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker works.

    Args:
        kind: what runs the jobs: ``"thread"``, ``"process"`` or ``"async"``.
        workers: how many run at a time; by default as the pool has it.
        queues: names of the queues to work on. The first ones are not preferred: each claim begins with another.
        name: what others see it by; host and process id by default.
        lease: seconds after which others may take its jobs once it is gone. Renewed three times in that time.
        caps: how often a job may kill its process, or be lost with its worker.
        cancel_grace: seconds that a job has to end after it was told to stop.
        pool: further arguments for the pool, such as ``max_tasks_per_child``.
    """

    kind: str = "process"
    workers: int | None = None
    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    name: str = ""
    lease: float = 6.0
    caps: Caps = DEFAULT_CAPS
    cancel_grace: float = 1.0
    pool: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.workers is not None:
            check_count("workers", self.workers)
        if not self.queues or not all(self.queues):
            raise ValueError(f"queues must be names such as ('default',), not {self.queues!r}")
        if (check_seconds("lease", self.lease) or 0.0) < 1.0:
            raise ValueError(f"lease must be 1 second or more, not {self.lease!r}: a busy machine pauses for that long")
        if not self.name:
            object.__setattr__(self, "name", f"{socket.gethostname()}-{os.getpid()}")


class Worker:
    """Works on a queue until it is told to stop. Made for one run.

    Args:
        queue: the queue; its tasks are the ones that this worker knows.
        settings: how.

    Any thread, and a signal handler, may call `request_drain`.
    """

    def __init__(self, queue: Queue, settings: WorkerSettings | None = None) -> None:
        self.settings = settings or WorkerSettings()
        self._queue = queue
        self._url = queue.url
        self._engine = open_engine(self._url)
        self._engine.patience = min(2.0, self.settings.lease / 3)
        self._sinks: tuple[Sink, ...] = ()
        self._desk = Desk()
        self._counts: Counter[Verdict] = Counter()
        self._claimed = self._refused = 0
        self._pace = Pace()
        self._look_at = 0.0
        """When the engine is asked again though there is nothing to write and no room."""
        self._bell = Bell()
        self._listener: Any = None
        self._heart: Any = None
        self._pool: Any = None
        self._number = 0
        self._lost = False
        self._trouble_since: float | None = None
        self._pause = FIRST_PAUSE
        self._until_empty = False
        self._drain_until: float | None = None
        self._flush_seconds = 0.0
        self._requests: list[float | None] = []
        self._ring_at = 1
        """How many jobs must have ended before the loop is rung."""
        self._done = threading.Event()
        self._failure: BaseException | None = None
        self._pool_report: DrainReport | None = None
        self._began = monotonic()
        self._notes: list[str] = []
        self._ledger = Ledger()
        self._may_bundle = True
        self._pool_sinks: list[Sink] = []

    # -- for the caller

    def run(self, *, until_empty: bool = False, drain_timeout: float = 30.0, on_signals: bool = False) -> WorkReport:
        """Work until a drain is requested.

        Args:
            until_empty: stop, too, when no job of these queues is available, running or about to be retried.
            drain_timeout: for *on_signals*: seconds that the end may take, everything included.
            on_signals: SIGTERM and SIGINT drain; a second one cancels what runs; only on the main thread.

        Raises:
            SchemaMismatch: the tables are of another version.
            EngineError: the store could not be reached at the start.
        """
        self._until_empty = until_empty
        thread = threading.Thread(target=self._work, name="steadypool-durable", daemon=True)
        with StopOnSignals(self.request_drain, drain_timeout) if on_signals else StopOnSignals.none():
            thread.start()
            self._wait_for_the_end()
        if self._failure is not None:
            raise self._failure
        return self._report()

    def request_drain(self, seconds: float | None = 30.0) -> None:
        """Claim no more and end, within *seconds*, everything included (``None``: when all that runs has ended)."""
        self._requests.append(seconds)
        if seconds is not None:
            until = monotonic() + seconds
            self._drain_until = until if self._drain_until is None else min(self._drain_until, until)
        self._ring()

    def subscribe(self, sink: Sink, *, jobs: bool = False) -> None:
        """Have *sink* called with every event of the worker (`durable.events`). Before `run`.

        With *jobs* also with every event of its pool; short jobs then travel one by one, so that each has its own.
        """
        self._sinks = (*self._sinks, sink)
        if jobs:
            self._pool_sinks.append(sink)
            self._may_bundle = False

    @property
    def completed(self) -> int:
        """How many jobs it has completed, and written down, so far."""
        return self._counts[Verdict.COMPLETE]

    @property
    def held(self) -> int:
        """How many claims it holds now."""
        return len(self._desk.held)

    # -- the caller's wait

    def _wait_for_the_end(self) -> None:
        while not self._done.wait(self._seconds_left()):
            if self._drain_until is not None and monotonic() >= self._drain_until:
                self._notes.append("the time was up before everything was written down")
                return

    def _seconds_left(self) -> float | None:
        # Looked at again each second: a signal handler may have set the limit meanwhile.
        return LOOK_AGAIN if self._drain_until is None else max(0.0, min(LOOK_AGAIN, self._drain_until - monotonic()))

    def _report(self) -> WorkReport:
        desk = self._desk
        ids = {held.claim.number: held.claim.id for held in (*desk.not_settled(), *desk.ended)}
        counts = self._counts
        return WorkReport(
            self.settings.name,
            monotonic() - self._began,
            self._claimed,
            counts[Verdict.COMPLETE],
            counts[Verdict.RETRY],
            counts[Verdict.DISCARD],
            counts[Verdict.CANCEL],
            counts[Verdict.RETURN],
            self._refused,
            tuple(f"job-{settlement.number}" for settlement in list(desk.pending)),
            tuple(ids.values()),
            self._pool_report,
            self._ledger.groups(),
            tuple(self._notes),
        )

    # -- the loop's life

    def _work(self) -> None:
        try:
            self._set_up()
            while not self._requests and not self._is_empty():
                self._round()
            self._wind_up()
        except BaseException as error:
            self._failure = error
            self._abandon()
        finally:
            self._done.set()

    def _abandon(self) -> None:
        """It cannot go on: what it holds is to be had by others as soon as the lease is over."""
        if self._heart is not None:
            self._heart.stop(1.0)
        if self._pool is not None:
            self._pool.request_drain(0.0)

    def _set_up(self) -> None:
        if self._engine.schema().found == 0:
            self._engine.migrate()
        settings = self.settings
        apart = settings.kind != "process"
        self._number = self._engine.register(settings.name, settings.lease)
        self._heart = Heartbeat(self._url, settings.lease, apart, self._lease_was_lost)
        self._heart.start(self._number)
        self._pool = open_pool(
            settings.kind, settings.workers, settings.cancel_grace, settings.name, settings.pool, self._url
        )
        self._slots = self._pool.stats().max_workers
        for sink in self._pool_sinks:
            self._pool.subscribe(sink)
        self._feeds = {name: Feed(task, settings.kind) for name, task in self._queue.tasks.items()}
        if settings.kind == "process":
            self._warm_up()
        self._upkeep = Upkeep(self._engine, settings.caps.losses, LOOK_AGAIN)
        self._listener = self._engine.listener("work")
        self._queues = list(settings.queues)
        self._tell(lambda: events.WorkerRegistered(settings.name, monotonic(), self._number))

    def _warm_up(self) -> None:
        """Have every process of the pool there before the first job is claimed, which would wait for them.

        Raises:
            PoolBroken: none can be started.
        """
        until = monotonic() + WARM_UP_LIMIT
        futures = self._pool._submit_prepared([(WARM_UP, nothing, ())] * self._slots)
        while not self._requests and monotonic() < until and wait(futures, 0.5).not_done:
            pass
        for future in futures:
            if future.done():
                future.result()

    # -- one round

    def _round(self) -> None:
        self._recover_if_lost()
        began = monotonic()
        ended = self._look_at_ended()
        limit = max(0, window(self._slots, self._pace) - len(self._desk.held))
        if not limit and not self._desk.pending and began < self._look_at:
            answer = Claimed()  # nothing to write, no room: the engine is only asked for cancels, now and then
        else:
            self._look_at = began + LOOK_AGAIN
            found = self._exchange(limit)
            if found is None:
                self._rest_in_trouble()
                return
            answer = found
        self._start(answer.claims)
        self._heed_cancels(answer.cancels)
        self._tend()
        self._rest(answer)
        if ended or self._desk.ended:
            self._pace = self._pace.after(len(self._desk.ended) or ended, monotonic() - began)

    def _exchange(self, limit: int) -> Claimed | None:
        """Write down what has ended and claim more; ``None`` if the engine is in trouble."""
        desk = self._desk
        count, leases = len(desk.pending), len(desk.done)
        self._queues.append(self._queues.pop(0))
        try:
            if self._trouble_since is not None:
                self._engine.disown(self._number, desk.leases())
            answer = self._engine.claim(self._number, self._queues, limit, desk.pending[:count], desk.done[:leases])
        except (EngineError, SchemaMismatch) as error:
            self._note_trouble(error)
            return None
        self._note_no_trouble()
        self._note_written(desk.pending[:count], answer.refused)
        desk.written(count, leases)
        return answer

    def _start(self, claims: Sequence[Claim]) -> None:
        self._claimed += len(claims)
        starting: list[Held] = []
        for claim in claims:
            held = self._desk.take(claim, self._number)
            feed = self._feeds.get(claim.task)
            if feed is None or not feed.runs_here:
                self._return_unknown(held)
            elif claim.expires_in is not None and claim.expires_in <= 0:
                self._desk.settle(held, verdicts.expired(claim))
            else:
                starting.append(held)
        self._submit(self._bundled(starting))

    def _bundled(self, starting: Sequence[Held]) -> list[list[Held]]:
        """Short jobs of one task that follow each other, together; all others one by one."""
        most = min(MOST_BUNDLED, len(starting) // (2 * self._slots)) if self._may_bundle else 1
        groups: list[list[Held]] = []
        task: str | None = None
        for held in starting:
            fits = self._feeds[held.claim.task].may_bundle(held.claim)
            if fits and held.claim.task == task and len(groups[-1]) < most:
                groups[-1].append(held)
            else:
                groups.append([held])
            task = held.claim.task if fits else None
        return groups

    def _submit(self, groups: Sequence[list[Held]]) -> None:
        futures = self._pool._submit_prepared([self._call_of(group) for group in groups])
        for group, future in zip(groups, futures, strict=False):
            bundle = Bundle(group, future) if len(group) > 1 else None
            for held in group:
                held.future, held.bundle = future, bundle
            # Not a callback: a pool hands those to a thread of their own, since they may take their time.
            future._wake_when_done(Ending(self, group))
        if len(futures) < len(groups):
            self._pool_has_closed([held for group in groups[len(futures) :] for held in group])

    def _call_of(self, group: Sequence[Held]) -> Prepared:
        feed = self._feeds[group[0].claim.task]
        if len(group) == 1:
            return feed.prepare(group[0].claim)
        return feed.prepare_bundle([held.claim for held in group])

    def _pool_has_closed(self, refused: Sequence[Held]) -> None:
        self._notes.append("the pool has closed by itself")
        for held in refused:
            self._desk.settle(held, _given_back(held.claim))
        self.request_drain(0.0)

    def have_ended(self, group: Sequence[Held]) -> None:
        """Jobs have ended. On a thread of the pool."""
        self._desk.finish(group)
        if len(self._desk.ended) >= self._ring_at:
            self._ring()

    def _return_unknown(self, held: Held) -> None:
        claim = held.claim
        self._desk.settle(held, Settlement(claim.number, claim.token, Verdict.RETURN, delay=UNKNOWN_DELAY))
        self._tell(lambda: events.TaskUnknown(self.settings.name, monotonic(), claim.id, claim.task, UNKNOWN_DELAY))

    # -- what has ended

    def _look_at_ended(self) -> int:
        count = 0
        while self._desk.ended:
            held = self._desk.ended.popleft()
            self._settle(held)
            count += 1
        return count

    def _settle(self, held: Held) -> None:
        end = end_of(held)
        if end is None:
            self._run_alone(held)
            return
        outcome, error, result = end
        if outcome is Outcome.CANCELLED and not held.wanted_cancelled:
            # Told that its lease is lost; or cancelled by code that got hold of the future: not for us to decide.
            outcome = Outcome.INTERRUPTED
        feed = self._feeds[held.claim.task]
        encoded = None
        if result is not None:
            encoded, seconds = result
            feed.pace.add(seconds)
        settlement = verdicts.judge(
            held.claim, outcome, error, encoded, feed.retry, self.settings.caps, random.random()
        )
        if error is not None and outcome in NEVER_LOOKED_AT:
            self._ledger.add(held.claim.id, held.claim.task, error)
        self._record(held, settlement)

    def _record(self, held: Held, settlement: Settlement) -> None:
        if held.lost:
            self._desk.let_go(held)
            self._desk.pending.append(settlement)  # the fence will refuse it, unless nobody has taken the job
        else:
            self._desk.settle(held, settlement)

    def _run_alone(self, held: Held) -> None:
        """Its bundle has ended without saying how this one did: it may have run, and runs again by itself."""
        if held.wanted_cancelled:
            claim = held.claim
            self._record(held, Settlement(claim.number, claim.token, Verdict.CANCEL))
        elif held.lost or self._requests:
            self._record(held, _given_back(held.claim))
        else:
            self._submit([[held]])

    def _note_written(self, settlements: Sequence[Settlement], refused: frozenset[tuple[int, int]]) -> None:
        for settlement in settlements:
            if (settlement.number, settlement.token) in refused:
                self._refused += 1
                self._tell_refused(settlement)
            else:
                self._counts[settlement.verdict] += 1

    def _tell_refused(self, settlement: Settlement) -> None:
        name = self.settings.name
        self._tell(lambda: events.ResultRefused(name, monotonic(), settlement.number, settlement.token))

    def _heed_cancels(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            held = self._desk.held.get(number)
            if held is not None and held.future is not None and not held.wanted_cancelled:
                held.wanted_cancelled = True
                held.future.cancel(running=True)

    # -- a lost lease

    def _lease_was_lost(self, worker: int) -> None:
        """On the heartbeat's thread."""
        if worker == self._number:
            self._lost = True
            self._ring()

    def _recover_if_lost(self) -> None:
        if not self._lost:
            return
        try:
            number = self._engine.register(self.settings.name, self.settings.lease)
        except (EngineError, SchemaMismatch) as error:
            self._note_trouble(error)
            return
        lost = self._desk.lose_all()
        self._number, self._lost = number, False
        self._heart.follow(number)
        for held in lost:
            if held.future is not None:
                held.future.cancel(running=True, cause="lease_lost")
        name = self.settings.name
        self._tell(lambda: events.LeaseLost(name, monotonic(), len(lost)))
        self._tell(lambda: events.WorkerRegistered(name, monotonic(), number))

    # -- resting

    def _rest(self, answer: Claimed) -> None:
        desk = self._desk
        free = window(self._slots, self._pace) - len(desk.held)
        if desk.pending or self._requests or self._lost or (answer.more and free > 0):
            return  # something was settled without having run, or there is more to be had
        if free > 0 and not desk.ended:
            self._listen(answer.next_due)
        if desk.held and not self._requests:
            self._gather(free)

    def _listen(self, next_due: float | None) -> None:
        """Wait for news. Ends of jobs are news, too: `_ring` wakes the listener."""
        self._ring_at = 1
        if not self._desk.ended and not self._is_empty():
            self._listener.wait(LOOK_AGAIN if next_due is None else min(LOOK_AGAIN, next_due))

    def _gather(self, free: int) -> None:
        """Let a few more jobs end, so that one commit writes many."""
        desk = self._desk
        at_work = len(desk.held) - len(desk.ended)
        if writes_now(len(desk.ended), desk.oldest(), at_work, self._slots):
            return
        if not desk.ended:
            if free > 0:
                return  # the listener has waited already
            self._ring_at = 1
            self._bell.wait(monotonic() + LOOK_AGAIN)
            at_work = len(desk.held) - len(desk.ended)
        if desk.ended and not writes_now(len(desk.ended), desk.oldest(), at_work, self._slots):
            self._ring_at = max(1, min(MOST_GATHERED, len(desk.held) - self._slots))
            self._bell.wait(monotonic() + GATHER - desk.oldest())
            self._ring_at = 1

    def _rest_in_trouble(self) -> None:
        self._bell.wait(monotonic() + self._pause)

    def _ring(self) -> None:
        self._bell.ring()
        listener = self._listener
        if listener is not None:
            listener.wake()

    def _tend(self) -> None:
        """Take back what dead workers held, and prune; now and then."""
        if not self._upkeep.is_due():
            return
        try:
            swept = self._upkeep.tend()
        except (EngineError, SchemaMismatch) as error:
            self._note_trouble(error)
            return
        if swept.workers:
            name = self.settings.name
            self._tell(lambda: events.JobsTakenBack(name, monotonic(), swept.workers, swept.returned, swept.discarded))

    def _is_empty(self) -> bool:
        if not self._until_empty or self._desk.held or self._desk.pending or self._desk.ended:
            return False
        try:
            queues = {row.name: row for row in self._engine.stats().queues}
        except (EngineError, SchemaMismatch) as error:
            self._note_trouble(error)
            return False
        rows = [queues[name] for name in self.settings.queues if name in queues]
        return not any(row.available + row.running + row.retryable for row in rows)

    # -- trouble

    def _note_trouble(self, error: Exception) -> None:
        if self._trouble_since is None:
            self._trouble_since = monotonic()
            self._pause = FIRST_PAUSE
        else:
            self._pause = min(LONGEST_PAUSE, self._pause * 2)
        pause = self._pause
        self._tell(lambda: events.EngineTrouble(self.settings.name, monotonic(), error, pause))

    def _note_no_trouble(self) -> None:
        if self._trouble_since is not None:
            seconds, self._trouble_since = monotonic() - self._trouble_since, None
            self._tell(lambda: events.EngineBack(self.settings.name, monotonic(), seconds))

    def _tell(self, make: Callable[[], Any]) -> None:
        if not self._sinks:
            return
        event = make()
        for sink in self._sinks:
            try:
                sink(event)
            except Exception as error:
                self._notes.append(f"a sink raised {type(error).__name__}: {error}")
                self._sinks = tuple(other for other in self._sinks if other is not sink)

    # -- the end

    def _wind_up(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._drain_pool()
        self._settle_the_rest()
        self._flush()
        self._heart.stop(1.0)
        self._take_leave()
        self._listener.close()
        self._engine.close()

    def _drain_pool(self) -> None:
        """The pool's own ladder; meanwhile what ends is written down, so that little is left for later."""
        waiter = threading.Thread(target=self._wait_for_pool, name="steadypool-durable-drain", daemon=True)
        self._hurry_pool()
        waiter.start()
        heeded = len(self._requests)
        while waiter.is_alive() and not self._must_flush():
            if len(self._requests) != heeded:
                heeded = len(self._requests)
                self._hurry_pool()
            self._bell.wait(monotonic() + GATHER * 10)
            self._recover_if_lost()
            self._look_at_finished_only()
            if self._desk.pending:
                self._exchange(0)

    def _must_flush(self) -> bool:
        """Whether there is just the time left to write down what there is; the pool has had its own and more."""
        if self._drain_until is None:
            return False
        needed = self._flush_seconds / 2 if self._desk.pending else self._flush_seconds / 10
        return monotonic() >= self._drain_until - needed

    def _hurry_pool(self) -> None:
        until = self._drain_until
        if until is None:
            self._pool.request_drain(None)
            return
        left = max(0.0, until - monotonic())
        self._flush_seconds = min(LONGEST_FLUSH, left * FLUSH_SHARE)
        self._pool.request_drain(max(0.0, left - self.settings.cancel_grace - self._flush_seconds))

    def _wait_for_pool(self) -> None:
        self._pool_report = self._pool.drain(None)
        self._bell.ring()

    def _look_at_finished_only(self) -> None:
        """Settle what has ended by itself. What was interrupted waits for the pool's report: it may still run."""
        for _ in range(len(self._desk.ended)):
            held = self._desk.ended.popleft()
            if held.future.outcome is Outcome.INTERRUPTED:
                self._desk.ended.append(held)
            else:
                self._settle(held)

    def _settle_the_rest(self) -> None:
        stuck = {row.id for row in self._pool_report.stuck} if self._pool_report is not None else set()
        for _ in range(len(self._desk.ended)):
            held = self._desk.ended.popleft()
            if held.claim.id in stuck or (self._pool_report is None and held.future.outcome is Outcome.INTERRUPTED):
                # Its code still runs in this process: nobody else is to run it before that has gone.
                continue
            self._settle(held)

    def _flush(self) -> None:
        while self._desk.pending:
            left = None if self._drain_until is None else self._drain_until - monotonic()
            if left is not None and left <= 0:
                return
            self._engine.patience = min(self._engine.patience, left or 1.0)
            if self._exchange(0) is None:
                self._rest_in_trouble()

    def _take_leave(self) -> None:
        if not self._desk.pending:
            try:
                self._engine.claim(self._number, (), 0, (), self._desk.done)
                self._engine.leave(self._number)
            except (EngineError, SchemaMismatch):
                pass  # the row's lease runs out by itself


class Ending:
    """What the pool wakes when a job, or a bundle of them, has ended; see `machinery.future.Waker`."""

    __slots__ = ("_group", "_worker")

    def __init__(self, worker: Worker, group: Sequence[Held]) -> None:
        self._worker = worker
        self._group = group

    def release(self) -> None:
        """It has ended."""
        self._worker.have_ended(self._group)


def _given_back(claim: Claim) -> Settlement:
    return Settlement(claim.number, claim.token, Verdict.RETURN)
