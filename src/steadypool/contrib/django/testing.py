"""For the tests of a Django project: run what was enqueued, as a worker would.

class Checkout(TestCase):
    def test_a_receipt_is_sent(self):
        self.client.post("/orders/", {...})
        run_jobs()
        self.assertEqual(len(mail.outbox), 1)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.transaction import TransactionManagementError

from steadypool.contrib.django import registry
from steadypool.contrib.django.backend import SteadypoolBackend
from steadypool.contrib.django.failures import send_finished
from steadypool.contrib.django.framework import DEFAULT_TASK_BACKEND_ALIAS, task_backends
from steadypool.contrib.django.framework import DummyBackend as TheirDummyBackend
from steadypool.contrib.django.framework import ImmediateBackend as TheirImmediateBackend
from steadypool.contrib.django.options import BackendOptions
from steadypool.contrib.django.queue import DjangoQueue
from steadypool.contrib.django.run import Runner, runner
from steadypool.contrib.django.steadypool_task import SteadypoolTask, check_options
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import DEFAULT_QUEUE, JobFilter
from steadypool.durable.engine.states import JobState
from steadypool.durable.worker.caller_worker import CallerWorker
from steadypool.durable.worker.context import WorkerContext
from steadypool.durable.worker.settings import WorkerSettings
from steadypool.primitives.job_context import JobContext, current_job, set_finder

__all__ = ["DummyBackend", "ImmediateBackend", "run_jobs"]
LEASE = 86_400.0


class _TakesOptions:
    """What a backend for tests has, so that modules whose tasks have options of ours can be imported."""

    task_class = SteadypoolTask

    def validate_task(self, task: Any) -> None:
        """Do nothing, unless `SteadypoolBackend` would refuse the task, too."""
        super().validate_task(task)  # type: ignore[misc]
        check_options(task)


class DummyBackend(_TakesOptions, TheirDummyBackend):
    """Django's, for modules whose tasks have options of ours: it keeps jobs in a list, and runs none."""


class ImmediateBackend(_TakesOptions, TheirImmediateBackend):
    """Django's, for modules whose tasks have options of ours: it runs a job at once, and heeds none of these."""


def run_jobs(
    *,
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    queues: Sequence[str] | None = None,
    at_most: int = 1000,
    raises: bool = True,
) -> list[Any]:
    """Run the jobs that may run now, those included that they enqueue, on this thread and over Django's connection.

    So it finds what a test has enqueued in the transaction of its `TestCase`. Each job is claimed, run and settled as
    by a worker: in order of priority, with its retries and unique keys. A job that waits for its time, or for its next
    attempt, is left. Time limits are not enforced. What a job registers with ``transaction.on_commit`` is run after it.

    Args:
        backend: the alias in ``TASKS``.
        queues: names of queues; by default all ``QUEUES`` of the backend.
        at_most: attempts to run.
        raises: whether the first attempt that fails ends the call, with its own exception.

    Returns:
        The result of each attempt, in order: one job may be there several times.

    Raises:
        RuntimeError: there was more to run than *at_most*.
    """
    ours = task_backends[backend]
    if not isinstance(ours, SteadypoolBackend):
        raise ImproperlyConfigured(f"run_jobs runs jobs of a SteadypoolBackend, and TASKS[{backend!r}] is {ours!r}")
    names = tuple(queues or sorted(ours.queues) or [DEFAULT_QUEUE])
    queue, engine = _queue_of(ours), ours.queue.new_engine()
    context = WorkerContext.of(engine.url, WorkerSettings(name="run_jobs", queues=names, lease=LEASE), engine)
    results: list[Any] = []
    try:
        with CallerWorker(context, [queue]) as worker:
            while (ended := worker.step(names)) is not None:
                worker.write()
                results.append(ours.get_result(ended.claim.id))
                if ended.error is not None and ended.is_given_up:
                    send_finished(backend, ended.claim.id, registry.task_at(ended.claim.task), ended.error)
                if ended.error is not None and ended.has_failed and raises:
                    raise ended.error
                if len(results) == at_most and (more := _next(engine, names)):
                    raise RuntimeError(f"{at_most} attempts were run, and there is more to do: a job of {more}")
    finally:
        engine.close()
    return results


def _next(engine: Engine, names: Sequence[str]) -> str | None:
    """The task of a job that may run now."""
    for name in names:
        for record in engine.list(JobFilter(frozenset({JobState.AVAILABLE}), name, limit=1)):
            return record.task
    return None


_queues: dict[tuple[str, BackendOptions], DjangoQueue] = {}


def _queue_of(backend: SteadypoolBackend) -> DjangoQueue:
    """The backend's queue with tasks that run on the thread that calls."""
    options = backend.steadypool_options
    key = backend.alias, options
    queue = _queues.get(key) or _queues.setdefault(key, DjangoQueue(options))
    registry.declare_all(queue, backend.alias, tuple(options.modules), _on_this_thread)
    return queue


def _on_this_thread(alias: str, task: Any) -> Runner:
    """What runs *task*: a coroutine function on a loop of its own, what is not async of it on this thread."""
    as_worker = runner(alias, task)

    def run(args: list[Any], kwargs: dict[str, Any]) -> Any:
        job = current_job()

        async def on_a_loop() -> Any:
            with _in_job(job):  # the loop has a thread of its own
                return await as_worker(args, kwargs)

        with _as_in_autocommit():
            return async_to_sync(on_a_loop)() if iscoroutinefunction(as_worker) else as_worker(args, kwargs)

    run.stands_for = task  # type: ignore[attr-defined]
    return run


@contextmanager
def _in_job(job: JobContext) -> Iterator[None]:
    before = set_finder(lambda: job)
    try:
        yield
    finally:
        set_finder(before)


@contextmanager
def _as_in_autocommit() -> Iterator[None]:
    """A block of a worker's job, though the test is in a transaction.

    An error of the database undoes the block, and not the test's transaction; what else has failed keeps what it has
    written.
    """
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                stack.enter_context(_savepoint(connection))
        yield


@contextmanager
def _savepoint(connection: Any) -> Iterator[None]:
    savepoint, before = connection.savepoint(), len(connection.run_on_commit)
    try:
        yield
    finally:
        is_broken = connection.needs_rollback or _is_in_error(connection)
        if is_broken:
            connection.needs_rollback = False
            connection.savepoint_rollback(savepoint)
        else:
            connection.savepoint_commit(savepoint)
        while len(connection.run_on_commit) > before:
            connection.run_on_commit.pop(before)[1]()
    if is_broken:
        raise TransactionManagementError(
            f"a query of the job has failed, and with it the transaction of {connection.alias!r} that the test is in: "
            "put the part that may fail into transaction.atomic()"
        )


def _is_in_error(connection: Any) -> bool:
    status = getattr(getattr(connection.connection, "info", None), "transaction_status", None)
    return getattr(status, "name", "") == "INERROR"
