"""Loads at once what runs no code of the user's when it is loaded, though it names classes.

Loading by pickle runs code of a class where the class asks for that. A plain class asks for nothing: the instance is
made by ``object.__new__``, and its attributes are put into it. Such a result need not go to the loader's thread.

What is refused here is loaded there, so a doubt costs time and nothing else. A class is refused if it, or one it
inherits from, has any say in how an instance is made, filled, hashed or freed (`_is_harmless`), or if its module is not
imported. A pickle that *calls* something (``REDUCE``) is refused unless all that it names is of `_CALLED`. The pattern
looks for the instruction after whatever can end its arguments; text that looks like it is a doubt, too. Nothing may
stand between the two but the header of a frame, and a packet is too small for a second frame.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import re
import sys
from collections.abc import Sequence
from types import GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

from steadypool.pools.processes.ipc.memory_file import Buffer

_REDUCE = re.compile(rb"[\x94)b]R|h.R|j....R", re.DOTALL)
_CALLED = frozenset(
    {
        *(("datetime", name) for name in ("date", "datetime", "time", "timedelta", "timezone")),
        *(("builtins", name) for name in ("bytearray", "bytes", "complex", "frozenset", "range", "set", "slice")),
        ("decimal", "Decimal"),
        *(("numpy", name) for name in ("dtype", "ndarray")),
        *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
        *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    }
)
"""By module and name."""
_OF_OBJECT = ("__new__", "__getattribute__", "__setattr__", "__delattr__")
_ABSENT = ("__setstate__", "__getattr__", "__del__")
_PUT_BY_PYTHON = (MemberDescriptorType, GetSetDescriptorType)
_MOST = 1000
_known: dict[type, bool] = {}


class _RefusedError(Exception):
    """The pickle is for the loader."""


class _Loader(pickle.Unpickler):
    """Finds harmless classes alone, and in a pickle that calls what it names only what may be called."""

    def __init__(self, stream: Buffer, buffers: Sequence[Buffer]) -> None:
        super().__init__(io.BytesIO(stream), buffers=buffers)
        self._stream = stream
        self._calls: bool | None = None

    def find_class(self, module: str, name: str) -> object:
        """As `pickle` asks."""
        found = _imported(module, name)
        if (module, name) in _CALLED:
            return found
        if self._calls is None:  # not before: to search a big stream takes long, and most big ones name no class
            self._calls = _REDUCE.search(self._stream) is not None
        if self._calls or type(found) is not type:
            raise _RefusedError
        harmless = _known.get(found)
        if harmless is None:
            if len(_known) >= _MOST:
                _known.clear()
            harmless = _known[found] = _is_harmless(found)
        if not harmless:
            raise _RefusedError
        return found


def load_harmless(stream: Buffer, buffers: Sequence[Buffer] = ()) -> tuple[object] | None:
    """The value, in a tuple; ``None`` if that may take code of the user's."""
    if copyreg._inverted_registry:  # type: ignore[attr-defined] # numbers that stand for any names
        return None
    try:
        return (_Loader(stream, buffers).load(),)
    except Exception:  # the loader's thread meets it again, and says what is wrong
        return None


def _imported(module: str, name: str) -> object:
    """What has that name, without importing anything; no module's ``__getattr__`` is asked, either."""
    found: Any = sys.modules.get(module)
    if type(found) is not ModuleType:
        raise _RefusedError
    for part in name.split("."):
        if type(found) not in (ModuleType, type) or part not in vars(found):
            raise _RefusedError
        found = vars(found)[part]
    return found


def _is_harmless(cls: type) -> bool:
    """Whether making, filling, hashing and freeing an instance is Python's own business.

    ``__hash__`` is called where an instance is in a set: a class without one is fine, pickle then refuses the set.
    """
    return (
        all(getattr(cls, name) is getattr(object, name) for name in _OF_OBJECT)
        and not any(hasattr(cls, name) for name in _ABSENT)
        and getattr(cls, "__hash__", None) in (None, object.__hash__)
        and all(_has_plain_attributes(base) for base in cls.__mro__ if base is not object)
    )


def _has_plain_attributes(cls: type) -> bool:
    """Whether no attribute of the class runs code when it is set."""
    return type(cls) is type and not any(_runs_when_set(name, value) for name, value in vars(cls).items())


def _runs_when_set(name: str, value: object) -> bool:
    if type(value) is property and name != "__dict__":
        return value.fset is not None
    return hasattr(type(value), "__set__") and type(value) not in _PUT_BY_PYTHON
