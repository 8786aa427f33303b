"""A module that is imported when something of it is first used."""

from __future__ import annotations

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
