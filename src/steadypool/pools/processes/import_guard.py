"""A pool that is given work while a worker process imports a module: each worker would start workers, without end.

Workers import the main module, and the modules whose functions they run. A pool that a module's body starts is started
again there, in each worker, whose workers import the module again.
"""

from __future__ import annotations

import multiprocessing.process
import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import TypeVar

from steadypool.model.options import task_name

F = TypeVar("F", bound=Callable[..., object])

UNGUARDED_EXIT = 86
"""What a worker exits with when the main module has started a pool as it was imported, and that has ended it."""
ADVICE = (
    "a pool was given work while a worker process imported {}: each worker would start workers of its own, without "
    'end. Start pools under `if __name__ == "__main__":` in the main module, or in a function; not in the body of a '
    "module that workers import: the main module, and those whose functions they run"
)
OF_INITIALIZER = (
    "the initializer {} needs module {!r}, which has not been imported to its end: each worker would import it, and "
    'start workers of its own, without end. Start pools under `if __name__ == "__main__":` in the main module, or '
    "in a function; not in the body of a module that workers import"
)
_loaders: set[CodeType] = set()


def loads_jobs(function: F) -> F:
    """Marks what unpickles jobs in a worker: what runs below it is no job, but the import of a module."""
    _loaders.add(function.__code__)
    return function


def refusal() -> RuntimeError | None:
    """Why no worker may be started here and now, on this thread; ``None`` if that is no worker at an import."""
    frame: FrameType | None = sys._getframe(1)
    importing_main = getattr(multiprocessing.process.current_process(), "_inheriting", False)
    if importing_main:
        _exit_as_unguarded()
    module = None
    while frame is not None:
        if module is None and frame.f_code.co_name == "<module>":
            module = frame.f_globals.get("__name__")
        if frame.f_code in _loaders:
            break
        frame = frame.f_back
    if not importing_main and frame is None:
        return None
    return RuntimeError(ADVICE.format("the main module" if module in (None, "__mp_main__") else f"module {module!r}"))


def refusal_of(initializer: Callable[..., object], args: tuple[object, ...]) -> RuntimeError | None:
    """Why no worker that imports them may be started here and now: to pickle them waits for this thread's import."""
    needed = [getattr(part, "__module__", None) for part in (initializer, *args, *map(type, args))]
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if frame.f_code.co_name == "<module>" and module != "__main__" and module in needed:
            return RuntimeError(OF_INITIALIZER.format(task_name(initializer), module))
        frame = frame.f_back
    return None


def _exit_as_unguarded() -> None:
    """Let the parent know why, should an exception end this process now."""
    before = sys.excepthook

    def say_and_leave(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        before(kind, error, trace)
        sys.stderr.flush()
        os._exit(UNGUARDED_EXIT)

    sys.excepthook = say_and_leave
