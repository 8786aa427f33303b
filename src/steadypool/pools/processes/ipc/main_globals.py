"""The globals of a main module that came by value: one set in each process, where all its functions look.

A worker that cannot import the program's main module gets its functions by value (`pools.processes.ipc.by_value`), and
with them the values of the globals that they name, each with the number of its version. The functions use the
dictionary of the worker's own ``__main__``. A value is put there when a job brings a version that is not the one there.
So what an initializer or a job assigns stays, and what is assigned anew in the program reaches the next job that was
submitted.

A main module that the worker has imported, or got by a fork, has values already. What the program brings then counts
more than these, and less than what code in the worker has assigned since.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final, NamedTuple

from steadypool.pools.processes.ipc.memory_file import Buffer

MAIN: Final = "main"
"""Stands for ``sys.modules["__main__"]``. A program may have other globals that call themselves main, under others."""
MOST_CONTENTS = 10_000
"""Of a container with more only the length is looked at."""
THE_WORKERS_OWN: Final = 0
"""The version of a function or class that a worker has by importing the main module."""
_NOTHING = object()
forked: dict[str, dict[str, Any]] = {}
"""Globals of the program's, by their tokens: a worker that was forked from it has them, too."""


class MainGlobals:
    """One dictionary that functions of a main module have as their globals, and which versions of values it has."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self._versions: dict[str, int] = {}
        self._before = {name: (value, _contents(value)) for name, value in values.items()}

    def take(self, name: str, version: int, value: object) -> None:
        """Take over a value, unless it has come before."""
        if version == THE_WORKERS_OWN:
            self.values.setdefault(name, value)
            return
        known = self._versions.get(name)
        if known == version:
            return
        self._versions[name] = version
        if known is not None or not self._has_changed(name):
            self.values[name] = value

    def _has_changed(self, name: str) -> bool:
        """Whether code in this process has assigned or filled it: an initializer, say, that came by its name."""
        now = self.values.get(name, _NOTHING)
        before, contents = self._before.get(name, (_NOTHING, None))
        return now is not before or _contents(now) != contents


def _contents(value: object) -> list[int] | None:
    """What an ordinary container holds, to see whether that changes."""
    if type(value) is dict and len(value) <= MOST_CONTENTS:
        return [*map(id, value), *map(id, value.values())]
    if isinstance(value, list | set | dict) and type(value) in (list, set, dict):
        return [*map(id, value)] if len(value) <= MOST_CONTENTS else [len(value)]
    return None


def _main_values() -> dict[str, Any]:
    """The globals of this process's main module.

    `multiprocessing` runs the file of the program's in another module, and copies what that holds into ``__main__``.
    """
    values = vars(sys.modules["__main__"])
    for value in values.values():
        if type(value) is FunctionType and value.__globals__.get("__name__") == value.__module__ == "__mp_main__":
            return value.__globals__
    return values


class Brought(NamedTuple):
    """A value that a pickle brings for a global."""

    globals: MainGlobals
    name: str
    version: int
    value: object


class TravelledFunction:
    """A function that came by value, and what it brings for its globals."""

    def __init__(self, fn: Callable[..., object], found_as: tuple[MainGlobals, str], brought: list[Brought]) -> None:
        self._fn = fn
        self._found_as = found_as
        self._brought = brought

    def ready(self) -> Callable[..., object]:
        """The function, its globals as they were when the job was submitted."""
        for globals, name, version, value in self._brought:
            globals.take(name, version, value)
        globals, name = self._found_as
        found: Callable[..., object] = globals.values.get(name, self._fn)
        return found


class _Process:
    """What this process knows. Not what the one knows that it was forked from."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.globals: dict[str, MainGlobals] = {}


_process = _Process()


def note_main() -> None:
    """Before any code of the user's runs in a worker: note what its main module holds now."""
    for token in (MAIN, *forked):
        main_globals(token, {})


def main_globals(token: str, facts: dict[str, object]) -> MainGlobals:
    """Those that the program calls by this token. *facts* are ``__file__`` and the like."""
    global _process
    if _process.pid != os.getpid():
        _process = _Process()
    known = _process.globals.get(token)
    if known is None:
        values = _main_values() if token == MAIN else forked.get(token, {"__builtins__": __builtins__})
        known = _process.globals[token] = MainGlobals(values)
    for name, fact in facts.items():
        if known.values.get(name) is None:
            known.values[name] = fact
    return known


def globals_of(token: str, facts: dict[str, object]) -> dict[str, Any]:
    """The dictionary itself, for a function that is being rebuilt."""
    return main_globals(token, facts).values


def load_value(stream: bytes, brings: int, *buffers: Buffer) -> object:
    """A value that came with values for the globals of its functions."""
    value, brought = _load(stream, brings, buffers)
    for one in brought:
        one.globals.take(one.name, one.version, one.value)
    return value


def load_function(stream: bytes, brings: int, token: str, name: str) -> TravelledFunction:
    """A function that is kept from one job to the next."""
    fn, brought = _load(stream, brings, ())
    return TravelledFunction(fn, (main_globals(token, {}), name), brought)


def _load(stream: bytes, brings: int, buffers: tuple[Buffer, ...]) -> tuple[Any, list[Brought]]:
    unpickler = pickle.Unpickler(io.BytesIO(stream), buffers=buffers)
    value = unpickler.load()
    brought = []
    for _ in range(brings):
        token, name, version, one = unpickler.load()
        brought.append(Brought(main_globals(token, {}), name, version, one))
    return value, brought
