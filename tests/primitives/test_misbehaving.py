"""Exceptions and arguments whose own methods raise: the job still has its outcome, and the pool goes on."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from steadypool import JobExit, Outcome, RemoteError, Retry, ThreadPool, task
from steadypool.primitives.error_ledger import Ledger
from tests.patience import WAIT


class TextRaises(Exception):
    """Neither ``str`` nor ``repr`` work."""

    def __str__(self) -> str:
        raise ValueError("from __str__")

    __repr__ = __str__


class TextExits(Exception):
    """``str`` raises what is no `Exception`."""

    def __str__(self) -> str:
        raise SystemExit("from __str__")


class TextIsOdd(Exception):
    """``str`` gives a string of its own kind."""

    class Text(str):
        """A string that cannot be split."""

        __slots__ = ()

        def split(self, *args: Any, **kwargs: Any) -> Any:
            raise ValueError("from split")

    def __str__(self) -> str:
        return self.Text("odd")


class AttributesRaise(Exception):
    """Asking for an attribute that it does not have raises something else than `AttributeError`."""

    def __getattr__(self, name: str) -> Any:
        raise ValueError("from __getattr__")


class TypeNameRaises(Exception):
    """It has the attribute that an error from elsewhere has, but that raises."""

    @property
    def type_name(self) -> str:
        raise ValueError("from type_name")


class TracebackRaises(Exception):
    """It does not want to be given a traceback."""

    def with_traceback(self, tb: Any) -> Any:
        raise ValueError("from with_traceback")


class AttributesAreFixed(Exception):
    """Nothing can be noted on it."""

    def __setattr__(self, name: str, value: object) -> None:
        raise ValueError("from __setattr__")


class ExitTextRaises(SystemExit):
    """One of those that are wrapped, with a text that raises."""

    def __str__(self) -> str:
        raise ValueError("from __str__")

    __repr__ = __str__


MISBEHAVING = [
    TextRaises,
    TextExits,
    TextIsOdd,
    AttributesRaise,
    TypeNameRaises,
    TracebackRaises,
    AttributesAreFixed,
    ExitTextRaises,
]


@pytest.mark.parametrize("kind", MISBEHAVING)
def test_a_job_that_raises_it_has_failed(kind: type[BaseException]) -> None:
    def body() -> None:
        raise kind("x")

    pool = ThreadPool(1)
    future = pool.submit(body)
    waiting = pool.submit(int)
    error = future.exception(WAIT)
    assert future.outcome is Outcome.FAILED
    assert isinstance(error, JobExit if issubclass(kind, SystemExit) else kind)
    assert waiting.result(WAIT) == 0
    report = pool.drain(timeout=WAIT)
    assert report.on_time and report.stats.failed == 1
    assert str(report) and report.to_dict()
    assert [group.count for group in report.errors] == [1]


@pytest.mark.parametrize("kind", MISBEHAVING)
def test_the_ledger_takes_it(kind: type[BaseException]) -> None:
    ledger = Ledger()
    try:
        raise kind("x")
    except BaseException as error:
        ledger.add("job-1", "task", error)
    (group,) = ledger.groups()
    assert group.count == 1 and group.job_ids == ("job-1",)


class AttributesAreGone(Exception):
    """Nothing can be learnt of it: not even where it was raised."""

    @property
    def __dict__(self) -> Any:
        raise ValueError("from __dict__")


def test_a_failure_of_which_nothing_can_be_learnt_is_settled_and_stood_in_for() -> None:
    def body() -> None:
        raise AttributesAreGone

    pool = ThreadPool(1)
    future = pool.submit(body)
    error = future.exception(WAIT)
    assert isinstance(error, RemoteError) and "AttributesAreGone" in str(error)
    assert future.outcome is Outcome.FAILED
    report = pool.drain(timeout=WAIT)
    assert report.stats.failed == 1 and [group.count for group in report.errors] == [1]


class Proxy:
    """A callable that stands for something far away, and has lost it."""

    def __getattr__(self, name: str) -> Any:
        raise ConnectionError(f"no {name} from here")

    def __call__(self, error: type[Exception] | None = None) -> int:
        if error is not None:
            raise error
        return 1


def test_a_callable_whose_attributes_raise_is_a_job_like_any_other() -> None:
    pool = ThreadPool(1, timeout=WAIT, retry=Retry(2, on=OSError, backoff=0))
    seen: list[Any] = []
    pool.subscribe(seen.append)
    good, bad = pool.submit(Proxy()), pool.submit(Proxy(), OSError)
    assert good.result(WAIT) == 1
    assert isinstance(bad.exception(WAIT), OSError) and bad.attempts == 2
    report = pool.drain(timeout=WAIT)
    assert [group.task for group in report.errors] == [f"{__name__}.Proxy"]
    assert {event.task for event in seen if hasattr(event, "task")} == {f"{__name__}.Proxy"}


class NeverAnInstance(type):
    """The class of an exception class that cannot be asked whether something is an instance of it."""

    def __instancecheck__(cls, instance: object) -> bool:
        raise ValueError("from __instancecheck__")


class Unaskable(Exception, metaclass=NeverAnInstance):
    """See `NeverAnInstance`."""


def test_a_retry_that_cannot_be_decided_is_none() -> None:
    @task(retry=Retry(2, on=Unaskable))
    def body() -> None:
        raise OSError("x")

    pool = ThreadPool(1)
    future = pool.submit(body)
    assert isinstance(future.exception(WAIT), OSError)
    assert future.outcome is Outcome.FAILED and future.attempts == 1
    assert pool.drain(timeout=WAIT).on_time


class ReprExits:
    """An argument whose ``repr`` raises what is no `Exception`."""

    def __repr__(self) -> str:
        raise SystemExit("from __repr__")


def test_an_argument_without_a_repr_is_reported_all_the_same() -> None:

    gate = threading.Event()
    runs = threading.Event()
    pool = ThreadPool(1, cancel_grace=WAIT)
    pool.submit(lambda: (runs.set(), gate.wait(WAIT)))
    assert runs.wait(WAIT)
    waiting = pool.submit(id, ReprExits())
    waiting.add_done_callback(lambda _: gate.set())
    report = pool.drain(timeout=0)
    assert [job.id for job in report.unfinished] == [waiting.job_id]
    assert "SystemExit" in report.unfinished[0].arguments
