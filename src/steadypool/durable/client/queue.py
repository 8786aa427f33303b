"""`Queue`: jobs that survive their process."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, Unpack, overload

from steadypool.durable.client import open_queues
from steadypool.durable.client import options as enqueueing
from steadypool.durable.client.address import Address
from steadypool.durable.client.batch import Batch, as_member, new_batch, number_in, place
from steadypool.durable.client.bulk import BulkResult, change_all, check_filter
from steadypool.durable.client.call import Call, jobs_of
from steadypool.durable.client.chain import Chain, jobs_in_line
from steadypool.durable.client.checkpoint import StateType
from steadypool.durable.client.declared import DurableKeywords, as_schedules
from steadypool.durable.client.handle import JobHandle, handle_of
from steadypool.durable.client.home import Home, unknown
from steadypool.durable.client.lifespan import Lifespan, check_lifespan
from steadypool.durable.client.limits import LimitKeywords, Limits
from steadypool.durable.client.opened import Opened
from steadypool.durable.client.options import EnqueueOptions
from steadypool.durable.client.origin import here, module_here
from steadypool.durable.client.payload import MOST_BYTES, check_most
from steadypool.durable.client.rows import batches_of
from steadypool.durable.client.schedules import Schedules
from steadypool.durable.client.task import DurableTask, check_function, refuse_on_loop
from steadypool.durable.client.task_table import add_task, declare, limits_of
from steadypool.durable.client.turns import SharedLimits
from steadypool.durable.engine.batches import OnFailure
from steadypool.durable.engine.errors import WrongState
from steadypool.durable.engine.records import EngineStats, EnqueueResult, JobFilter, JobRecord, NewJob, parts_of_id
from steadypool.durable.engine.states import ENDED, WAITING, JobState, state_named
from steadypool.durable.engine.texts import LONGEST_MESSAGE, storable
from steadypool.durable.engine.url import (
    URL_VARIABLE,
)
from steadypool.model.limit import Limit
from steadypool.model.options import Task, TaskOptions
from steadypool.model.sink_protocols import Sink

if TYPE_CHECKING:
    from steadypool.durable.worker.report import WorkReport
    from steadypool.durable.worker.settings import WorkerKeywords

P = ParamSpec("P")
R = TypeVar("R")
Rows = Iterable[tuple[Any, ...] | Mapping[str, Any]]


class Queue(Home):
    """A durable queue.

    Args:
        url: where jobs are kept: ``sqlite:///jobs.db`` beside the program, ``sqlite:////var/lib/app/jobs.db``.
            ``None``: the environment variable ``STEADYPOOL_URL``, read when the queue is first used. A relative path
            begins at the folder that was the current one when the queue was made.
        max_payload: bytes of JSON that the arguments of one job may have, and its result, 1,048,576 by default;
            ``None``: no limit. A row is read as a whole, and a worker holds many.
        app: the program whose schedules these are, by default the module that makes the queue. Two programs that keep
            schedules in one store need two names.
        release: the program's release, such as ``"2026-11-20.1"``: a worker of an older one then changes no schedule
            of a later one.
        lifespan: a function that returns a context manager, sync or async: what jobs need and is made once. Each
            process, or event loop, that runs jobs enters it before the first one; what it yields is
            ``current_job().resources``; it is left when a worker drains.

    Raises:
        TypeError, ValueError: at once, for an invalid address.

    Making one opens nothing: the first use does. Any thread may use it; a forked child opens its own connection.
    """

    prepare: Callable[[], object] | None = None
    """Called first in each process of a worker, before it imports the modules of the tasks."""
    sinks: Sequence[Sink] = ()
    """What every worker of this queue emits to, from its beginning."""
    coroutines: int = 100
    """How many coroutine functions a worker runs at a time, if its settings do not say."""

    def __init__(
        self,
        url: str | None = None,
        *,
        max_payload: int | None = MOST_BYTES,
        app: str | None = None,
        release: str | int | None = None,
        lifespan: Lifespan | None = None,
    ) -> None:
        self._kept_at = Address(url)
        self.max_payload = check_most(max_payload)
        self.app = module_here() if app is None else app
        enqueueing.check_name("app", self.app, "shop")
        self.release = None if release is None else str(release)
        self.lifespan = None if lifespan is None else check_lifespan(lifespan)
        self.tasks: dict[str, DurableTask[Any, Any]] = {}
        """Every task of this queue by each name that it has in the database: its own, and its aliases."""
        self._limits = SharedLimits()
        self._opened = Opened(lambda: self.url)
        open_queues.add(self)

    # -- tasks

    @overload
    def task(self, fn: Callable[P, R], /, **options: Unpack[DurableKeywords]) -> DurableTask[P, R]: ...
    @overload
    def task(
        self, fn: None = None, /, **options: Unpack[DurableKeywords]
    ) -> Callable[[Callable[P, R]], DurableTask[P, R]]: ...
    def task(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Make a function a `DurableTask`: ``@queue.task`` or ``@queue.task(timeout=60, retry=Retry(5))`` above it.

        The options are those of every task, and of `EnqueueOptions` (``queue``, ``keep``, …), as defaults for each job.
        ``aliases`` are names that the task had before: jobs that were enqueued under one of them are run, too.
        ``schedule`` is a `Cron` or `Every`, or a list of them: workers then put jobs of the task on their own.
        ``limit`` is a `Limit` or a list of them, and ``lane`` by what its jobs take turns, as in ``lane="tenant"``.
        ``checkpoint`` is the type of the states that its jobs save for their next run: see `JobContext.save`.
        ``kind`` says what its jobs run on, whatever the worker: ``"process"``, ``"thread"`` or ``"async"``. By default
        a coroutine function runs on an event loop, and any other function as the worker's ``--kind`` says.

        A module that is reloaded, and a notebook's cell that is run again, replace the tasks that they have made.

        Raises:
            TypeError, ValueError: for an option that does not exist, an invalid value, or a name that
                another task of this queue has.
        """
        aliases = enqueueing.check_aliases(options.pop("aliases", ()))
        schedules = as_schedules(options.pop("schedule", ()))
        kind = enqueueing.check_kind(options.pop("kind", None))
        checkpoint = options.pop("checkpoint", None)
        ours, others = enqueueing.split_options(options)
        settings = TaskOptions(**others)
        how = EnqueueOptions(**ours)

        def make(function: Callable[..., Any]) -> DurableTask[Any, Any]:
            check_function(function, settings.name)
            if kind == "async" and not iscoroutinefunction(function):
                raise TypeError(f"kind='async' is for coroutine functions (async def), and {function!r} is none")
            made = DurableTask(self, function, settings, how, aliases=aliases, made=here())
            made.kind = kind
            made.states = None if checkpoint is None else StateType(made.durable_name, checkpoint)
            made.set_turns()
            made.schedules = declare(made, schedules)
            add_task(self.tasks, made, self._limits.by_name)
            return made

        return make if fn is None else make(fn)

    # -- putting

    @overload
    def enqueue_many(
        self, task: Task[P, Coroutine[Any, Any, R]], rows: Rows, *, connection: Any = None
    ) -> list[JobHandle[R]]: ...
    @overload
    def enqueue_many(self, task: Task[P, R], rows: Rows, *, connection: Any = None) -> list[JobHandle[R]]: ...
    def enqueue_many(self, task: Task[P, Any], rows: Rows, *, connection: Any = None) -> list[JobHandle[Any]]:
        """Enqueue a job for each row, a thousand to a transaction or 8 MB; much faster than one by one.

        Args:
            task: a task of this queue, with its options.
            rows: a tuple of arguments, or a mapping of keywords, for each job. Read lazily.
            connection: put them in the transaction of this one, as `DurableTask.enqueue` does: all of them are there
                if and only if that commits.

        Returns:
            A handle for each row, in order.

        Raises:
            PayloadRefused: a row cannot be stored, naming its number. Earlier thousands are enqueued, its own is not.
            EngineError: the store could not do it; it says whether the thousand at work may have been enqueued.
        """
        if not isinstance(task, DurableTask) or task.queue is not self:
            raise TypeError(f"enqueue_many needs a task of this queue, made by @queue.task, not {task!r}")
        handles: list[JobHandle[Any]] = []
        for jobs in batches_of(task, rows):
            placed = place(self, jobs, connection)
            handles += [JobHandle(self, one, task) for one in placed]
        return handles

    def put(self, call: Call[R], *, connection: Any = None) -> JobHandle[R]:
        """Put a call, made by ``task.call(...)``: on *connection* in its transaction, as `DurableTask.enqueue` does.

        Raises:
            TypeError, ValueError: *call* is none, or its task is not of this queue.
            EngineError, RuntimeError: as `DurableTask.enqueue` does.
        """
        [handle] = self.put_many([call], connection=connection)
        return handle

    def put_many(self, calls: Iterable[Call[Any]], *, connection: Any = None) -> list[JobHandle[Any]]:
        """Put calls, of different tasks too, in one transaction: all of them are there, or none. Raises as `put`."""
        jobs = jobs_of(calls, self.tasks)
        if connection is None:
            refuse_on_loop("queue.put", "queue.put_async")
        return self._handles(place(self, jobs, connection), jobs) if jobs else []

    async def put_async(self, call: Call[R], *, connection: Any = None) -> JobHandle[R]:
        """`put` from asyncio: the loop goes on while the job is written. *connection* may be one of asyncio's, too."""
        [handle] = await self.put_many_async([call], connection=connection)
        return handle

    async def put_many_async(self, calls: Iterable[Call[Any]], *, connection: Any = None) -> list[JobHandle[Any]]:
        """`put_many` from asyncio."""
        import asyncio  # for those who use it

        jobs = [as_member(self, job) for job in jobs_of(calls, self.tasks)]
        if connection is not None:
            return self._handles(await self.engine.put_on_async(connection, jobs), jobs)
        placed = await asyncio.shield(asyncio.wrap_future(self.writer.put_soon(jobs))) if jobs else []
        return self._handles(placed, jobs)

    def chain(self, *calls: Call[Any], connection: Any = None) -> Chain:
        """Put calls of which each waits until the one before it has completed, in one transaction.

        `Result` among the arguments of one stands for what the one before it returns:
        ``queue.chain(fetch.call(url), parse.call(Result))``.

        Returns:
            The handles, in order, whose ``result()`` is that of the last.

        Raises:
            TypeError, ValueError: there is no call, one is none, or the first takes a `Result`.
        """
        return Chain(self.put_many(jobs_in_line(calls), connection=connection))

    def batch(
        self,
        name: str,
        *,
        then: Call[Any] | None = None,
        finally_: Call[Any] | None = None,
        on_failure: OnFailure = "go_on",
        parent: Batch | None = None,
        connection: Any = None,
    ) -> Batch:
        """Jobs that belong together: ``with queue.batch("import", then=report.call()): load.enqueue(row)``.

        Args:
            name: for people; many batches may have it.
            then: put once when all members have completed.
            finally_: put once when all have ended in any way.
            on_failure: ``"cancel_rest"``: the first member that is discarded has the others cancelled.
            parent: the batch of which this one counts as one member.
            connection: in whose transaction it is made and filled, as `DurableTask.enqueue` does with one job.

        Raises:
            TypeError, ValueError: at once, for what does not fit.
        """
        return Batch(self, new_batch(name, then, finally_, on_failure, parent, self.tasks), connection=connection)

    def get_batch(self, batch_id: str) -> Batch:
        """The batch of that id; raises `UnknownBatch` if there is none, or its record was pruned."""
        found = Batch(self, None, number_in(batch_id))
        found.row()
        return found

    def _handles(self, placed: Iterable[EnqueueResult], jobs: Iterable[NewJob]) -> list[JobHandle[Any]]:
        return [JobHandle(self, one, self.tasks[job.task]) for one, job in zip(placed, jobs, strict=True)]

    def limit(self, name: str, **values: Unpack[LimitKeywords]) -> Limit:
        """A limit that tasks of this queue share: ``queue.limit("stripe", running=5)``; see `Limit`.

        Raises:
            TypeError, ValueError: for an invalid value, or if there is another limit of that name.
        """
        return self._limits.add(Limit(name, **values), limits_of(self.tasks.values()))

    @property
    def limits(self) -> Limits:
        """The limits as they hold now: ``queue.limits.set("stripe", running=2)``."""
        return Limits(self, lambda: self.declared_limits)

    @property
    def declared_limits(self) -> Mapping[str, Limit]:
        """Those in the code, by name."""
        return limits_of(self.tasks.values()) | self._limits.by_name

    @property
    def schedules(self) -> Schedules:
        """The schedules of this queue: ``queue.schedules.get("nightly").next(5)``."""
        return Schedules(self)

    # -- one job

    def get(self, job_id: str) -> JobHandle[Any]:
        """The job of that id.

        Raises:
            UnknownJob: there is none, or its record was pruned.
        """
        return handle_of(self, job_id)

    async def get_async(self, job_id: str) -> JobHandle[Any]:
        """The same from asyncio, with the same errors: the loop goes on meanwhile."""
        from steadypool.durable.client.task_waiter import look  # for those who use asyncio

        return await look(self.ends, self.get, job_id)

    def cancel(self, job_id: str) -> bool:
        """Cancel a job: one that waits at once, one that runs within two seconds.

        Returns:
            False if it had ended before.

        Raises:
            UnknownJob: there is none.
        """
        return self.request_cancel(job_id) not in ENDED

    def request_cancel(self, job_id: str) -> JobState:
        """The same; returns the state in which the job was. One that ran is asked to stop, and may go on for a while.

        Raises:
            UnknownJob: there is none.
        """
        number, nonce = parts_of_id(enqueueing.checked_id(job_id))
        found = self.engine.cancel_chosen(job_id) if number is None else self.engine.cancel(number, nonce)
        if found is None:
            raise unknown(job_id)
        return found

    def retry(self, job_id: str) -> None:
        """Run a job again that was discarded or cancelled, from its first attempt; or at once one that is delayed.

        Raises:
            UnknownJob: there is none.
            WrongState: it is none of these, its unique key was taken by another job meanwhile, or it was cancelled
                since it needed a job that is still given up.
        """
        known = self.record(job_id)
        found = self.engine.retry(known.number, known.nonce)
        if found is None:
            raise unknown(job_id)
        if found.state in (JobState.DISCARDED, JobState.CANCELLED):
            after = self.engine.get(known.id)  # it may have run and failed again by now
            if after is not None and (after.state, after.ended_at) == (found.state, found.ended_at):
                raise WrongState(f"job {known.id!r} {_why_not_again(found)}", state=found.state.value)
        elif found.state not in (JobState.SCHEDULED, JobState.RETRYABLE):
            text = f"job {known.id!r} is {found.state.value}: there is nothing to retry"
            raise WrongState(text, state=found.state.value)

    def discard(self, job_id: str, reason: str = "discarded by hand") -> None:
        """Give up a job that waits.

        Raises:
            UnknownJob: there is none.
            WrongState: it runs (cancel it instead), or has ended.
        """
        known = self.record(job_id)
        found = self.engine.discard(known.number, known.nonce, storable(reason, LONGEST_MESSAGE))
        if found is None:
            raise unknown(job_id)
        if found.state not in WAITING:
            hint = ": cancel it instead" if found.state is JobState.RUNNING else ""
            raise WrongState(f"job {known.id!r} is {found.state.value}{hint}", state=found.state.value)

    # -- the whole queue

    def list(
        self,
        which: JobFilter | None = None,
        *,
        state: JobState | str | None = None,
        queue: str | None = None,
        task: str | None = None,
        limit: int = 100,
    ) -> list[JobRecord]:
        """Jobs, the latest first, *limit* at most: all, or those of one state, named queue or task.

        Raises:
            ValueError: there is no such state.
        """
        if which is None:
            states = frozenset(JobState) if state is None else frozenset({state_named(state)})
            which = JobFilter(states, queue, task, limit=limit)
        return self.engine.list(check_filter("list", which))

    def retry_all(self, which: JobFilter, *, dry_run: bool = False) -> BulkResult:
        """Run all jobs again that *which* finds (its ``limit`` aside), or with *dry_run* count them: the discarded
        ones, unless it names states. One whose unique key another job has by now is left, and listed. Raises
        `ValueError` if it names only states in which there is nothing to retry; likewise below.
        """
        return change_all(self.engine, "retry", which, "", dry_run)

    def cancel_all(self, which: JobFilter, *, dry_run: bool = False) -> BulkResult:
        """Cancel jobs: those that wait at once; those that run are asked to stop."""
        return change_all(self.engine, "cancel", which, "", dry_run)

    def discard_all(self, which: JobFilter, *, dry_run: bool = False, reason: str = "discarded by hand") -> BulkResult:
        """Give up jobs that wait."""
        return change_all(self.engine, "discard", which, storable(reason, LONGEST_MESSAGE), dry_run)

    def stats(self) -> EngineStats:
        """How many jobs are where, and who works."""
        return self.engine.stats()

    def pause(self, name: str = "default") -> None:
        """Stop workers from claiming jobs of the named queue; running jobs continue."""
        enqueueing.check_name("queue", name, "mail")
        self.engine.pause(name, True)

    def resume(self, name: str = "default") -> None:
        """Let workers claim its jobs again."""
        enqueueing.check_name("queue", name, "mail")
        self.engine.pause(name, False)

    def wake(self) -> None:
        """Have workers look now: after the commit of a transaction of yours in which you enqueued (``connection=``).

        Without it they find such a job on SQLite when they next look on their own, within a second: a file does
        not announce commits. PostgreSQL does. An `EngineError` says that no listener was notified.
        """
        self.engine.wake()

    def work(
        self,
        *,
        until_empty: bool = False,
        drain_timeout: float = 30.0,
        on_signals: bool = False,
        **settings: Unpack[WorkerKeywords],
    ) -> WorkReport:
        """Work on this queue, here and now, until a drain is requested; see `Worker.run` and `WorkerSettings`.

        Raises:
            TypeError, ValueError: for a setting that does not exist or an invalid value.
        """
        from steadypool.durable.worker.settings import WorkerSettings
        from steadypool.durable.worker.worker import Worker

        worker = Worker(self, WorkerSettings(**settings))
        return worker.run(until_empty=until_empty, drain_timeout=drain_timeout, on_signals=on_signals)

    if not TYPE_CHECKING:  # for a type checker there would be every attribute then

        def __getattr__(self, name: str) -> Any:
            from steadypool.model.peer_names import missing_attribute  # for a mistake alone

            how = "a task puts its own jobs, task.enqueue(...); calls are put with queue.put(task.call(...))"
            raise AttributeError(missing_attribute(self, name, "a queue", how, how))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Queue {self._kept_at.own or URL_VARIABLE}>"

    def __reduce__(self) -> Any:
        # A task that travels by value takes its queue along; not what is connected.
        return _remake, (self._elsewhere or self._kept_at.own, self.max_payload)


def _remake(url: str | None, max_payload: int | None) -> Queue:
    return Queue(url, max_payload=max_payload)


def _why_not_again(found: JobRecord) -> str:
    if found.state is JobState.CANCELLED and found.reason.startswith("needed "):
        return f"{found.reason}: retry that one, and this one comes back with it"
    return "has a unique key that another job has now"
