"""A user's mistake is told at once: what was passed, and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from steadypool import Retry, Task, task
from tests.pools.contract import jobs
from tests.pools.contract.kinds import Kind

pytestmark = pytest.mark.differs_on("asyncio", "it takes coroutine functions: see tests/pools/aio/test_submit.py")

NAN = float("nan")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
        ({"max_workers": -1}, ValueError, "max_workers must be greater than 0"),
        ({"max_workers": 1.5}, TypeError, "max_workers.*1.5"),
        ({"max_workers": "2"}, TypeError, "max_workers.*'2'"),
        ({"max_workers": True}, TypeError, "max_workers"),
        ({"queue_size": 0}, ValueError, "queue_size.*1 or more.*0"),
        ({"queue_size": "many"}, TypeError, "queue_size.*many"),
        ({"queue_size": True}, TypeError, "queue_size.*True"),
        ({"queue_size": 2.0}, TypeError, "queue_size"),
        ({"on_full": "blok"}, ValueError, 'did you mean "block"'),
        ({"on_full": "caller-runs"}, ValueError, 'did you mean "caller_runs"'),
        ({"on_full": "BLOCK"}, ValueError, 'did you mean "block"'),
        ({"on_full": "discard"}, ValueError, "discard_oldest"),
        ({"on_full": None}, (TypeError, ValueError), "on_full.*None"),
        ({"on_full": ["block"]}, (TypeError, ValueError), "on_full"),
        ({"timeout": -1}, ValueError, "timeout.*greater than 0.*-1"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": NAN}, ValueError, "timeout"),
        ({"timeout": "5"}, TypeError, "timeout.*'5'"),
        ({"timeout": True}, TypeError, "timeout"),
        ({"total_timeout": -1}, ValueError, "total_timeout"),
        ({"total_timeout": "5"}, TypeError, "total_timeout"),
        ({"retry": 3}, TypeError, r"Retry\(attempts=3\)"),
        ({"cancel_grace": -1}, ValueError, "cancel_grace must be 0 or more seconds; got -1"),
        ({"cancel_grace": None}, TypeError, "cancel_grace"),
        ({"cancel_grace": "1"}, TypeError, "cancel_grace must be a number of seconds, not '1'"),
        ({"cancel_grace": float("inf")}, ValueError, "cancel_grace"),
        ({"exit_timeout": -1}, ValueError, "exit_timeout"),
        ({"exit_timeout": "x"}, TypeError, "exit_timeout"),
        ({"name": 3}, TypeError, "name.*3"),
        ({"initializer": 3}, TypeError, "initializer.*callable.*3"),
        ({"initializer": jobs.nothing, "initargs": 3}, TypeError, "initargs"),
    ],
)
def test_constructors(kind: Kind, options: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        kind.make(**options)


def test_an_unknown_argument(kind: Kind) -> None:
    with pytest.raises(TypeError, match="queue"):
        kind.make(queue=3)


def test_numbers_that_are_fine(kind: Kind) -> None:
    for options in ({"timeout": 1}, {"timeout": float("inf")}, {"cancel_grace": 0}, {"exit_timeout": None},
                    {"exit_timeout": 0}, {"max_workers": None}, {"queue_size": 1}):  # fmt: skip
        kind.make(**options).drain(1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"timeout": -1}, ValueError, "timeout.*-1"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": "5"}, TypeError, "timeout.*'5'"),
        ({"timeout": NAN}, ValueError, "timeout"),
        ({"total_timeout": 0}, ValueError, "total_timeout"),
        ({"retry": 3}, TypeError, r"Retry\(attempts=3\).*3"),
        ({"retry": Retry}, TypeError, "retry"),
        ({"priority": "high"}, TypeError, "priority.*'high'"),
        ({"priority": 1.5}, TypeError, "priority"),
        ({"priority": None}, TypeError, "priority"),
        ({"id": 42}, TypeError, "id.*42"),
        ({"id": ""}, TypeError, "id"),
        ({"name": 3}, TypeError, "name"),
        ({"meta": "tenant"}, TypeError, "meta.*mapping"),
    ],
)
def test_task_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        task(**options)(jobs.nothing)
    with pytest.raises(error, match=message):
        task(jobs.nothing).options(**options)


def test_an_option_that_does_not_exist() -> None:
    for given in ((jobs.nothing,), ()):
        with pytest.raises(TypeError, match='unknown option "time_out": did you mean "timeout"'):
            task(*given, time_out=3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r'"retries": here it is retry=Retry.*; unknown option "timout": did you mean'):
        task(timout=3, retries=2)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"did you mean.*timeout"):
        task(jobs.nothing).options(timout=3)


@pytest.mark.parametrize("what", [None, 3, "fn", jobs.decorated])
def test_what_cannot_be_a_task(what: Any) -> None:
    with pytest.raises(TypeError):
        task(timeout=3)(what)


def test_a_task_of_a_task_names_the_way() -> None:
    with pytest.raises(TypeError, match=r"\.options\("):
        task(jobs.decorated, timeout=3)
    assert isinstance(jobs.decorated, Task)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"attempts": 0}, ValueError, "attempts.*1 or more"),
        ({"attempts": "3"}, TypeError, "attempts"),
        ({"attempts": 2, "on": "OSError"}, TypeError, "on.*exception class.*'OSError'"),
        ({"attempts": 2, "on": [OSError]}, TypeError, "on.*tuple"),
        ({"attempts": 2, "on": OSError()}, TypeError, "on.*class"),
        ({"attempts": 2, "give_up_on": int}, TypeError, "give_up_on"),
        ({"attempts": 2, "backoff": -1}, ValueError, "backoff"),
        ({"attempts": 2, "backoff": "1"}, TypeError, "backoff"),
        ({"attempts": 2, "max_backoff": "1"}, TypeError, "max_backoff"),
        ({"attempts": 2, "factor": 0.5}, ValueError, "factor"),
        ({"attempts": 2, "factor": NAN}, ValueError, "factor"),
        ({"attempts": 2, "factor": "2"}, TypeError, "factor"),
        ({"attempts": 2, "jitter": "yes"}, TypeError, "jitter"),
    ],
)
def test_retry(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Retry(**options)


SUBMITS = pytest.mark.parametrize(
    "submit",
    [
        lambda pool, fn: pool.submit(fn),
        lambda pool, fn: pool.try_submit(fn),
        lambda pool, fn: pool.submit_within(1, fn),
        lambda pool, fn: pool.group().submit(fn),
    ],
    ids=["submit", "try_submit", "submit_within", "group"],
)


@SUBMITS
def test_a_call_instead_of_a_function(pool: Any, submit: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"submit\(fn, x\), not submit\(fn\(x\)\).*16"):
        submit(pool, jobs.double(8))
    assert pool.stats().accepted == 0


@SUBMITS
@pytest.mark.parametrize("fn", [jobs.coroutine, jobs.async_generator, task(jobs.coroutine)])
def test_a_coroutine_function(pool: Any, submit: Callable[..., Any], fn: Any) -> None:
    with pytest.raises(TypeError, match=r"coroutine function.*AsyncPool"):
        submit(pool, fn)
    assert pool.stats().accepted == 0


def test_a_refused_function_costs_no_room(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1, queue_size=1)
    for _ in range(5):
        with pytest.raises(TypeError):
            pool.submit(3)
    pool.submit(jobs.nothing).result()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda pool: pool.submit_within(-1, jobs.nothing), ValueError),
        (lambda pool: pool.submit_within(None, jobs.nothing), TypeError),
        (lambda pool: pool.submit_within(jobs.nothing, 1), TypeError),
        (lambda pool: pool.drain(-1), ValueError),
        (lambda pool: pool.drain("5"), TypeError),
        (lambda pool: pool.request_drain(-1), ValueError),
        (lambda pool: pool.drain_on_signal(-1), ValueError),
        (lambda pool: pool.drain_on_signal(1, signals=[999]), ValueError),
        (lambda pool: pool.drain_on_signal(1, signals=3), TypeError),
    ],
)
def test_methods(pool: Any, call: Callable[[Any], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        call(pool)
    pool.submit(jobs.nothing).result()
