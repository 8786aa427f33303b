"""What the durable commands work on: a queue by its address or its place in a module, and errors in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from click.core import ParameterSource

from steadypool.cli.exit_codes import UsageError
from steadypool.cli.target import load_object
from steadypool.durable.client.queue import Queue
from steadypool.durable.client.task import DurableTask
from steadypool.durable.engine.errors import EngineError, JobDiscarded, SchemaMismatch
from steadypool.durable.engine.url import URL_VARIABLE
from steadypool.model.errors import JobCancelled, SteadypoolError

URL_HELP = "Where the jobs are, such as sqlite:///jobs.db (or STEADYPOOL_URL)."


def _own_or_the_groups(context: click.Context, param: click.Parameter, url: str | None) -> str | None:
    """``jobs --url X list`` means ``jobs list --url X``: what stands nearer wins, and both before the environment."""
    if context.get_parameter_source("url") is ParameterSource.COMMANDLINE:
        return url
    return context.obj or url


def _for_commands(context: click.Context, param: click.Parameter, url: str | None) -> None:
    context.obj = url


group_url_option = click.option("--url", "-u", callback=_for_commands, expose_value=False, help=URL_HELP)
url_option = click.option("--url", "-u", envvar=URL_VARIABLE, callback=_own_or_the_groups, help=URL_HELP)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on each line, for programs.")


def load_queue(spec: str, url: str | None, *, needs_address: bool = True) -> Queue:
    """The queue that *spec* names; *url* is its address if it has none of its own.

    Raises:
        UsageError: there is no such queue.
    """
    found = load_object(spec, "QUEUE", f"{spec or 'app'}:queue")
    if not isinstance(found, Queue):
        hint = (
            f"; did you mean the queue of it, {spec.partition(':')[0]}:queue?" if isinstance(found, DurableTask) else ""
        )
        raise UsageError(f"{spec} is no steadypool.Queue, but {found!r}{hint}")
    return with_address(found, url) if needs_address else found


def load_durable_task(spec: str, url: str | None) -> DurableTask[Any, Any]:
    """The durable task that *spec* names.

    Raises:
        UsageError: there is no such task.
    """
    found = load_object(spec, "TASK", f"{spec or 'app'}:send_email")
    if not isinstance(found, DurableTask):
        raise UsageError(f"{spec} is no durable task, made by @queue.task, but {found!r}")
    with as_usage_errors():
        found.queue.use_address(url)
    return found


def with_address(queue: Queue, url: str | None) -> Queue:
    """The queue, with the address from the command line, if there is one.

    Raises:
        UsageError: it has another one of its own.
    """
    with as_usage_errors():
        queue.use_address(url)
    return queue


def queue_at(url: str | None) -> Queue:
    """A queue by its address alone.

    Raises:
        UsageError: there is none, or it is invalid.
    """
    if not url:
        raise UsageError(f"which queue? give --url sqlite:///jobs.db, or set {URL_VARIABLE}")
    with as_usage_errors():
        return Queue(url)


@contextmanager
def store_said_plainly() -> Iterator[None]:
    """A store that says no is one line and exit code 2. All else that goes wrong is our mistake, and not hidden."""
    try:
        yield
    except (EngineError, SchemaMismatch) as error:
        raise UsageError(str(error)) from error


MISTAKES = (TypeError, ValueError, ImportError)
"""What our own checks of a user's words raise."""


@contextmanager
def as_usage_errors() -> Iterator[None]:
    """A user's mistake, and a store that says no, are one line and exit code 2, not a traceback."""
    try:
        yield
    except (JobDiscarded, JobCancelled):
        raise  # that is how a job ended, and no mistake
    except (SteadypoolError, *MISTAKES) as error:
        raise UsageError(str(error)) from error
