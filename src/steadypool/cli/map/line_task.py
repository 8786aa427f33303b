"""What one line asks for: the job that runs for it, in the worker, from the line's text to the result's text.

Reading the argument and writing the result happen inside the job, so that a line which is no JSON and a result
which JSON cannot carry are that job's failures, in the same books as any other, and so that on processes only
text crosses the wire.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from steadypool import Retry, Task, task
from steadypool.cli.target import is_coroutine_function

JSON_HINT = "a result must be made of dict, list, str, int, float, bool and None"


class NotJson(ValueError):
    """A line that is no JSON, or a result that JSON cannot carry. Trying again would not help."""


def call(function: Callable[..., Any], json_lines: bool, line: str) -> str:
    """Call *function* with a line's argument; the result as JSON.

    Args:
        json_lines: whether the line is one JSON value; otherwise its text is the argument.
    """
    return render(function(parse(line) if json_lines else line))


async def call_async(function: Callable[..., Awaitable[Any]], json_lines: bool, line: str) -> str:
    """The same for a coroutine function."""
    return render(await function(parse(line) if json_lines else line))


@dataclass(frozen=True)
class JobLimits:
    """What the command line says about a job; ``None`` leaves it to the function's own options."""

    timeout: float | None
    total_timeout: float | None
    attempts: int | None


def line_task(spec: str, function: Callable[..., Any], json_lines: bool, limits: JobLimits) -> Task[[str], str]:
    """The task to submit for each line. Limits on the command line win over the function's own."""
    job: Any = partial(call_async if is_coroutine_function(function) else call, function, json_lines)
    made: Task[[str], str] = task(job, name=spec)
    own = function.task_options if isinstance(function, Task) else made.task_options
    retry = own.retry if limits.attempts is None else Retry(limits.attempts)
    return made.options(
        name=own.name or spec,
        timeout=own.timeout if limits.timeout is None else limits.timeout,
        total_timeout=own.total_timeout if limits.total_timeout is None else limits.total_timeout,
        retry=_not_for_json(retry),
        meta=own.meta,
    )


def parse(line: str) -> Any:
    """The value that *line* holds as JSON."""
    try:
        return json.loads(line)
    except ValueError as error:
        raise NotJson(f"the line is no JSON: {error}") from None


def render(result: object) -> str:
    """*result* as one line of JSON."""
    try:
        return json.dumps(result, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(f"{error} ({JSON_HINT})") from None


def _not_for_json(retry: Retry | None) -> Retry | None:
    if retry is None:
        return None
    others = retry.give_up_on if isinstance(retry.give_up_on, tuple) else (retry.give_up_on,)
    return replace(retry, give_up_on=(*others, NotJson))
