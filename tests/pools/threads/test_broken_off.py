"""A worker thread in which an exception is raised that came from no job."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import Outcome
from steadypool.model.errors import InternalError
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def raise_in(thread: threading.Thread) -> None:
    """As debuggers and some time-limit libraries do. `SystemExit` ends a thread without a word."""
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))


def test_an_idle_worker_that_is_ended_from_outside_is_replaced(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    worker = pool.submit(threading.current_thread).result(WAIT)
    raise_in(worker)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    worker.join(WAIT)
    assert not worker.is_alive()
    assert pool.submit(threading.current_thread).result(WAIT) is not worker
    assert pool.drain(WAIT).ok


def test_the_job_that_it_held_has_failed(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1)
    future, _ = stage.start(pool)
    (worker,) = pool._workers.workers
    pool._workers.broke_off(worker, MemoryError("no memory for the books"))
    error = future.exception(WAIT)
    assert isinstance(error, InternalError) and isinstance(error.__cause__, MemoryError)
    assert future.outcome is Outcome.FAILED and future.job_id in str(error)
    assert [group.type_name for group in pool.errors()] == ["steadypool.InternalError"]
