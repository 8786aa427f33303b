"""What the supervisor may load itself, and what it must leave to the loader's thread."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from steadypool.pools.processes.ipc import harmless
from steadypool.pools.processes.ipc.harmless import load_harmless
from steadypool.pools.processes.ipc.pickles import dump

ran: list[str] = []


class Plain:
    def __init__(self, value: Any = None) -> None:
        ran.append("init")
        self.value = value

    @property
    def doubled(self) -> Any:
        return self.value * 2

    class Inner:
        pass


class Slotted:
    __slots__ = ("one", "two")


@dataclasses.dataclass
class Row:
    number: int
    Result: str  # whose name looks like an instruction
    inside: Plain | None = None

    def __post_init__(self) -> None:
        ran.append("post_init")


class Calls:
    def __reduce__(self) -> Any:
        return Plain, (1,)


class CallsWithoutArguments:
    def __reduce__(self) -> Any:
        return Plain, ()


class CallsTheSame:
    def __reduce__(self) -> Any:
        return Plain, same


same = (1, 2, 3, 4)


class Sets:
    def __setstate__(self, state: Any) -> None:
        ran.append("setstate")


class Gets:
    def __getattr__(self, name: str) -> Any:
        ran.append("getattr")
        raise AttributeError(name)


class Watches:
    def __getattribute__(self, name: str) -> Any:
        ran.append("getattribute")
        return object.__getattribute__(self, name)


class Puts:
    __slots__ = ("one",)

    def __setattr__(self, name: str, value: Any) -> None:
        ran.append("setattr")
        object.__setattr__(self, name, value)


class PutsByProperty:
    def __getstate__(self) -> Any:
        return None, {"one": 1}

    @property
    def one(self) -> int:
        return 1

    @one.setter
    def one(self, value: int) -> None:
        ran.append("property")


class Makes:
    def __new__(cls) -> Makes:
        ran.append("new")
        return object.__new__(cls)


class Frees:
    def __del__(self) -> None:
        ran.append("del")


class Hashes:
    def __hash__(self) -> int:
        ran.append("hash")
        return 1


class Meta(type):
    pass


class HasMeta(metaclass=Meta):
    pass


class Inherits(Sets):
    pass


class Mapped(dict[str, int]):
    def __setitem__(self, key: str, value: int) -> None:
        ran.append("setitem")
        super().__setitem__(key, value)


class Failure(Exception):
    pass


def slotted() -> Slotted:
    made = Slotted()
    made.one = 1  # type: ignore[attr-defined]
    return made


def stream_of(value: Any) -> bytes:
    stream = pickle.dumps(value, 5)
    ran.clear()
    return stream


@pytest.mark.parametrize(
    "make",
    [
        lambda: Plain(1),
        lambda: [Plain(number) for number in range(300)],
        lambda: Plain.Inner(),
        slotted,
        lambda: Row(1, "Rows, Results", Plain("R")),
        lambda: {"now": datetime.datetime.now(datetime.UTC), "money": decimal.Decimal("1.5")},
        lambda: numpy.arange(4.0),
        lambda: numpy.float64(2),
    ],
)
def test_what_asks_for_nothing_is_loaded(make: Callable[[], Any]) -> None:
    stream = stream_of(make())
    loaded = load_harmless(stream)
    assert not ran
    assert loaded is not None
    assert pickle.dumps(loaded[0], 5) == stream


@pytest.mark.parametrize(
    "make",
    [
        Calls,
        CallsWithoutArguments,
        lambda: [same, CallsTheSame()],
        lambda: [*range(300), same, CallsTheSame()],
        lambda: [datetime.date(2026, 1, 1), Plain()],
        Sets,
        Inherits,
        Gets,
        Watches,
        Puts,
        PutsByProperty,
        Makes,
        Frees,
        lambda: {Hashes()},
        HasMeta,
        lambda: Mapped(one=1),
        Failure,
        lambda: [Plain(), Path("/")],
        lambda: len,
        lambda: stream_of,
    ],
)
def test_what_may_run_code_is_left_to_the_loader(make: Callable[[], Any]) -> None:
    stream = stream_of(make())
    assert load_harmless(stream) is None
    assert not [what for what in ran if what != "del"]


@pytest.mark.parametrize("value", [b"x" * 40_000, bytearray(b"y" * 40_000), numpy.arange(5000)], ids=["b", "ba", "np"])
def test_what_lies_beside_the_stream_is_loaded(value: Any) -> None:
    pickled = dump(value)
    assert pickled.buffers
    loaded = load_harmless(pickled.stream, pickled.buffers)
    assert loaded is not None and type(loaded[0]) is type(value) and bytes(loaded[0]) == bytes(value)


def test_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_of(decimal.Decimal(1))
    monkeypatch.delitem(sys.modules, "decimal")
    assert load_harmless(stream) is None
    assert "decimal" not in sys.modules


def test_a_class_that_was_defined_anew_is_looked_at_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_of(Plain(1))
    assert load_harmless(stream) is not None
    again = type("Plain", (Sets,), {"__module__": __name__})
    monkeypatch.setattr(sys.modules[__name__], "Plain", again)
    assert load_harmless(stream) is None


def test_what_is_remembered_of_classes_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harmless, "_MOST", 2)
    monkeypatch.setattr(harmless, "_known", {})
    for value in (Plain(), Plain.Inner(), Slotted(), Row(1, "")):
        assert load_harmless(stream_of(value)) is not None
    assert len(harmless._known) <= 2
