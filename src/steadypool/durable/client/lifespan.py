"""The option ``lifespan`` of a queue: a function that returns a context manager, sync or async."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any

Manager = AbstractContextManager[Any] | AbstractAsyncContextManager[Any]
Lifespan = Callable[[], Manager]


def check_lifespan(lifespan: Lifespan) -> Lifespan:
    """Return *lifespan*, or raise `TypeError` if it is no such function."""
    if not callable(lifespan):
        raise TypeError(
            f"lifespan must be a function that returns a context manager, not {lifespan!r}: pass it uncalled"
        )
    if isgeneratorfunction(lifespan) or isasyncgenfunction(lifespan):
        above = "@asynccontextmanager" if isasyncgenfunction(lifespan) else "@contextmanager"
        raise TypeError(
            f"lifespan must return a context manager, and {lifespan!r} is a generator function: put {above} above it"
        )
    return lifespan
