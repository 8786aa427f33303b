"""One job of a test that runs alone, whatever else waits: `Jobs.perform` and `Jobs.interrupt`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import count
from typing import Any, Generic, TypeVar

import steadypool
from steadypool.durable.client.task import DurableTask
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import EnqueueResult, Verdict
from steadypool.durable.worker.caller_worker import CallerWorker, Ended
from steadypool.model.checks import check_count

R = TypeVar("R")
ALONE = "steadypool.perform"
"""The named queue of a job that is performed. An interrupted job, which may wait while others run, has its own: its
name begins like this."""
_PACKAGE = os.path.dirname(steadypool.__file__)
_numbers = count()


class OneJob(Generic[R]):
    """It is put, and runs when it is asked for.

    Raises:
        PayloadRefused: an argument cannot be stored.
        AssertionError: it was not put: another job has its id or unique key.
    """

    def __init__(
        self,
        engine: Engine,
        worker: Callable[[], AbstractContextManager[CallerWorker]],
        task: object,
        call: tuple[Sequence[Any], Mapping[str, Any]],
        meta: Mapping[str, Any] | None,
        queue: str = ALONE,
    ) -> None:
        __tracebackhide__ = True
        if not isinstance(task, DurableTask):
            raise TypeError(f"perform needs a task, made by @queue.task, not {task!r}")
        self._engine, self._worker = engine, worker
        self.task = task
        self._queue = queue
        changes: dict[str, Any] = {"queue": queue, "delay": 0} | ({} if meta is None else {"meta": dict(meta)})
        args, kwargs = call
        [self.placed] = self._engine.put_many([task.options(**changes).new_job(tuple(args), kwargs)])
        if not self.placed.enqueued:
            raise AssertionError(f"{task.durable_name} was not put: job {self.placed.id} has its id or unique key")

    def run(self, attempt: int | None = None, checkpoint: object = None) -> R:
        """Run it to its end, and return what it returns.

        Raises:
            Exception: what it has raised.
        """
        __tracebackhide__ = True
        ended = self._step(attempt, checkpoint)
        result: R = self.task.decode_result(ended.settlement.result or b"null")
        return result

    def interrupt(self, after_saves: int, attempt: int | None = None, checkpoint: object = None) -> Interrupted[R]:
        """Run it up to that save.

        Raises:
            AssertionError: it has ended before.
            Exception: what it has raised.
        """
        __tracebackhide__ = True
        check_count("after_saves", after_saves)
        ended = self._step(attempt, checkpoint, after_saves)
        if ended.settlement.verdict is Verdict.RETURN:
            return Interrupted(self, self.placed)
        raise AssertionError(f"{self.task.durable_name} has ended before it saved {after_saves} times")

    def _step(self, attempt: int | None, checkpoint: object, interrupt_at: int | None = None) -> Ended:
        __tracebackhide__ = True
        if attempt is not None:
            check_count("attempt", attempt)
        states = self.task.states
        if states is None and (checkpoint is not None or interrupt_at is not None):
            raise TypeError(f"{self.task.durable_name} saves nothing: declare it with @queue.task(checkpoint=int)")
        state = None if states is None or checkpoint is None else states.encode(checkpoint)
        with self._worker() as worker:
            ended = worker.step([self._queue], attempt, state, interrupt_at)
        if ended is None:
            record = self._engine.get(self.placed.id)
            self._engine.cancel(self.placed.number, self.placed.nonce)
            why = "it has gone" if record is None else record.held_by or f"it is {record.state.value}"
            raise AssertionError(f"job {self.placed.id} of {self.task.durable_name} may not run now: {why}")
        if ended.error is not None:
            raise as_the_job(ended.error)
        return ended

    @property
    def checkpoint(self) -> Any:
        """What it has saved."""
        record = self._engine.get(self.placed.id)
        return None if record is None or record.checkpoint is None else self.task.decode_checkpoint(record.checkpoint)


class Interrupted(Generic[R]):
    """A job that was interrupted where it saved, as by a worker that drains. It goes on when it is asked to.

    Attributes:
        job_id: the job's id.
    """

    def __init__(self, job: OneJob[R], placed: EnqueueResult) -> None:
        self._job = job
        self.job_id = placed.id

    @property
    def checkpoint(self) -> Any:
        """What it has saved last, with which it goes on."""
        return self._job.checkpoint

    def resume(self) -> R:
        """Run it to its end, from its checkpoint, and return what it returns.

        Raises:
            Exception: what it has raised.
        """
        __tracebackhide__ = True
        return self._job.run()

    def interrupt(self, *, after_saves: int = 1) -> Interrupted[R]:
        """Run it from its checkpoint, and interrupt it once more.

        Raises:
            AssertionError: it has ended before.
            Exception: what it has raised.
        """
        __tracebackhide__ = True
        return self._job.interrupt(after_saves)


def own_queue() -> str:
    """A name that no other job has."""
    return f"{ALONE}.{next(_numbers)}"


def as_the_job(error: BaseException) -> BaseException:
    """The error, with a traceback that begins with the job's own code, if it comes to that."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)
