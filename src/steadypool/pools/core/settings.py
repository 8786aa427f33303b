"""The settings that all pools share, and what is right for them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from steadypool.model.checks import check_count, check_seconds
from steadypool.model.options import Retry, TaskOptions
from steadypool.pools.core.functions import ASYNC_CODE, unwrapped
from steadypool.primitives.arguments import Show

if TYPE_CHECKING:
    from steadypool.model.reports import JobFailure

OnFull = Literal["block", "reject", "caller_runs", "discard_oldest"]
ON_FULL = get_args(OnFull)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A pool's settings, checked: the keyword arguments that all pools share."""

    name: str
    queue_size: int | None
    on_full: str
    options: TaskOptions
    cancel_grace: float
    exit_timeout: float | None
    on_error: Callable[[JobFailure], object] | None = None
    show_arguments: Show = True
    monitor: bool = False


def check_settings(
    *,
    name: object,
    queue_size: object,
    on_full: object,
    timeout: float | None,
    total_timeout: float | None,
    retry: Retry | None,
    cancel_grace: object,
    exit_timeout: object,
    on_error: object,
    show_arguments: object,
    monitor: object,
    initializer: object,
    initargs: object,
) -> Settings:
    """Check what all pools take, and say at once what is wrong with it."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {name!r}")
    if initializer is not None and not callable(initializer):
        raise TypeError(f"initializer must be a callable, not {initializer!r}")
    if not isinstance(initargs, tuple):
        raise TypeError(f"initargs must be a tuple, not {initargs!r}")
    if on_full not in ON_FULL:
        from steadypool.rules.near_names import near_name  # for a mistake alone

        near = near_name(str(on_full).lower(), ON_FULL)
        hint = f'; did you mean "{near}"?' if near else ""
        raise ValueError(f"on_full must be one of {', '.join(ON_FULL)}, not {on_full!r}{hint}")
    _check_on_error(on_error)
    if not (isinstance(show_arguments, bool) or callable(show_arguments)):
        raise TypeError(
            "show_arguments must be True, False, or a function of (task, args, kwargs) that returns the text to show; "
            f"got {show_arguments!r}"
        )
    if not isinstance(monitor, bool):
        raise TypeError(f"monitor must be True, to let `steadypool top` look at the pool, or False; not {monitor!r}")
    options = TaskOptions(timeout=timeout, total_timeout=total_timeout, retry=retry)
    return Settings(
        name=name,
        queue_size=None if queue_size is None else check_count("queue_size", queue_size),
        on_full=str(on_full),
        options=options.over(TaskOptions()),
        cancel_grace=_check_grace(cancel_grace),
        exit_timeout=check_seconds("exit_timeout", exit_timeout, zero=True),
        on_error=on_error,  # type: ignore[arg-type]
        show_arguments=show_arguments,
        monitor=monitor,
    )


def _check_grace(cancel_grace: object) -> float:
    if cancel_grace is None:
        raise TypeError("cancel_grace must be a number of seconds, not None: a job that does not stop must be given up")
    grace = check_seconds("cancel_grace", cancel_grace, zero=True, none=False)
    if grace is None or grace == float("inf"):
        raise ValueError("cancel_grace must have an end: a job that does not stop must be given up")
    return grace


def _check_on_error(on_error: object) -> None:
    if on_error is not None and not callable(on_error):
        raise TypeError(f"on_error is called with each JobFailure, as in on_error=print; got {on_error!r}")
    code = getattr(unwrapped(on_error), "__code__", None)
    if code is not None and code.co_flags & ASYNC_CODE:
        raise TypeError(f"on_error must be a plain function, since the pool just calls it; {on_error!r} is not")


def check_workers(value: object) -> int:
    """Return *value* if a pool can have that many workers, or raise, in the standard library's words."""
    count = check_count("max_workers", value, least=-sys.maxsize)
    if count <= 0:
        raise ValueError("max_workers must be greater than 0")
    return count
