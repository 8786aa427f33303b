"""For the tests of a Django project: run what was enqueued, as a worker would.

class Checkout(TestCase):
    def test_a_receipt_is_sent(self):
        self.client.post("/orders/", {...})
        run_jobs()
        self.assertEqual(len(mail.outbox), 1)
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from inspect import iscoroutinefunction
from typing import Any

import msgspec
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
from steadypool.contrib.django.steadypool_task import SteadypoolTask, check_options
from steadypool.durable.client import own_retry
from steadypool.durable.client.task import DurableTask
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import Claim, Settlement, Verdict
from steadypool.durable.worker import verdicts
from steadypool.durable.worker.pool_adapter import with_long_waits
from steadypool.durable.worker.verdicts import AttemptEnd, CrashLimits
from steadypool.model.errors import Snooze
from steadypool.model.options import Retry
from steadypool.model.states import Outcome
from steadypool.primitives.job_context import SCHEDULE, JobContext, set_finder

__all__ = ["DummyBackend", "ImmediateBackend", "run_jobs"]
LEASE = 86_400.0


class DummyBackend(TheirDummyBackend):
    """Django's, for modules whose tasks have options of ours: it keeps jobs in a list, and runs none."""

    task_class = SteadypoolTask

    def validate_task(self, task: Any) -> None:
        """Do nothing, unless `SteadypoolBackend` would refuse the task, too."""
        super().validate_task(task)
        check_options(task)


class ImmediateBackend(TheirImmediateBackend):
    """Django's, for modules whose tasks have options of ours: it runs a job at once, and heeds none of these."""

    task_class = SteadypoolTask

    def validate_task(self, task: Any) -> None:
        """Do nothing, unless `SteadypoolBackend` would refuse the task, too."""
        super().validate_task(task)
        check_options(task)


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
    engine = ours.queue.new_engine()
    worker = engine.register("run_jobs", LEASE)
    results: list[Any] = []
    try:
        while claims := engine.claim(worker, tuple(queues or sorted(ours.queues) or ["default"]), 1).claims:
            if len(results) == at_most:
                engine.settle_many([Settlement(claims[0], Verdict.RETURN)])
                raise RuntimeError(f"{at_most} attempts were run, and there is more to do: a job of {claims[0].task}")
            error = _Run(ours, engine, claims[0]).settle()
            results.append(ours.get_result(claims[0].id))
            if error is not None and raises:
                raise error
    finally:
        engine.leave(worker)
        engine.close()
    return results


class _Run:
    """One attempt."""

    def __init__(self, backend: SteadypoolBackend, engine: Engine, claim: Claim) -> None:
        self._backend = backend
        self._engine = engine
        self._claim = claim
        self._options: dict[str, Any] = msgspec.json.decode(claim.options) if claim.options is not None else {}

    def settle(self) -> BaseException | None:
        """Run it, and write down how it went; the error if it failed."""
        settlement, error = self._run()
        self._engine.settle_many([settlement])
        if settlement.verdict is Verdict.DISCARD and error is not None:
            send_finished(self._backend.alias, self._claim.id, registry.task_at(self._claim.task), error)
        return error

    def _run(self) -> tuple[Settlement, BaseException | None]:
        claim, task = self._claim, registry.durable(self._backend.queue, self._backend.alias, self._claim.task)
        if claim.expires_in is not None and claim.expires_in <= 0:
            return verdicts.expired(claim), None
        try:
            end, error = AttemptEnd(Outcome.SUCCEEDED, None, self._result(task)), None
        except Snooze as snooze:
            return verdicts.snoozed(claim, snooze.seconds), None
        except Exception as raised:
            end, error = AttemptEnd(Outcome.FAILED, raised), raised
        return verdicts.settlement_of(claim, end, self._retry(task, error), CrashLimits(), random.random()), error

    def _result(self, task: DurableTask[Any, Any]) -> bytes:
        args, kwargs = task.payload.decode(self._claim.payload)
        job = self._context(task)

        async def on_a_loop() -> Any:
            with _in_job(job):  # the loop has a thread of its own
                return await task.fn(*args, **kwargs)

        with _as_in_autocommit(), _in_job(job):
            returned = async_to_sync(on_a_loop)() if iscoroutinefunction(task.fn) else task.fn(*args, **kwargs)
            return task.payload.encode_result(returned)

    def _context(self, task: DurableTask[Any, Any]) -> JobContext:
        claim = self._claim
        own = {SCHEDULE: self._options["schedule"]} if "schedule" in self._options else {}
        meta = {**(task.task_options.meta or {}), **(self._options.get("meta") or {}), **own}
        return JobContext(claim.id, claim.task, claim.attempt, None, {**meta, "fencing_token": claim.fencing_token})

    def _retry(self, task: DurableTask[Any, Any], error: BaseException | None) -> Retry | None:
        rule = task.task_options.retry
        if error is not None and "retry" in self._options:
            rule = own_retry.for_error(self._options["retry"], error)
        return with_long_waits(rule)


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
