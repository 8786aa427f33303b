"""What the jobs of ``python -m bench.compare`` do. Every pool's workers can import it by name."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

PAYLOAD_BYTES = 16 << 20
_kept: dict[str, Any] = {}


def sibling() -> str:
    """Runs while the poison does its work."""
    time.sleep(1.5)
    return "sibling"


def later() -> str:
    """Comes after it."""
    return "later"


def nap(folder: str, seconds: float) -> None:
    """Say in *folder* that it runs, and sleep."""
    Path(folder, f"{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(seconds)


def take(value: object) -> None:
    """For arguments."""


def array() -> Any:
    """A NumPy array of `PAYLOAD_BYTES`."""
    import numpy

    return numpy.arange(PAYLOAD_BYTES // 8, dtype=numpy.float64)


def frame() -> Any:
    """A pandas frame of as many bytes, in four columns of numbers."""
    import pandas

    numbers = array()
    return pandas.DataFrame(dict(zip("abcd", numbers.reshape(4, -1), strict=True)))


def look_at(value: Any) -> float:
    """Look at all of an array or a frame."""
    return float(value.sum().sum())


def kept(kind: str) -> Any:
    """What this process keeps of that kind; made at the first call."""
    if kind not in _kept:
        _kept[kind] = {"array": array, "frame": frame}[kind]()
    return _kept[kind]


def be_killed() -> None:
    """Die by SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    """Die in C code."""
    ctypes.string_at(0)


def leave_at_once() -> NoReturn:
    """Die without a word."""
    os._exit(1)


def leave() -> NoReturn:
    """Raise `SystemExit`."""
    sys.exit(1)


def interrupt() -> NoReturn:
    """Raise `KeyboardInterrupt`."""
    raise KeyboardInterrupt


def make_lock() -> Any:
    """A result that cannot be pickled."""
    return threading.Lock()


class TwoArguments(Exception):
    """Cannot be made again from its ``args``."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def fail() -> NoReturn:
    """An exception that cannot be rebuilt."""
    raise TwoArguments("one", "other")


class Unloadable:
    """Cannot be unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


def _refuse() -> NoReturn:
    raise ValueError("not to be loaded")


def make_unloadable() -> Unloadable:
    """A result that cannot be loaded."""
    return Unloadable()


class Stateless:
    """Its ``__getstate__`` raises."""

    def __getstate__(self) -> NoReturn:
        raise RuntimeError("no state")


def fail_plainly() -> NoReturn:
    """An exception like any other."""
    raise ValueError("as jobs do")


PLAIN_SUCCESS = "no poison: job returns"
PLAIN_FAILURE = "no poison: ValueError in job"
CONTROLS = (PLAIN_SUCCESS, PLAIN_FAILURE)
"""The rows where nothing is wrong."""

POISONS: dict[str, Callable[[], tuple[Any, ...]]] = {
    PLAIN_SUCCESS: lambda: (later,),
    PLAIN_FAILURE: lambda: (fail_plainly,),
    "SIGKILL of its worker": lambda: (be_killed,),
    "segfault in job": lambda: (segfault,),
    "`os._exit` in job": lambda: (leave_at_once,),
    "`sys.exit` in job": lambda: (leave,),
    "KeyboardInterrupt in job": lambda: (interrupt,),
    "result cannot be pickled": lambda: (make_lock,),
    "exception cannot be rebuilt": lambda: (fail,),
    "result cannot be loaded": lambda: (make_unloadable,),
    "argument cannot be pickled": lambda: (take, threading.Lock()),
    "argument's `__getstate__` raises": lambda: (take, Stateless()),
}
"""The rows of the matrix: a function, and its arguments."""
