"""What a program may have that hangs in the process of the pool: each when a particular thing is asked of it.

In a worker process the same does not hang, so that it gets as far as the parent.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from tests.pools.contract import jobs

PARENT = int(os.environ.setdefault("STEADYPOOL_TEST_PARENT", str(os.getpid())))
GATE = threading.Event()
ENTERED = threading.Event()


def hold() -> None:
    """Hang until the test is over."""
    if os.getpid() == PARENT:
        ENTERED.set()
        GATE.wait(300)


class Shown:
    """Hangs when a report would show it."""

    def __repr__(self) -> str:
        hold()
        return "Shown()"


class Arrives:
    """Hangs when it is loaded in the parent process."""

    def __getstate__(self) -> str:
        return "x"

    def __setstate__(self, state: str) -> None:
        hold()


class Freed:
    """Hangs when nothing refers to it any more."""

    def __del__(self) -> None:
        hold()


class Described(Exception):
    """Hangs when its message is asked for."""

    def __str__(self) -> str:
        hold()
        return "described"


class ArrivingError(Exception):
    """Hangs when it is loaded in the parent process."""

    def __reduce__(self) -> Any:
        return _arrive, ()


def _arrive() -> ArrivingError:
    hold()
    return ArrivingError()


class _Asks(type):
    def __instancecheck__(cls, instance: object) -> bool:
        hold()
        return False


class Asked(Exception, metaclass=_Asks):
    """Hangs when an error is compared with it."""


class Named:
    """A callable that hangs when it is asked for its name, but for the first time, by the thread that submits it."""

    def __init__(self) -> None:
        self.asked = 0

    def __getattr__(self, name: str) -> str:
        if name != "__qualname__":
            raise AttributeError(name)
        self.asked += 1
        if self.asked > 1:
            hold()
        return "Named"

    def __call__(self) -> None:
        raise ValueError("it was called")


def act(address: str, value: object) -> Any:
    """As `jobs.act`, with an argument more."""
    return jobs.act(address)


def take(value: object) -> None:
    """Nothing; its argument goes."""


def give(what: str) -> Any:
    """A result."""
    return {"arrives": Arrives}[what]()


def fail(what: str) -> None:
    """An error."""
    raise {"described": Described, "arrives": ArrivingError, "plain": ValueError}[what]()
