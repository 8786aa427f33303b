"""Modules that are imported when something of them is first used, and the two that whole packages use so."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steadypool.model import events, reports

__all__ = ["Lazily", "events", "getattr_of", "reports"]


class Lazily:
    """Stands for a module. Making two dozen record classes is half the time that ``import steadypool`` takes."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self._name), name)
        self.__dict__[name] = value
        return value


if not TYPE_CHECKING:
    events, reports = Lazily("steadypool.model.events"), Lazily("steadypool.model.reports")


def getattr_of(public: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of the module *public*; *places* says of each module which lazy names are from there.

    A class shows the public module as its own, for tracebacks, documentation and pickles.
    """
    home = {name: module for module, names in places.items() for name in names.split()}

    def find(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {public!r} has no attribute {name!r}")
        value: object = getattr(import_module(home[name]), name)
        if isinstance(value, type):
            value.__module__ = public
        vars(sys.modules[public])[name] = value
        return value

    return find
