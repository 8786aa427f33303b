"""What the tests run in workers: functions that every kind of worker can import by name."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from steadypool import JobContext, Limit, Retry, current_job, task

QUESTIONS: dict[str, Callable[[JobContext], Any]] = {
    "cause": lambda job: job.cause,
    "told": lambda job: (job.sleep(60), job.cause),
    "facts": lambda job: {
        "id": job.id,
        "task": job.task,
        "attempt": job.attempt,
        "deadline": job.deadline,
        "remaining": job.remaining(),
        "cancelled": job.cancelled,
        "cause": job.cause,
        "meta": dict(job.meta),
        "true": bool(job),
    },
    "sleep a little": lambda job: job.sleep(0.01),
    "progress": lambda job: job.progress(3, 10),
    "progress without total": lambda job: job.progress(4),
    "same context": lambda job: current_job() is job,
    "worker": lambda job: [os.getpid(), threading.get_ident()],
}
"""What an actor on the stage can be asked."""


def _fail(job: JobContext) -> NoReturn:
    raise ValueError("told to fail")


def _exit(job: JobContext) -> NoReturn:
    sys.exit(3)


def _interrupt(job: JobContext) -> NoReturn:
    raise KeyboardInterrupt


def _obey(job: JobContext) -> str:
    job.sleep(60)
    job.raise_if_cancelled()
    return "was not asked to stop"


def _finish(job: JobContext) -> str:
    job.sleep(60)
    return f"finished though {job.cause}"


def _fail_when_told(job: JobContext) -> NoReturn:
    job.sleep(60)
    raise OSError("cleaning up failed")


ORDERS: dict[str, Callable[[JobContext], Any]] = {
    "fail": _fail,
    "exit": _exit,
    "interrupt": _interrupt,
    "obey": _obey,
    "finish when told": _finish,
    "fail when told": _fail_when_told,
    "sleep for ever": lambda job: job.sleep(float("inf")),
}
"""What an actor on the stage can be told, besides ``return``."""


def act(address: str, name: str = "actor") -> Any:
    """Come to the `stage.Stage` at *address*, say that it has started, and do as it is told. Ignores all else."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        with connection.makefile("rw") as text:
            print(name, file=text, flush=True)
            for order in text:
                order = order.rstrip()
                if order in ORDERS:
                    return ORDERS[order](current_job())
                if order == "return":
                    break
                print(json.dumps(QUESTIONS[order](current_job())), file=text, flush=True)
    return name


@task
def staged(address: str, name: str = "actor") -> Any:
    """`act` as a task, for its options."""
    return act(address, name)


def obey(address: str, name: str = "obedient") -> Any:
    """Come to the stage, and stop when told to."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        connection.sendall(name.encode() + b"\n")
        return _obey(current_job())


def nothing() -> None:
    """Do nothing."""


def same(value: Any) -> Any:
    """Return the argument."""
    return value


def double(number: int) -> int:
    """Return it twice."""
    return 2 * number


def add(one: int, other: int) -> int:
    """Return the sum."""
    return one + other


def everything(*args: Any, **kwargs: Any) -> Any:
    """Return all arguments."""
    return args, kwargs


def fail(message: str = "it failed") -> NoReturn:
    """Raise `ValueError`."""
    raise ValueError(message)


def fail_if_odd(number: int) -> int:
    """Raise `ValueError` for odd numbers."""
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def fail_with(error: BaseException) -> NoReturn:
    """Raise the argument."""
    raise error


def fail_deep(depth: int) -> NoReturn:
    """Raise `ZeroDivisionError` that many calls below."""
    if depth:
        fail_deep(depth - 1)
    1 / 0  # noqa: B018
    raise AssertionError


def fail_because() -> NoReturn:
    """Raise an error with a cause and a note."""
    try:
        fail("the cause")
    except ValueError as cause:
        error = LookupError("the effect")
        error.add_note("a note")
        raise error from cause


class TwoArguments(Exception):
    """An exception that cannot be made again from its ``args``."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


def fail_with_two_arguments() -> NoReturn:
    """Raise an exception with an ``__init__`` of its own."""
    raise TwoArguments(404, "not found")


def crash() -> NoReturn:
    """Die."""
    os._exit(7)


def leave(code: object = None) -> NoReturn:
    """Raise `SystemExit`."""
    sys.exit(code)  # type: ignore[arg-type]


class Odd(BaseException):
    """Derived from `BaseException` alone."""


def fail_oddly() -> NoReturn:
    """Raise a `BaseException` of one's own."""
    raise Odd("odd")


def note(path: str, text: str = "x") -> str:
    """Append a line to a file."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")
    return text


def count_lines(path: str) -> int:
    """How many lines the file has: none if there is no file."""
    return len(lines(path))


def lines(path: str | Path) -> list[str]:
    """The file's lines."""
    try:
        return Path(path).read_text().splitlines()
    except FileNotFoundError:
        return []


def fail_until(path: str, attempts: int) -> int:
    """Raise `OSError` until it was called that many times; *path* is where the calls are counted."""
    note(path, str(current_job().attempt))
    calls = count_lines(path)
    if calls < attempts:
        raise OSError(f"call {calls}")
    return calls


def always_fail(path: str) -> NoReturn:
    """Raise `OSError`, counting the calls in *path*."""
    note(path)
    raise OSError(f"call {count_lines(path)}")


def initialize(path: str, text: str) -> None:
    """For initializers: leave a line."""
    note(path, text)


def sleep_in_job(seconds: float) -> bool:
    """As the job's context does; whether it slept to the end."""
    return current_job().sleep(seconds)


def sleep(seconds: float) -> float:
    """For jobs that take their time, whatever they are told."""
    time.sleep(seconds)
    return seconds


def who() -> tuple[int, int]:
    """The process and thread that runs this."""
    return os.getpid(), threading.get_ident()


def thread_name() -> str:
    """The name of the thread that runs this."""
    return threading.current_thread().name


def job_facts() -> tuple[str, str, int, dict[str, Any]]:
    """What `current_job` says."""
    job = current_job()
    return job.id, job.task, job.attempt, dict(job.meta)


@task(name="the double", retry=Retry(attempts=2, backoff=0.0), meta={"tenant": "a"})
def decorated(number: int) -> int:
    """Return it twice."""
    return 2 * number


class Counter:
    """For tasks that are methods."""

    def __init__(self, start: int) -> None:
        self.start = start

    @task(meta={"kind": "method"})
    def plus(self, number: int) -> int:
        """Add *number*."""
        return self.start + number

    @task(limit=Limit(running=2, by="number"))
    def limited_plus(self, number: int) -> int:
        """Add *number*."""
        return self.start + number

    def minus(self, number: int) -> int:
        """Subtract *number*."""
        return self.start - number

    def __call__(self, number: int) -> int:
        return self.start * number


async def coroutine() -> None:
    """Not for a pool of threads or processes."""


def give_coroutine() -> Any:
    """A plain function, and what it returns would have to be awaited."""
    return coroutine()


async def async_generator() -> Any:
    """Not for a pool either."""
    yield 1


def meet(folder: str, count: int) -> int:
    """Return when that many jobs have come to the folder, and say how many have."""
    Path(folder, f"{os.getpid()}-{threading.get_ident()}").touch()
    while (here := len(os.listdir(folder))) < count:
        time.sleep(0.005)
    return here


def fork_and(how: str) -> int:
    """Fork; the child comes to the end of this job in that way. Its exit code, or its number if it lives."""
    with warnings.catch_warnings(action="ignore"):  # of threads, which the child does not use
        pid = os.fork()
    if pid == 0:
        if how == "exit":
            sys.exit(3)
        if how == "raise":
            raise ValueError("in the child")
        return 0
    ended = threading.Event()
    for _ in range(300):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        ended.wait(0.1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return pid


def fail_while_there_is(path: str) -> None:
    """Raise `ConnectionError` while there is such a file."""
    if os.path.exists(path):
        raise ConnectionError("the database is down")


def note_while_there_is(folder: str, path: str) -> None:
    """Write a line to *path* by way of a file in the folder, after a moment."""
    time.sleep(0.1)
    Path(folder, "x").write_text("x")
    note(path)
