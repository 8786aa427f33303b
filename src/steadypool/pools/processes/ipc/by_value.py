"""Pickles of what belongs to a main module that workers cannot import, or has no name at all: by value.

`cloudpickle` does it, with three differences. Functions of the main module share one set of globals in each worker
(`pools.processes.ipc.main_globals`), instead of one for each pickle. Code keeps the name of its file. And a class that
a process has already is not changed by each pickle that its definition comes with.

A value of a global has a version: a new one when it is another object than at the last look, or, if it is one that
can change in place, when it pickles to other bytes.
"""

from __future__ import annotations

import io
import itertools
import os
import pickle
import sys
import threading
import weakref
from collections import ChainMap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from socket import socket
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, ClassVar

import cloudpickle

from steadypool.model.options import Task, find
from steadypool.pools.processes.ipc.functools_values import (
    CACHING,
    implementations,
    is_generic,
    reduce_caching,
    reduce_generic,
    reduce_of_class,
)
from steadypool.pools.processes.ipc.main_globals import (
    MAIN,
    THE_WORKERS_OWN,
    forked,
    globals_of,
    load_function,
    load_value,
)

MOST_GLOBALS = 100
"""Main modules that are known at a time: a program has one, as a rule, but may run others one after the other."""
_ATOMS = frozenset({int, float, complex, bool, str, bytes, type(None)})
_DEFINITIONS = frozenset({FunctionType, Task, CACHING})
_KEPT = frozenset({int, float, complex, bool, type(None), FunctionType})
_NOTHING = object()
_NAMES = frozenset({"__main__", "__mp_main__"})
_FACTS = ("__name__", "__package__", "__path__", "__file__")
Named = Callable[..., object]
"""A function, or one with `functools.lru_cache`."""
Reducers = ChainMap[type, Callable[..., object]]
Keep = Callable[[list[pickle.PickleBuffer], pickle.PickleBuffer], bool]
_REDUCERS: dict[type, Callable[..., object]] = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
_versions = itertools.count(1)
_lock = threading.RLock()


class _SentGlobals:
    """The globals of one main module here, and the versions that its values had at the last look."""

    def __init__(self, token: str, values: dict[str, object]) -> None:
        self.token = token
        self.values = values
        self._seen: dict[str, tuple[int, tuple[object, ...], object]] = {}
        """Version, mark, and the value itself if that cannot change in place and is not big."""

    def __reduce__(self) -> tuple[object, ...]:
        return globals_of, (self.token, {fact: self.values[fact] for fact in _FACTS if fact in self.values})

    def version(self, name: str) -> int | None:
        """The version of the value that it has now; ``None`` if it has none. Raises what pickling the value raises."""
        try:
            value = self.values[name]
        except KeyError:
            return None
        version, mark, kept = self._seen.get(name, (0, (), _NOTHING))
        if value is kept and (type(value) is not FunctionType or value.__code__ is mark[1]):
            return version
        now = _mark(value)
        if version == 0 or now != mark:
            version = next(_versions)
        stays = type(value) in _KEPT and not (type(value) is FunctionType and is_generic(value))
        self._seen[name] = (version, now, value if stays else _NOTHING)
        return version


def _mark(value: object) -> tuple[object, ...]:
    """What is equal for a value as long as it stays the same. Keeps nothing big alive."""
    kind = type(value)
    if kind in _ATOMS:
        return kind, repr(value) if kind is float or kind is complex else value
    if kind is ModuleType or kind is BuiltinFunctionType:
        return kind, id(value)
    if type(value) is FunctionType:
        registered = implementations(value) if is_generic(value) else None
        return weakref.ref(value), value.__code__, id(value.__defaults__), registered
    if type(value) is Task:
        return kind, _mark(value.fn), id(value.task_options)
    if kind is CACHING:
        return kind, weakref.ref(value)
    if kind is Connection or kind is socket:
        return kind, id(value)  # to pickle one takes a descriptor each time
    if isinstance(value, type):
        return weakref.ref(value), _class_state(value)
    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return kind, blake2b(file.getbuffer(), digest_size=16).digest()


_all_globals: dict[int, _SentGlobals] = {}
_tokens = itertools.count(1)


def _sent_globals(values: dict[str, object]) -> _SentGlobals:
    """What is known of these globals."""
    known = _all_globals.get(id(values))
    if known is None or known.values is not values:
        token = MAIN if values is vars(sys.modules["__main__"]) else f"{os.getpid()}-{next(_tokens)}"
        known = _all_globals[id(values)] = _SentGlobals(token, values)
        forked[token] = values
        while len(_all_globals) > MOST_GLOBALS:
            del forked[_all_globals.pop(next(iter(_all_globals))).token]
    return known


def note_globals(fn: object) -> None:
    """Before workers are forked that are to call this function: so they know its globals again."""
    if type(fn) is FunctionType and fn.__globals__.get("__name__") in _NAMES:
        with _lock:
            _sent_globals(fn.__globals__)


def _as_number(handle: Connection | socket) -> tuple[object, ...]:
    return int, (handle.fileno(),)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """One pickle by value. It notes which globals the functions in it name."""

    # Pipes, sockets and locks travel as `multiprocessing` has it.
    dispatch_table: ClassVar[Reducers] = ChainMap(cloudpickle.Pickler.dispatch_table, _REDUCERS)

    def __init__(
        self,
        file: io.BytesIO,
        keep: Callable[[pickle.PickleBuffer], bool] | None = None,
        *,
        main_by_name: bool = False,
        to_parent: bool = False,
    ) -> None:
        super().__init__(file, 5, keep)
        self._main_by_name = main_by_name
        self._to_parent = to_parent
        self.named: dict[str, dict[str, _SentGlobals]] = {}
        """By name of the global: those that it is one of, by their tokens."""
        self.absent: list[tuple[dict[str, object], set[str]]] = []
        """What the functions name that their globals do not have, as far as they are globals."""

    def reducer_override(self, value: object) -> object:
        """See `pickle.Pickler.reducer_override`."""
        if self._main_by_name and _has_name_in_main(value):
            return NotImplemented
        if type(value) is CodeType:
            make, args = cloudpickle.Pickler.dispatch_table[CodeType](value)
            return _make_code, (make, args, value.co_filename)
        if type(value) is Task:
            return _task(value)
        if type(value) is CACHING:
            return reduce_caching(value) if getattr(value, "__module__", None) in _NAMES else NotImplemented
        if (of_class := reduce_of_class(value)) is not None:
            return of_class
        reduced = super().reducer_override(value)
        if type(reduced) is tuple and len(reduced) == 6:
            if type(value) is FunctionType:
                return reduce_generic(value) if is_generic(value) else self._function(value, reduced)
            if isinstance(value, type):
                return (*reduced[:2], (_class_version(value), reduced[5], reduced[2]), None, None, _set_class_state)
        return reduced

    def _function(self, fn: FunctionType, reduced: tuple[Any, ...]) -> tuple[object, ...]:
        """A function of a main module gets the globals that all of them share."""
        if self._to_parent or fn.__globals__.get("__name__") not in _NAMES:
            return reduced  # what a worker's globals hold must not get into its parent's
        _, (code, _, *rest), (attributes, slots), *_, setter = reduced
        home = _sent_globals(fn.__globals__)
        for name in slots["__globals__"]:
            self.named.setdefault(name, {})[home.token] = home
        self.absent.append((fn.__globals__, _names(fn.__code__) - fn.__globals__.keys()))
        state = (setter, (attributes, {**slots, "__globals__": {}}))
        return FunctionType, (code, home, *rest), state, None, None, _set_function_state

    def dump_globals(self) -> list[tuple[_SentGlobals, str, int]]:
        """Pickle the values of the globals that were named, and those that they name in turn; and say which."""
        done: dict[tuple[str, str], tuple[_SentGlobals, str, int]] = {}
        while more := [
            (home, name)
            for name, homes in self.named.items()
            for token, home in homes.items()
            if (token, name) not in done
        ]:
            for home, name in more:
                with _noting(name):
                    version = home.version(name)
                if self._main_by_name and _has_name_in_main(home.values.get(name)):
                    version = THE_WORKERS_OWN
                if version is None:
                    del self.named[name][home.token]  # deleted meanwhile
                    continue
                with _noting(name):
                    self.dump((home.token, name, version, home.values[name]))
                done[home.token, name] = (home, name, version)
        return list(done.values())


@contextmanager
def _noting(name: str) -> Iterator[None]:
    """Note at an error of pickling of which global it is."""
    try:
        yield
    except Exception as error:
        note = (
            f"(it is the global {name!r} of the main module, which travels by value to workers that cannot import that "
            "module; set it in the pool's initializer alone, or move the functions that use it into a module)"
        )
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise


class _TryingPickler(_Pickler):
    """For a pickle that is never loaded: it keeps no descriptor for a reader."""

    dispatch_table: ClassVar[Reducers] = _Pickler.dispatch_table.new_child({Connection: _as_number, socket: _as_number})


def _has_name_in_main(value: object) -> bool:
    """Whether it is a function or a class that the main module has under its name."""
    if type(value) not in _DEFINITIONS and not isinstance(value, type):
        return False
    plain = value.fn if type(value) is Task else value
    name = getattr(plain, "__qualname__", None)
    return getattr(plain, "__module__", None) == "__main__" and find("__main__", name) is value


def _task(task: Task[..., object]) -> object:
    """A task of a main module, which pickle would find by its name."""
    if task._remade_by is None and getattr(task.fn, "__module__", None) in _NAMES:
        return Task, (task.fn, task.task_options)
    return NotImplemented


class _Travelling:
    """A pickle of a value, and of what it brings for globals."""

    def __init__(self, load: Callable[..., object], *args: object) -> None:
        self._load = load
        self._args = args

    def __reduce__(self) -> tuple[object, ...]:
        return self._load, self._args


def dump_value(
    value: object, keep: Keep, *, main_by_name: bool = False, to_parent: bool = False, only_try: bool = False
) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """The pickle of any value, and the buffers beside it that *keep* put into its list. With *main_by_name* what has a
    name in the main module goes by it."""
    buffers: list[pickle.PickleBuffer] = []
    with io.BytesIO() as file, _lock:
        kind = _TryingPickler if only_try else _Pickler
        pickler = kind(file, partial(keep, buffers), main_by_name=main_by_name, to_parent=to_parent)
        pickler.dump(value)
        brings = len(pickler.dump_globals())
        stream = file.getvalue()
    if not brings:
        return stream, buffers
    # The same buffers in the same order, from the outer pickle to the inner one.
    outer: list[pickle.PickleBuffer] = []
    travelling = _Travelling(load_value, stream, brings, *(pickle.PickleBuffer(buffer) for buffer in buffers))
    return pickle.dumps(travelling, 5, buffer_callback=outer.append), outer


class FunctionPickle:
    """The pickle of a function with a name in a main module, which is good until something that it names changes."""

    def __init__(self, fn: Named) -> None:
        home = _sent_globals(_function_of(fn).__globals__)
        with io.BytesIO() as file, _lock:
            pickler = _Pickler(file)
            pickler.named[fn.__name__] = {home.token: home}
            pickler.dump(fn)
            self._brings = pickler.dump_globals()
            stream = file.getvalue()
        self.stream = pickle.dumps(_Travelling(load_function, stream, len(self._brings), home.token, fn.__name__), 5)
        self._code = _function_of(fn).__code__
        self._absent = pickler.absent

    def is_current(self, fn: Named) -> bool:
        """Whether the function would be pickled so again. Raises what pickling a value raises."""
        if _function_of(fn).__code__ is not self._code or not all(
            names.isdisjoint(globals) for globals, names in self._absent
        ):
            return False
        with _lock:
            return all(home.version(name) == version for home, name, version in self._brings)


def has_name(fn: Named) -> bool:
    """Whether a function of a main module stands there under its name, so that it can be kept pickled."""
    plain = _function_of(fn)
    if type(plain) is not FunctionType or plain.__closure__ is not None:
        return False
    if plain.__globals__.get("__name__") not in _NAMES:
        return False
    found = plain.__globals__.get(fn.__name__)
    return found is fn or (type(found) is Task and found.fn is fn)


def _function_of(fn: Named) -> Named:
    return fn.__wrapped__ if type(fn) is CACHING else fn


def _names(code: CodeType) -> set[str]:
    """The names of globals in this code, and of attributes."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if type(constant) is CodeType:
            names |= _names(constant)
    return names


# -- classes

_own_classes: weakref.WeakKeyDictionary[type, tuple[int, tuple[int, ...], str]] = weakref.WeakKeyDictionary()
"""Those that were defined in this process, or the one that it was forked from: its pid, what they hold, the version."""
_came_classes: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
"""Those that were defined elsewhere: which version has come."""


def _class_state(cls: type) -> tuple[int, ...]:
    return tuple(map(id, vars(cls).values()))


def _class_version(cls: type) -> str:
    came = _came_classes.get(cls)
    if came is not None:
        return came
    own, state = _own_classes.get(cls), _class_state(cls)
    if own is None or own[1] != state:
        own = _own_classes[cls] = (os.getpid(), state, f"{os.getpid()}-{next(_versions)}")
    return own[2]


# -- in the process that loads


def _set_class_state(cls: type, packed: tuple[str, Callable[[type, object], object], object]) -> None:
    """Fill a class that has just been made, or has changed where it was defined."""
    version, setter, state = packed
    own = _own_classes.get(cls)
    if own is not None and (own[0] == os.getpid() or own[2] == version):
        return
    if _came_classes.get(cls) != version:
        setter(cls, state)
        _came_classes[cls] = version


def _make_code(make: Callable[..., CodeType], args: tuple[object, ...], file: str) -> CodeType:
    return make(*args).replace(co_filename=file)


def _set_function_state(fn: FunctionType, packed: tuple[Callable[[FunctionType, object], object], object]) -> None:
    setter, state = packed
    builtins = fn.__globals__["__builtins__"]
    setter(fn, state)
    fn.__globals__["__builtins__"] = builtins
