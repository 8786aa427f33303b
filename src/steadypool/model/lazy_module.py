"""Modules that are imported when something of them is first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


class Lazily:
    """Stands for a module. Making two dozen record classes is half the time that ``import steadypool`` takes."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self._name), name)
        self.__dict__[name] = value
        return value


def getattr_of(public: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of the module *public*; *places* says which module each of its lazy names comes from.

    A class shows the public module as its own, for tracebacks, documentation and pickles.
    """

    def find(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {public!r} has no attribute {name!r}")
        value: object = getattr(import_module(places[name]), name)
        if isinstance(value, type):
            value.__module__ = public
        vars(sys.modules[public])[name] = value
        return value

    return find
