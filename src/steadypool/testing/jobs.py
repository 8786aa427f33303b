"""`Jobs`: the durable jobs of one test, on a real store: what was enqueued, and what running it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from steadypool.durable.client.open_queues import Elsewhere
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.errors import UnknownSchedule
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter, QueueStats, Verdict
from steadypool.durable.engine.states import JobState
from steadypool.durable.worker.caller_worker import CallerWorker, Ended
from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.settings import WorkerSettings
from steadypool.model.checks import check_count
from steadypool.model.clock import monotonic, sleep
from steadypool.model.options import Task
from steadypool.primitives.job_context import running_loop
from steadypool.testing.inline import Inline, InlineWriter
from steadypool.testing.matches import _NOT_GIVEN, ENQUEUED, EnqueuedJob, Expected, none_found, seen
from steadypool.testing.one_job import ALONE, Interrupted, OneJob, as_the_job, own_queue

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from steadypool.durable.client.handle import JobHandle

P = ParamSpec("P")
R = TypeVar("R")
Raises = bool | Literal["final"]
PAGE = 1000
LOOK_EVERY = 0.01
"""Seconds between two looks for a job that another thread or process puts."""
LEASE = 86_400.0
ALREADY = 1.0
"""Seconds by which a moment may be past that the clock is to go to: a tool may have moved the clock of the process."""
A_HAIR = 0.001
"""Seconds later than a moment: clocks are read one after the other."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one `Jobs.run` did."""

    completed: int = 0
    retried: int = 0
    """Attempts that failed, and are followed by another."""
    discarded: int = 0
    cancelled: int = 0
    returned: int = 0
    """Attempts that gave the job back, as by `Snooze`."""
    errors: tuple[BaseException, ...] = ()
    """Of the attempts that failed, in order."""
    later: int = 0
    """Jobs that are left: they wait for their time, for other jobs, or since a limit holds them back."""

    @property
    def failed(self) -> int:
        """How many attempts failed."""
        return self.retried + self.discarded


class Jobs:
    """The jobs of one test. Made by the fixture ``jobs``, and by `job_store`.

    Nothing runs until it is asked for. Then it is claimed, run, retried and settled as a worker does it.
    """

    def __init__(self, url: str, engine: Engine, moved: Elsewhere) -> None:
        self.url = url
        """Where the jobs are kept meanwhile."""
        self._engine = engine
        self._moved = moved
        self._is_running = False

    # -- what was enqueued

    def assert_enqueued(
        self,
        task: Task[..., Any],
        /,
        *args: Any,
        exactly: Any = _NOT_GIVEN,
        queue: Any = _NOT_GIVEN,
        delay: Any = _NOT_GIVEN,
        at: Any = _NOT_GIVEN,
        priority: Any = _NOT_GIVEN,
        times: int | None = None,
        within: float = 0.0,
        options: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> list[EnqueuedJob]:
        """Check that a job of *task* waits, with these arguments among its own, and return those that do.

        Args:
            exactly: it has no other arguments; those with defaults have them.
            queue, delay, at, priority: what else it has. `between` is for a delay that is not known exactly.
            times: how many there are, exactly; by default one or more.
            within: seconds for which to look again, for a job that a thread or another process puts.
            options: the above (but *times* and *within*), for a task that has arguments of these names.

        Raises:
            AssertionError: there is none, or another number; it shows what comes nearest.
            TypeError: the task does not take these arguments.
        """
        __tracebackhide__ = True
        given = {"exactly": exactly, "queue": queue, "delay": delay, "at": at, "priority": priority, **arguments}
        expected = Expected(task, args, given, options)
        if times is not None:
            check_count("times", times, least=0)
        found = self._look(expected, within, lambda found: len(found) == times if times is not None else bool(found))
        if len(found) == times or (times is None and found):
            return found
        if times is not None and found:
            shown = "\n".join(f"  {job}" for job in found)
            raise AssertionError(f"{len(found)} jobs are enqueued, and {times} expected, of {expected}:\n{shown}")
        raise AssertionError(f"there is no {expected}\n{none_found(expected, self.all())}")

    def refute_enqueued(
        self,
        task: Task[..., Any],
        /,
        *args: Any,
        exactly: Any = _NOT_GIVEN,
        queue: Any = _NOT_GIVEN,
        delay: Any = _NOT_GIVEN,
        at: Any = _NOT_GIVEN,
        priority: Any = _NOT_GIVEN,
        within: float = 0.0,
        options: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        """Check that no such job waits, nor comes within so many seconds; see `assert_enqueued`.

        Raises:
            AssertionError: there is one.
        """
        __tracebackhide__ = True
        given = {"exactly": exactly, "queue": queue, "delay": delay, "at": at, "priority": priority, **arguments}
        expected = Expected(task, args, given, options)
        if found := self._look(expected, within, bool):
            shown = "\n".join(f"  {job}" for job in found)
            raise AssertionError(f"there should be no {expected}, and there is:\n{shown}")

    def enqueued(self, task: Task[..., Any] | None = None, *, queue: str | None = None) -> list[EnqueuedJob]:
        """The jobs that wait and that no worker has begun, the first put first: of one task, or named queue, or all."""
        return self._of(task, queue, ENQUEUED)

    def scheduled(self, task: Task[..., Any] | None = None, *, queue: str | None = None) -> list[EnqueuedJob]:
        """Those of them that wait for their time."""
        return self._of(task, queue, frozenset({JobState.SCHEDULED}))

    def all(self, task: Task[..., Any] | None = None, *, queue: str | None = None) -> list[EnqueuedJob]:
        """The jobs in any state."""
        return self._of(task, queue, frozenset(JobState))

    def _look(
        self, expected: Expected, within: float, is_enough: Callable[[list[EnqueuedJob]], bool]
    ) -> list[EnqueuedJob]:
        """The jobs that are meant, once they are enough, or *within* has passed."""
        until = monotonic() + within
        while True:
            found = [job for job in self._of(None, None, ENQUEUED) if expected.means(job)]
            if is_enough(found) or monotonic() >= until:
                return found
            sleep(LOOK_EVERY)

    def _of(self, task: Task[..., Any] | None, queue: str | None, states: frozenset[JobState]) -> list[EnqueuedJob]:
        names = None if task is None else Expected(task, (), {}, None).names
        known = {name: known for source in self._queues for name, known in source.tasks.items()}
        found: list[EnqueuedJob] = []
        below: int | None = None
        while page := self._engine.list(JobFilter(states, queue, below=below, limit=PAGE)):
            found += [seen(record, known) for record in page if names is None or record.task in names]
            below = page[-1].number
        return found[::-1]

    # -- running it

    def run(
        self,
        *,
        raises: Raises = True,
        at_most: int = 1000,
        queue: str | None = None,
    ) -> Ran:
        """Run the jobs that are due, and those that they enqueue, until none is due; on this thread.

        It waits for no job that is due later.

        Args:
            raises: an attempt that fails raises here what it has raised; with ``"final"`` only one that is not
                followed by another; with ``False`` none.
            at_most: so many jobs.
            queue: only those of one named queue.

        Raises:
            AssertionError: *at_most* have run, and more are due.
            LookupError: a job is of a task that no queue here has.
            RuntimeError: this thread runs an event loop: use `run_async`.
            Exception: what a job has raised.
        """
        __tracebackhide__ = True
        self._refuse_on_loop("run")
        return self._run(raises, at_most, queue, None)

    async def run_async(self, *, raises: Raises = True, at_most: int = 1000, queue: str | None = None) -> Ran:
        """`run` from asyncio: coroutine functions run on this loop, and others on a thread beside it."""
        __tracebackhide__ = True
        import asyncio  # for those who use it

        return await asyncio.to_thread(self._run, raises, at_most, queue, asyncio.get_running_loop())

    def run_for(self, *, raises: Raises = True, at_most: int = 1000, **time: float) -> Ran:
        """Run what comes due within some time, each job at its time: ``jobs.run_for(hours=25)``.

        The clock goes from one moment at which something is due to the next, and has gone ahead by all of it at the
        end. `advance` has it jump, as if no worker had been there meanwhile. Raises as `run` does.
        """
        __tracebackhide__ = True
        self._refuse_on_loop("run_for")
        until = self._engine.now() + _seconds(time)
        ran = self._run(raises, at_most, None, None)
        while True:
            wait, left = self._until_due(), until - self._engine.now()
            if wait > left:
                self._engine.move_clock(max(0.0, left))
                return ran
            self._engine.move_clock(wait)
            ran = _together(ran, self._run(raises, at_most - _count(ran), None, None))

    def perform(
        self,
        task: Task[P, R],
        /,
        *args: Any,
        attempt: int = 1,
        meta: Mapping[str, Any] | None = None,
        checkpoint: Any = None,
        **kwargs: Any,
    ) -> R:
        """Run one job of *task*, whatever else waits, and return what it returns: encoded, claimed, run and settled.

        Args:
            attempt: which one it is to be, for `current_job` and for its retries.
            meta: what `current_job` has as ``meta``.
            checkpoint: what its last run has saved.

        Raises:
            PayloadRefused: an argument, or the result, cannot be stored.
            AssertionError: it cannot run: another job has its unique key, or a limit holds it back.
            Exception: what the job has raised.
        """
        __tracebackhide__ = True
        self._refuse_on_loop("perform")
        return OneJob[R](self._engine, self._worker, task, (args, kwargs), meta).run(attempt, checkpoint)

    def interrupt(
        self,
        task: Task[P, R],
        /,
        *args: Any,
        after_saves: int = 1,
        attempt: int = 1,
        meta: Mapping[str, Any] | None = None,
        checkpoint: Any = None,
        **kwargs: Any,
    ) -> Interrupted[R]:
        """Run one job of *task* as `perform` does, up to its save of that number, as if its worker drained then:
        ``jobs.interrupt(export, 42, after_saves=3).resume()``.

        Raises:
            AssertionError: it has ended before.
            Exception: as `perform` does.
        """
        __tracebackhide__ = True
        self._refuse_on_loop("interrupt")
        one = OneJob[R](self._engine, self._worker, task, (args, kwargs), meta, own_queue())
        return one.interrupt(after_saves, attempt, checkpoint)

    @contextmanager
    def inline(self, *, raises: Raises = True) -> Iterator[None]:
        """A block in which a job runs when it is enqueued: claimed, run and settled before `enqueue` returns.

        What it enqueues runs after it. A job that was put into a transaction (``connection=``) is not there before the
        commit: it runs with the next one that is enqueued, and at the end of the block at the latest.

        Args:
            raises: as of `run`, out of `enqueue`.
        """
        inline = Inline(lambda: self._run(raises, 1000, None, None))
        with ExitStack() as stack:
            for queue in self._queues:
                stack.enter_context(queue._opened.writing_by(lambda writer: InlineWriter(writer, inline)))
            yield
            inline.run()

    def _run(self, raises: Raises, at_most: int, queue: str | None, loop: AbstractEventLoop | None) -> Ran:
        __tracebackhide__ = True
        if raises not in (True, False, "final"):
            raise ValueError(f'raises must be True, False or "final", not {raises!r}')
        verdicts: Counter[Verdict] = Counter()
        tasks: Counter[str] = Counter()
        errors: list[BaseException] = []
        with self._worker(loop) as worker:
            for ended in self._all_due(worker, queue):
                verdicts[ended.settlement.verdict] += 1
                tasks[ended.claim.task] += 1
                if ended.has_failed:
                    assert ended.error is not None
                    if raises is True or (raises and ended.is_given_up):
                        raise as_the_job(ended.error)
                    errors.append(ended.error)
                if tasks.total() >= at_most:
                    worker.write()
                    self._check_ended(worker, tasks, queue)
        return Ran(
            verdicts[Verdict.COMPLETE],
            verdicts[Verdict.RETRY],
            verdicts[Verdict.DISCARD],
            verdicts[Verdict.CANCEL],
            verdicts[Verdict.RETURN],
            tuple(errors),
            sum(_left(one) for one in self._engine.stats().queues if queue in (None, one.name)),
        )

    def _all_due(self, worker: CallerWorker, queue: str | None) -> Iterator[Ended]:
        """What has ended, one by one, as long as there is something to run."""
        while True:
            worker.write()
            worker.look_after()
            queues = self._queue_names() if queue is None else [queue]
            ended = worker.step(queues)
            if ended is None:
                return
            while ended is not None:
                yield ended
                queues = [*queues[1:], *queues[:1]]  # no queue is always the first
                ended = worker.step(queues)

    def _check_ended(self, worker: CallerWorker, tasks: Counter[str], queue: str | None) -> None:
        __tracebackhide__ = True
        paused = {known.name for known in self._engine.stats().queues if known.paused}
        due = [
            job
            for job in self._of(None, queue, frozenset({JobState.AVAILABLE}))
            if job.queue not in paused and not job.record.held_by
        ]
        if due:
            [(name, count)] = tasks.most_common(1)
            raise AssertionError(
                f"{tasks.total()} jobs have run, and {len(due)} more are due, such as {due[0]}. {count} of those that "
                f"ran are of {name}: does it enqueue itself? If so many are meant, say run(at_most=...)"
            )

    def _queue_names(self) -> list[str]:
        return [known.name for known in self._engine.stats().queues if not known.name.startswith(ALONE)]

    @contextmanager
    def _worker(self, loop: AbstractEventLoop | None = None) -> Iterator[CallerWorker]:
        __tracebackhide__ = True
        if self._is_running:
            raise RuntimeError("jobs are running already: a job of a test must not run others")
        self._is_running = True
        try:
            settings = WorkerSettings(workers=1, name="test", lease=LEASE)
            context = WorkerContext.of(self.url, settings, self._engine)
            with CallerWorker(context, self._queues, loop) as worker:
                yield worker
        finally:
            self._is_running = False

    @property
    def _queues(self) -> Sequence[Queue]:
        return [queue for queue in self._moved.queues if isinstance(queue, Queue)]

    # -- time, and what goes wrong

    def now(self) -> datetime:
        """The store's clock, by which jobs are due, in UTC."""
        return datetime.fromtimestamp(self._engine.now(), UTC)

    def advance(self, *, to: datetime | None = None, **time: float) -> None:
        """Have the store's clock go ahead: ``jobs.advance(hours=25)``, or *to* a moment. Nothing runs by that.

        Everything goes by that clock: delays, retries, schedules, limits of rates, and for how long records are kept.
        Schedules put the jobs of ticks that are due then, as after a time without workers. The clock of your own code
        does not change.

        Raises:
            ValueError: it would go back.
        """
        seconds = _seconds(time) if to is None else to.timestamp() - self._engine.now()
        if seconds < -ALREADY:
            raise ValueError(f"advance(to={to}) would have the clock go back: it is {self.now()}")
        with self._worker() as worker:
            worker.look_after()  # the ticks of schedules are counted from when a worker first knows them
            self._engine.move_clock(max(0.0, seconds))
            worker.look_after()

    def tick(self, schedule: str) -> JobHandle[Any]:
        """Put the job of a schedule now, as its tick would. `run` runs it.

        Raises:
            UnknownSchedule, WrongState: as ``queue.schedules.get(...).run()`` does.
        """
        failed: UnknownSchedule | None = None
        for queue in self._queues:
            try:
                return queue.schedules.get(schedule).run()
            except UnknownSchedule as error:
                failed = error
        raise failed or UnknownSchedule(f"there is no schedule {schedule!r}, nor a queue that could have one")

    def lose_worker(self, *, ran: bool = False, queue: str | None = None) -> list[EnqueuedJob]:
        """Have a worker claim all that is due, and die with it: its lease runs out, and another takes the jobs back.

        Args:
            ran: the jobs have run by then, and it was not written down: what they do, they do twice.
            queue: only those of one named queue.

        Returns:
            The jobs, as they came back. `run` runs them, in their next attempt.
        """
        self._refuse_on_loop("lose_worker")
        with self._worker() as worker:
            worker.look_after()
            lost = {claim.number for claim in worker.lose(self._queue_names() if queue is None else [queue], ran=ran)}
        return [job for job in self.all() if job.record.number in lost]

    def _until_due(self) -> float:
        """Seconds until the next job is due, or the next tick, or the next limit of a rate opens; what is due by now
        does not count."""
        now = self._engine.now()
        states = frozenset({JobState.SCHEDULED, JobState.RETRYABLE, JobState.AVAILABLE})
        records = [job.record for job in self._of(None, None, states)]
        waits = [record.due_at - now for record in records if record.due_at is not None]
        turns = {record.turn for record in records if record.turn is not None and record.state is JobState.AVAILABLE}
        waits += [use.wait for use in self._engine.limits.uses(turns).values()] if turns else []
        declared = [name for queue in self._queues for name, _ in queue.schedules._declared()]
        waits += [self._engine.schedules.due(declared, 1).next_in or 0.0]
        return min((wait + A_HAIR for wait in waits if wait > 0), default=float("inf"))

    @staticmethod
    def _refuse_on_loop(name: str) -> None:
        __tracebackhide__ = True
        if running_loop() is not None:
            raise RuntimeError(
                f"jobs.{name}(...) runs jobs, and this thread runs an event loop: use await jobs.run_async(), or "
                f"await asyncio.to_thread(jobs.{name}, ...)"
            )


def _seconds(time: Mapping[str, float]) -> float:
    if not time:
        raise TypeError("say by how much the clock is to go ahead, as in advance(hours=25)")
    seconds = timedelta(**time).total_seconds()
    if seconds < 0:
        raise ValueError(f"the clock goes ahead alone, and not by {seconds:g} seconds")
    return seconds


def _left(queue: QueueStats) -> int:
    return queue.scheduled + queue.retryable + queue.available + queue.waiting


def _count(ran: Ran) -> int:
    return ran.completed + ran.failed + ran.cancelled + ran.returned


def _together(one: Ran, other: Ran) -> Ran:
    sums = (getattr(one, field.name) + getattr(other, field.name) for field in fields(Ran))
    return replace(Ran(*sums), later=other.later)
