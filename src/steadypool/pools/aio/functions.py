"""What can be given to an `AsyncPool`: coroutine functions, and what is wrapped around them."""

from __future__ import annotations

import inspect
from types import FunctionType

from steadypool.model.options import task_name
from steadypool.pools.core.functions import is_marked_async, unwrapped

_COROUTINE = inspect.CO_COROUTINE
_ASYNC_GENERATOR = inspect.CO_ASYNC_GENERATOR


def check_coroutine_function(fn: object) -> None:
    """Raise `TypeError`, with the corrected call, if *fn* is nothing that an event loop can run.

    A callable of which it cannot be known (a class, a built-in) is let through: awaiting what it returns will tell.
    """
    if inspect.iscoroutine(fn):
        name = fn.__name__
        fn.close()
        raise TypeError(
            f"submit needs a coroutine function and its arguments: submit({name}, x), not submit({name}(x))"
        )
    if not callable(fn):
        raise TypeError(f"submit needs a coroutine function and its arguments, submit(fn, x); got {fn!r}")
    inner = unwrapped(fn)
    if is_marked_async(fn):
        return
    if not isinstance(inner, FunctionType) or inner.__code__.co_flags & _COROUTINE:
        return
    name = task_name(fn)
    short = name.rpartition(".")[2]
    if inner.__code__.co_flags & _ASYNC_GENERATOR:
        raise TypeError(f"{name} is an async generator function: give the pool an `async def` without `yield`")
    if not _leads_to_coroutine_function(inner):
        raise TypeError(
            f"{name} is a plain function, which would block the event loop; AsyncPool runs coroutine functions "
            f"(`async def`). Give it to a ThreadPool: `await thread_pool.run({short}, ...)` (ThreadPool.run) waits for "
            "it without blocking the loop"
        )


def _leads_to_coroutine_function(fn: FunctionType) -> bool:
    """Whether *fn* is marked as one, or wraps one (`functools.wraps`)."""
    if inspect.iscoroutinefunction(fn) or hasattr(fn, "_is_coroutine"):
        return True
    try:
        return fn is not (innermost := inspect.unwrap(fn)) and inspect.iscoroutinefunction(innermost)
    except ValueError:
        return False  # it wraps itself
