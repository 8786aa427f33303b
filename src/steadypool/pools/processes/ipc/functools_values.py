"""What `functools` makes of functions, by value: `pickle` refuses it, or finds it by its name alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache, singledispatch, update_wrapper
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper, _SingleDispatchCallable

CACHING = type(lru_cache(len))
_GENERIC: Any = singledispatch(len)
_ITS_OWN = frozenset({"register", "dispatch", "registry", "_clear_cache"})
"""What `singledispatch` itself puts into the dictionary of a function."""


def is_generic(fn: FunctionType) -> bool:
    """Whether `functools.singledispatch` has made it."""
    return fn.__code__ is _GENERIC.__code__


def implementations(fn: FunctionType) -> dict[type, Callable[..., object]]:
    """Those of a generic function, by class."""
    return dict(vars(fn)["registry"])


def reduce_caching(fn: _lru_cache_wrapper[object]) -> tuple[object, ...]:
    """A function with `functools.lru_cache`."""
    options = fn.cache_parameters()
    return _make_caching, (options["maxsize"], options["typed"], fn.__wrapped__), fn.__dict__


def reduce_generic(fn: FunctionType) -> tuple[object, ...]:
    """A function with `functools.singledispatch`. Its implementations may name it: they come when it is there."""
    attributes = {name: value for name, value in vars(fn).items() if name not in _ITS_OWN}
    return _make_generic, (fn.__name__,), (implementations(fn), attributes), None, None, _set_generic_state


def reduce_cached_property(value: cached_property[object]) -> tuple[object, ...]:
    """A `functools.cached_property`, which holds a lock before Python 3.12."""
    return cached_property, (value.func,), {"attrname": value.attrname, "__doc__": value.__doc__}


def _make_caching(maxsize: int | None, typed: bool, fn: Callable[..., object]) -> object:
    return lru_cache(maxsize, typed)(fn)


def _make_generic(name: str) -> object:
    def named(*args: object) -> None:
        """Stands where the first implementation will."""

    named.__name__ = name  # what the error says when it is called without arguments
    return singledispatch(named)


def _set_generic_state(
    fn: _SingleDispatchCallable[object], state: tuple[dict[type, Callable[..., object]], dict[str, object]]
) -> None:
    registry, attributes = state
    for cls, implementation in registry.items():
        fn.register(cls, implementation)
    update_wrapper(fn, registry[object], updated=())
    vars(fn).update(attributes)
