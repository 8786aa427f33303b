"""What can be submitted: functions, and what is wrapped around them."""

from __future__ import annotations

from functools import partial
from types import FunctionType, MethodType
from typing import Any

from steadypool.words.options import Task, TaskOptions, task_name

ASYNC_CODE = 0x80 | 0x200  # CO_COROUTINE, CO_ASYNC_GENERATOR of a code object's flags


def check_function(fn: object) -> None:
    """Raise `TypeError`, with the corrected call, if *fn* is nothing that a thread or process can run."""
    if not callable(fn):
        hint = "submit(fn, x), not submit(fn(x))"
        raise TypeError(f"submit needs a function and its arguments, {hint}; got {fn!r}")
    code = getattr(unwrapped(fn), "__code__", None)
    if code is not None and code.co_flags & ASYNC_CODE:
        name = task_name(fn)
        raise TypeError(
            f"{name} is a coroutine function: give it to an AsyncPool, "
            f"or submit a function that runs it: pool.submit(asyncio.run, {name.rpartition('.')[2]}(...))"
        )


def unwrapped(fn: Any) -> Any:
    """The function inside tasks, partials and methods."""
    while True:
        if isinstance(fn, Task):
            fn = fn.fn
        elif isinstance(fn, partial):
            fn = fn.func
        elif isinstance(fn, MethodType):
            fn = fn.__func__
        elif not isinstance(fn, FunctionType | type):
            call = getattr(type(fn), "__call__", None)  # noqa: B004
            return call if isinstance(call, FunctionType) else fn
        else:
            return fn


def options_within(fn: Any) -> TaskOptions | None:
    """The options of a task inside a partial or a method, as ``run_in_executor(pool, partial(task, x))`` has it."""
    while isinstance(fn, partial | MethodType):
        fn = fn.func if isinstance(fn, partial) else fn.__func__
    return fn.task_options if isinstance(fn, Task) else None
