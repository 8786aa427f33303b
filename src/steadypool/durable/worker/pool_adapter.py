"""The pools that a worker can feed, made to look alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from steadypool.durable.client import own_retry
from steadypool.durable.client.call import RESULTS
from steadypool.durable.client.nested_waits import Slots
from steadypool.durable.client.queue import Queue
from steadypool.durable.client.task import DurableTask
from steadypool.durable.engine.records import Claim
from steadypool.durable.engine.turns import Turn
from steadypool.durable.worker import run_job
from steadypool.durable.worker.job_links import with_gaps
from steadypool.durable.worker.saver import Beginning, run_from, run_from_async
from steadypool.durable.worker.settings import WorkerSettings
from steadypool.model.call_gates import CallGates
from steadypool.model.limit import Limit
from steadypool.model.options import Retry, TaskOptions
from steadypool.pools.executor.contract import Prepared
from steadypool.primitives.job_context import SCHEDULE
from steadypool.rules.retry import waits_of

if TYPE_CHECKING:
    from steadypool.pools.aio.loop_pool import LoopPool
    from steadypool.pools.executor.contract import PoolContract

Pool: TypeAlias = "PoolContract | LoopPool"
"""What runs jobs: of each kind there is one of these."""
BUNDLE_SECONDS = 0.005
"""Work that travels together at most: one in a bundle waits for those before it, and cannot be given to another."""
BUNDLE_LIMIT_SHARE = 0.1
"""And no more than this of the time limit of one: the limit is then the bundle's."""
KNOWN_AFTER = 20
"""Jobs of a task that must have ended before its run time is believed."""
MOST_BUNDLED = 32
WEIGHT = 0.1
FIRST_WAIT, LONGEST_WAIT = 10.0, 3600.0
"""Seconds until a job that has failed is tried again, where its `Retry` does not say."""
_OF_PROCESSES = frozenset({"max_tasks_per_child", "max_memory_per_child", "mp_context"})
_OF_OTHERS: dict[str, frozenset[str]] = {
    "process": frozenset({"thread_name_prefix"}),
    "thread": _OF_PROCESSES,
    "async": _OF_PROCESSES | {"thread_name_prefix", "initializer", "initargs"},
}
"""Arguments that the pools of other kinds have, and this one has not."""
ROOM = 100_000
"""The pool's own queue is never what bounds: the worker claims no more than it has use for."""


def check_pool_arguments(settings: WorkerSettings, kinds: Sequence[str]) -> None:
    """Do nothing, unless there is an argument for a kind of pool that no task needs.

    Raises:
        TypeError: there is.
    """
    for name in settings.pool.keys() & _OF_PROCESSES:
        if "process" not in kinds:
            raise TypeError(
                f"{name} is for processes, and no task of this queue runs in one: leave it out, or work with "
                "kind='process'"
            )


def open_pool(settings: WorkerSettings, kind: str, name: str, slots: Slots, queue: Queue) -> Pool:
    """A pool of that kind as the settings say for the tasks of *queue*, whose processes know of *slots*."""
    workers = slots.count
    common: dict[str, Any] = {"queue_size": ROOM, "cancel_grace": settings.cancel_grace}
    common |= {option: value for option, value in settings.pool.items() if option not in _OF_OTHERS[kind]}
    common["name"] = name
    pool: Pool
    if kind == "process":
        from steadypool.pools.processes import ProcessPool

        common |= settings.process_pool
        places = [place for task in queue.tasks.values() if (place := run_job.place_of(task)) is not None]
        initializer = common.pop("initializer", None), common.pop("initargs", ())
        own = (queue.prepare, slots, places, queue.lifespan, *initializer)
        pool = ProcessPool(workers, initializer=run_job.prepare_process, initargs=own, **common)
    elif kind == "async":
        from steadypool.pools.aio.loop_pool import LoopPool

        pool = LoopPool(workers, **common)
    else:
        from steadypool.pools.threads.pool import ThreadPool

        pool = ThreadPool(workers, **common)
    return pool


def most_bundled(claims: int, slots: int) -> int:
    """How many of so many claims travel together at most: every slot is to have something to do, and to do next."""
    return min(MOST_BUNDLED, claims // (2 * slots))


def bundle_seconds(timeout: float | None) -> float:
    """How much work may travel together, of jobs with this time limit."""
    return BUNDLE_SECONDS if timeout is None else min(BUNDLE_SECONDS, timeout * BUNDLE_LIMIT_SHARE)


class RunTime:
    """How long the jobs of one task take: by that, how many may travel together."""

    def __init__(self) -> None:
        self._mean = 0.0
        self._count = 0

    def add(self, seconds: float) -> None:
        """One more has ended. A long one counts at once: it is what others would have to wait for."""
        self._count += 1
        self._mean = seconds if seconds > BUNDLE_SECONDS else self._mean + WEIGHT * (seconds - self._mean)

    def fit_into(self, seconds: float) -> int:
        """How many of them take so long together, as far as is known."""
        if self._count < KNOWN_AFTER:
            return 1
        return max(1, int(seconds / max(self._mean, 1e-9)))


def with_long_waits(retry: Retry | None) -> Retry | None:
    """The rule with the waits of durable jobs for what it does not say: what they need may be away for an hour."""
    if retry is None:
        return None
    first, longest = waits_of(retry, FIRST_WAIT, LONGEST_WAIT)
    return replace(retry, backoff=first, max_backoff=longest)


class TaskAdapter:
    """How one task's claims become the pool's jobs; *limit* bounds how many jobs of several pools run."""

    def __init__(self, task: DurableTask[Any, Any], kind: str, slots: Slots, limit: Limit | None = None) -> None:
        self.retry = with_long_waits(task.task_options.retry)
        self.kind = kind
        self.states = task.states
        # Retries are the queue's: each attempt is a job of its own for the pool. Order is the queue's, too.
        own: dict[str, Any] = {
            "name": task.durable_name,
            "id": None,
            "retry": None,
            "total_timeout": None,
            "priority": 0,
        }
        self._options = replace(task.task_options, limit=limit, lane=None, **own).over(TaskOptions())
        if limit is not None:
            self._options = self._options.with_gates(CallGates(task.fn, task.durable_name, [limit], None))
        self._meta = dict(task.task_options.meta or {})
        self._fn, self._args = _call_of(task, kind, slots)
        self._place = run_job.place_of(task) if kind == "process" else None
        self._task = task
        self.run_time = RunTime()
        self.unfit = 0
        """How many of its jobs, one after the other, were of another version of the program."""

    def has_passed(self, claim: Claim) -> bool:
        """Whether a claim has passed the task's limits; not: it was put before they were there."""
        turns = self._task.turns
        return turns is None or turns.are_in(claim.turn)

    def turn_of(self, claim: Claim) -> Turn | None:
        """Where it has to wait for its turn."""
        return self._task.turn_of(claim.payload)

    def retry_of(self, claim: Claim, error: BaseException | None) -> Retry | None:
        """When an attempt that failed with *error* is followed by another: as the call says, or the task."""
        if error is None or claim.options is None:
            return self.retry
        given = msgspec.json.decode(claim.options)
        return with_long_waits(own_retry.for_error(given["retry"], error)) if "retry" in given else self.retry

    def prepare(self, claim: Claim, beginning: Beginning | None = None) -> Prepared:
        """What the pool is given for the claim; *beginning*: of a job that saves."""
        options = self._options
        meta = {**self._meta, "fencing_token": claim.fencing_token}
        payload = claim.payload.decode()
        if claim.options is not None or claim.expires_in is not None:
            given = msgspec.json.decode(claim.options) if claim.options is not None else {}
            options, meta = self._own_options(claim, given, meta)
            if RESULTS in given:
                payload = with_gaps(given[RESULTS], payload)
        options = options.for_job(claim.id, meta, claim.attempt - 1)
        if beginning is not None:
            run: Callable[..., Any] = run_from_async if self.kind == "async" else run_from
            return options, run, (beginning, self._fn, *self._args, payload)
        return options, self._fn, (*self._args, payload)

    @staticmethod
    def is_plain(claim: Claim) -> bool:
        """Whether it may travel with others of its task. One that has failed or crashed before goes alone."""
        return claim.attempt == 1 and claim.options is None and claim.expires_in is None

    def most_together(self, claim: Claim) -> int:
        """With how many of its task it may travel at most, itself included."""
        if self._place is None or self.states is not None or not self.is_plain(claim):
            return 1
        return self.run_time.fit_into(bundle_seconds(self._options.timeout))

    def prepare_bundle(self, claims: Sequence[Claim]) -> Prepared:
        """What the pool is given for several claims at once."""
        assert self._place is not None
        items = [(claim.id, claim.fencing_token, claim.attempt, claim.payload.decode()) for claim in claims]
        options = self._options.for_job(claims[0].id, self._meta, 0)
        return options, run_job.perform_bundle, (*self._place, items)

    def _own_options(
        self, claim: Claim, given: Mapping[str, Any], meta: dict[str, Any]
    ) -> tuple[TaskOptions, dict[str, Any]]:
        timeout = given.get("timeout", self._options.timeout)
        changed = replace(self._options, timeout=None if timeout == "none" else timeout, total_timeout=claim.expires_in)
        own = {SCHEDULE: given["schedule"]} if "schedule" in given else {}
        if self._options.gates is not None:
            changed = changed.with_gates(self._options.gates)
        return changed, {**(given.get("meta") or {}), **meta, **own}


def _call_of(task: DurableTask[Any, Any], kind: str, slots: Slots) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    if kind == "async":
        return run_job.perform_async, (slots, task)
    if kind == "thread":
        return run_job.perform_within, (slots, task)
    place = run_job.place_of(task)
    if place is not None:
        return run_job.perform_at, place
    return run_job.perform_function, (task.fn, task.durable_name, task.queue.max_payload)
