"""What `functools` makes of functions, by value: `pickle` refuses it, or finds it by its name alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache, singledispatch, singledispatchmethod, update_wrapper
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper, _SingleDispatchCallable

CACHING = type(lru_cache(len))
_GENERIC: Any = singledispatch(len)
_OF_AN_OBJECT: object = singledispatchmethod(len).__get__(None, object)
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


def reduce_generic_method(value: singledispatchmethod[object]) -> tuple[object, ...]:
    """A `functools.singledispatchmethod`, without what Python 3.13 keeps of the objects that it was asked for."""
    return singledispatchmethod, (value.func,), {"dispatcher": value.dispatcher}


def is_generic_of_object(fn: FunctionType) -> bool:
    """Whether a `functools.singledispatchmethod` has given it for an object."""
    return isinstance(_OF_AN_OBJECT, FunctionType) and fn.__code__ is _OF_AN_OBJECT.__code__


def reduce_generic_of_object(fn: FunctionType) -> tuple[object, ...]:
    """What a `functools.singledispatchmethod` gives for an object: it is asked again there."""
    cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))
    return _ask_for, (vars(fn)["register"].__self__, cells["obj"].cell_contents, cells["cls"].cell_contents)


def reduce_of_class(value: object) -> tuple[object, ...] | None:
    """What stands in the bodies of classes, or is got from there; ``None``: it is nothing of that."""
    if type(value) is cached_property:
        return reduce_cached_property(value)
    if type(value) is singledispatchmethod:
        return reduce_generic_method(value)
    if type(value) is FunctionType and is_generic_of_object(value):
        return reduce_generic_of_object(value)
    return None


def _ask_for(method: singledispatchmethod[object], of: object, cls: type) -> object:
    return method.__get__(of, cls)


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
