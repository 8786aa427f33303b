"""What can be submitted: functions, and what is wrapped around them."""

from __future__ import annotations

import sys
from functools import partial
from types import BuiltinFunctionType, CoroutineType, FunctionType, MethodType

from steadypool.model.options import Task, TaskOptions, task_name

ASYNC_CODE = 0x80 | 0x200  # CO_COROUTINE, CO_ASYNC_GENERATOR of a code object's flags
_WRAPPERS = (partial, MethodType)  # made once: it is on the way of each job


def check_function(fn: object) -> None:
    """Raise `TypeError`, with the corrected call, if *fn* is nothing that a thread or process can run."""
    if type(fn) is BuiltinFunctionType or _is_plain(fn):
        return
    if not callable(fn):
        hint = "submit(fn, x), not submit(fn(x))"
        raise TypeError(f"submit needs a function and its arguments, {hint}; got {fn!r}")
    code = getattr(unwrapped(fn), "__code__", None)
    if (code is not None and code.co_flags & ASYNC_CODE) or is_marked_async(fn):
        name = task_name(fn)
        raise TypeError(
            f"{name} is a coroutine function: give it to an AsyncPool, "
            f"or submit a function that runs it: pool.submit(asyncio.run, {name.rpartition('.')[2]}(...))"
        )


def _is_plain(fn: object) -> bool:
    """Whether it is a function with ``def``, and no mark on it: what nearly every job has, known at a glance."""
    return type(fn) is FunctionType and not fn.__code__.co_flags & ASYNC_CODE and not fn.__dict__


def unawaited_error(coroutine: CoroutineType[object, object, object]) -> TypeError:
    """What becomes of a job whose function has returned a coroutine, which nothing here would await."""
    coroutine.close()
    return TypeError(
        f"the job returned a coroutine, of {coroutine.__qualname__}, which is not awaited here: give that `async def` "
        "to an AsyncPool, or submit a function that runs it: pool.submit(asyncio.run, coroutine)"
    )


def is_marked_async(fn: object) -> bool:
    """Whether it says of itself that it is a coroutine function: `unittest.mock.AsyncMock` does, asgiref's wrappers,
    and what `inspect.markcoroutinefunction` has marked."""
    while isinstance(fn, Task):
        fn = fn.fn  # looking for marks on a task, which has none, would take longer than the rest of a submit
    if type(fn) is FunctionType and not fn.__dict__:
        return False
    inspect = sys.modules.get("inspect")  # without it nothing can have been marked
    try:
        return inspect is not None and (inspect.iscoroutinefunction(fn) or _has_old_mark(fn))
    except Exception:  # its attributes raise: it is a callable like any other
        return False


def _has_old_mark(fn: object) -> bool:
    coroutines = sys.modules.get("asyncio.coroutines")
    mark = getattr(coroutines, "_is_coroutine", None)
    return mark is not None and getattr(fn, "_is_coroutine", None) is mark


def unwrapped(fn: object) -> object:
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


def whole_call(
    inner: object, fn: object, args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[tuple[object, ...], dict[str, object]]:
    """The arguments of *inner* when *fn* is called with these: a method, partial or task around it adds its own."""
    while fn is not inner:
        if isinstance(fn, partial):
            args, kwargs, fn = (*fn.args, *args), {**fn.keywords, **kwargs}, fn.func
        elif isinstance(fn, MethodType):
            args, fn = (fn.__self__, *args), fn.__func__
        elif isinstance(fn, Task):
            fn = fn.fn
        else:
            break
    return args, kwargs


def options_within(fn: object) -> TaskOptions | None:
    """The options of a task inside a partial or a method, as ``run_in_executor(pool, partial(task, x))`` has it."""
    while isinstance(fn, _WRAPPERS):
        fn = fn.func if isinstance(fn, partial) else fn.__func__
    return fn.task_options if isinstance(fn, Task) else None
