"""Arguments and results arrive as they were, or are refused."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar, Union
from zoneinfo import ZoneInfo

import msgspec
import pytest

from steadypool import PayloadRefused, Queue
from steadypool.durable.client.payload import Payload
from steadypool.durable.engine.errors import ResultUnfit

T = TypeVar("T")


@dataclasses.dataclass
class Base:
    a: int
    b: float = 0.0


@dataclasses.dataclass
class Derived(Base):
    c: int = 0


@dataclasses.dataclass(eq=False)
class Loose:
    inner: Any


class Struct(msgspec.Struct):
    a: Any


class SubStruct(Struct):
    b: int = 0


class Box(msgspec.Struct, Generic[T]):
    item: T


class Shape(TypedDict, total=False):
    a: int


class Point(NamedTuple):
    x: int
    y: float


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Name(enum.StrEnum):
    ANN = "ann"


class Text(str):
    __slots__ = ()


class Number(int):
    pass


NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
BERLIN = NOW.astimezone(ZoneInfo("Europe/Berlin"))

ARRIVES: list[tuple[Any, Any]] = [
    (dict, {"a": [1, {"b": None}], "c": 1.5, "d": True}),
    (dict[int, str], {1: "a"}),
    (list, [1, "a", [2.0]]),
    (list[Any], []),
    (tuple, (1, "a")),
    (tuple[int, ...], (1, 2)),
    (list[tuple[int, str]], [(1, "a")]),
    (set[int], {1, 2}),
    (frozenset[str], frozenset("ab")),
    (float, 5),
    (float, 5.0),
    (float, 2**53 + 1),
    (float, -0.0),
    (float | None, None),
    (float | str, 3),
    (list[float], [1, 2.5]),
    (dict[str, float], {"a": 1}),
    (int, 2**63 - 1),
    (int, 10**30),
    (float, 2**70),
    (object, "x"),
    (Base, Base(1, 2.0)),
    (Base | None, Base(1, 2.0)),
    (list[Base], [Base(1), Base(2)]),
    (Loose, Loose([1])),
    (Struct, Struct({"a": 1})),
    (Box[int], Box(1)),
    (Shape, {"a": 1}),
    (Point, Point(1, 2.0)),
    (Colour, Colour.RED),
    (Level, Level.LOW),
    (dict[Colour, int], {Colour.RED: 1}),
    (datetime, NOW),
    (datetime, NOW.replace(tzinfo=None)),
    (datetime, NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))),
    (datetime, NOW.astimezone(ZoneInfo("UTC"))),
    (date, NOW.date()),
    (time, time(1, 2, 3, 4)),
    (timedelta, timedelta(days=1, microseconds=1)),
    (Decimal, Decimal("1.10")),
    (uuid.UUID, uuid.UUID(int=1)),
    (bytes, b"abc"),
    (Literal["a", 1], "a"),
    (Annotated[int, msgspec.Meta(ge=0)], 1),
    (str, "\0 ü 🎉 \u2028"),
    (Sequence[float], [1, 2.5]),
    (Annotated[float, msgspec.Meta(ge=0)], 5),
    (list[Annotated[float | None, "seconds"]], [5, None]),
    (dict[int, list[float]], {1: [1, 1.0]}),
    (Mapping[str, int], {"a": 1}),
]
REFUSED: list[tuple[Any, Any]] = [
    (dict, {1: "a", "1": "b"}),
    (dict, {"when": NOW}),
    (dict, {"price": Decimal("1.10")}),
    (dict, {"raw": b"abc"}),
    (dict, {None: 1}),
    (dict, {(1, 2): 1}),
    (dict, {True: 1}),
    (dict, collections.OrderedDict(a=1)),
    (dict, collections.Counter("a")),
    (dict[str, Any], {"mean": math.nan}),
    (dict[str, Any], collections.defaultdict(int, a=1)),
    (dict[str, int], {"a": True}),
    (list, [1.0, math.inf]),
    (list, (1, 2)),
    (list, [Colour.RED]),
    (list[Any], [(1, 2)]),
    (list[Any], [{1, 2}]),
    (list[int], [Level.LOW]),
    (tuple, [1, 2]),
    (tuple, (1, (2, 3))),
    (tuple, Point(1, 2.0)),
    (set, {(1, 2)}),
    (set[int], frozenset({1})),
    (set[float], {1, Number(2)}),
    (Any, (1, 2)),
    (Any, NOW),
    (Any, Base(1)),
    (Any, Level.LOW),
    (Any, Text("a")),
    (object, b"abc"),
    (float, math.nan),
    (float, True),
    (float, Decimal(1)),
    (float | None, math.nan),
    (Union[None, float], math.inf),  # noqa: UP007
    (int, True),
    (int, Number(1)),
    (int, Level.LOW),
    (int, 1.0),
    (str, Text("a")),
    (str, Name.ANN),
    (str, "\ud800"),
    (bool, 1),
    (bytes, bytearray(b"a")),
    (bytes, memoryview(b"a")),
    (list[bytes], [bytearray(b"a")]),
    (Base, Derived(1, 2.0)),
    (Base, Base(1, 2)),
    (Base, {"a": 1, "b": 2.0}),
    (Base, Base(True)),
    (list[Base], [Derived(1)]),
    (Base | None, Derived(1)),
    (Loose, Loose((1,))),
    (Struct, SubStruct(1, 2)),
    (Struct, Struct((1, 2))),
    (Box[Any], Box(NOW)),
    (Shape, {"a": 1, "z": 2}),
    (Point, (1, 2.0)),
    (datetime, datetime(2026, 10, 25, 2, 30, fold=1)),
    (time, time(2, 30, fold=1)),
    (Point, Point(1, 2)),
    (Colour, "red"),
    (Level, 1),
    (datetime, BERLIN),
    (datetime | None, BERLIN),
    (list[datetime], [BERLIN]),
    (datetime, "2026-01-01T00:00:00Z"),
    (date, NOW),
    (Decimal, 1),
    (Decimal, Decimal("NaN")),
    (uuid.UUID, str(uuid.UUID(int=1))),
    (Sequence[int], (1,)),
    (Mapping[str, int], collections.OrderedDict(a=1)),
]


def takes(hint: Any) -> Callable[..., Any]:
    def take(x): ...  # type: ignore[no-untyped-def]

    take.__annotations__ = {"x": hint, "return": hint}
    return take


def takes_many(hint: Any) -> Callable[..., Any]:
    def take(*args, **kwargs): ...  # type: ignore[no-untyped-def]

    take.__annotations__ = {"args": hint, "kwargs": hint}
    return take


def alike(one: Any, other: Any) -> bool:
    """A second opinion, for what is in the lists above."""
    if type(one) is not type(other) or (one != other and not dataclasses.is_dataclass(one)):
        return False
    return repr(one) == repr(other) or isinstance(one, (datetime, set, frozenset))


@pytest.mark.parametrize(("hint", "value"), ARRIVES, ids=range(len(ARRIVES)))
def test_what_is_taken_arrives_as_it_was(hint: Any, value: Any) -> None:
    payload = Payload("task", takes(hint))
    assert alike(payload.decode(payload.encode((value,), {}))[1]["x"], value)
    assert alike(payload.decode_result(payload.encode_result(value)), value)
    payload = Payload("task", takes_many(hint))
    args, kwargs = payload.decode(payload.encode((value, value), {"more": value}))
    assert alike(args[0], value) and alike(args[1], value) and alike(kwargs["more"], value)


@pytest.mark.parametrize(("hint", "value"), REFUSED, ids=range(len(REFUSED)))
def test_what_would_not_arrive_as_it_was_is_refused(hint: Any, value: Any) -> None:
    payload, many = Payload("task", takes(hint)), Payload("task", takes_many(hint))
    attempts: list[tuple[Callable[[], bytes], str]] = [
        (lambda: payload.encode((value,), {}), "x"),
        (lambda: payload.encode((), {"x": value}), "x"),
        (lambda: many.encode((value,), {}), "args"),
        (lambda: many.encode((), {"more": value}), "kwargs"),
    ]
    for encode, argument in attempts:
        with pytest.raises(PayloadRefused, match=f"argument '{argument}'") as caught:
            encode()
        assert caught.value.argument == argument


@pytest.mark.parametrize("hint", [Any, dict, list, list[int], tuple, Base | None, Struct, float, Colour, object])
def test_a_result_is_read_as_it_was_whatever_the_annotation_says(hint: Any) -> None:
    payload = Payload("task", takes(hint))
    for _, value in ARRIVES + REFUSED:
        try:
            encoded = payload.encode_result(value)
        except ResultUnfit:
            continue
        assert alike(payload.decode_result(encoded), value)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ((1, 2), r"\(1, 2\) \(tuple\) would become \[1, 2\] \(list\); annotate it as x: tuple\[int, int\]"),
        ({1: "a"}, r"annotate it as x: dict\[int, str\]"),
        ({"a": NOW}, r"annotate it as x: dict\[str, datetime.datetime\]"),
        ([Base(1)], r"annotate it as x: list\[.*Base\]"),
        (BERLIN, r"would become '2026-01-01T13:30:00\+01:00' \(str\)$"),
        (math.nan, "nan .float. would become None .NoneType.$"),
    ],
)
def test_the_advice_is_an_annotation_that_helps_or_there_is_none(value: Any, advice: str) -> None:
    def take(x): ...  # type: ignore[no-untyped-def]

    with pytest.raises(PayloadRefused, match=advice):
        Payload("task", take).encode((value,), {})


def test_a_zone_is_said_to_be_lost() -> None:
    with pytest.raises(PayloadRefused, match=r"lose the rules of its zone, Europe/Berlin; convert it with astimezone"):
        Payload("task", takes(datetime)).encode((BERLIN,), {})


def test_what_is_deep_or_goes_round_in_circles() -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    payload = Payload("task", takes(Any))
    assert payload.decode(payload.encode((deep,), {}))[1]["x"] == deep
    for _ in range(200_000):
        deep = [deep]
    circle: list[Any] = []
    circle.append(circle)
    for value in (deep, circle):
        with pytest.raises(PayloadRefused, match="argument 'x' cannot be stored"):
            payload.encode((value,), {})


def traced(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return inner


def by_place(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def inner(*args: Any) -> Any:
        return fn(*args)

    return inner


def every(*args, **kwargs):  # type: ignore[no-untyped-def]
    return [list(args), kwargs]


def private(__x: int = 1):  # type: ignore[no-untyped-def]
    return __x


def dunder(__init__: int, __struct_fields__: int = 2):  # type: ignore[no-untyped-def]
    return [__init__, __struct_fields__]


def ours(self, connection=3, task=4, args=5, queue=6):  # type: ignore[no-untyped-def]
    return [self, connection, task, args, queue]


def only(one, /, two=2, *, three=3, **more):  # type: ignore[no-untyped-def]
    return [one, two, three, more]


class Adder:
    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, number: int) -> int:
        return number + self.by

    def add(self, number: int) -> int:
        return number + self.by


CALLS: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
    (every, (), {}),
    (every, (1, "a"), {}),
    (every, (1,), {"self": 1, "fn": 2, "task": 3, "args": 4, "kwargs": 5, "__x": 6}),
    (private, (5,), {}),
    (private, (), {"__x": 5}),
    (private, (), {}),
    (dunder, (1,), {"__struct_fields__": 4}),
    (ours, (1,), {"connection": 9}),
    (ours, (), {"self": 1, "task": 2, "args": 3, "queue": 4}),
    (only, (1,), {"one": 5, "three": 4}),
    (traced(ours), (1,), {"connection": 9}),
    (by_place(only), (1, 2), {}),
    (by_place(private), (5,), {}),
    (functools.partial(only, 1), (5,), {"three": 7}),
    (functools.partial(ours, connection=8), (1,), {}),
    (functools.partial(ours, connection=8), (1,), {"connection": 7}),
    (Adder(1), (5,), {}),
    (Adder(1).add, (5,), {}),
    (pow, (2, 5), {}),
    (lambda self, *, task=1: [self, task], (1,), {"task": 2}),
]


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_calls_of_every_shape_arrive(tmp_path: Path, kind: str) -> None:
    with Queue(f"sqlite:///{tmp_path}/jobs.db?synchronous=NORMAL") as queue:
        handles = [
            queue.task(name=f"task {number}")(fn).enqueue(*args, **kwargs)
            for number, (fn, args, kwargs) in enumerate(CALLS)
        ]
        queue.work(kind=kind, workers=2, until_empty=True)
        for handle, (fn, args, kwargs) in zip(handles, CALLS, strict=True):
            assert handle.result(0) == fn(*args, **kwargs), (fn, args, kwargs)


def test_arguments_and_results_have_a_largest_size(tmp_path: Path) -> None:
    with Queue(f"sqlite:///{tmp_path}/jobs.db?synchronous=NORMAL", max_payload=100) as queue:

        @queue.task
        def repeat(text: str, times: int) -> str:
            return text * times

        refusal = (
            r"the arguments are 121 bytes of JSON, and this queue takes 100 \('text' alone has 102\).*"
            r"Queue\(\.\.\., max_payload=\.\.\.\)"
        )
        with pytest.raises(PayloadRefused, match=refusal) as caught:
            repeat.enqueue("x" * 100, 1)
        assert caught.value.argument == "text"
        with pytest.raises(PayloadRefused, match="121 bytes"):
            repeat.enqueue_json(f'["{"x" * 100}", 1]')
        with pytest.raises(PayloadRefused, match=r"row 1: .*bytes"):
            queue.enqueue_many(repeat, [("x", 1), ("x" * 100, 1)])
        big, small = repeat.enqueue("x", 200), repeat.enqueue("x", 90)
        for kind in ("thread", "process"):
            queue.work(kind=kind, workers=1, until_empty=True)
            assert "returned 202 bytes of JSON, and this queue takes 100" in big.errors[-1].message
            queue.retry(big.id)
        assert small.result(0) == "x" * 90
    assert Queue("sqlite:///jobs.db").max_payload == 2**20
    assert len(Payload("task", takes(str), None).encode(("x" * 2**21,), {})) > 2**21
    for wrong, error in ((0, ValueError), ("1 MB", TypeError)):
        with pytest.raises(error, match="max_payload must be"):
            Queue("sqlite:///jobs.db", max_payload=wrong)  # type: ignore[arg-type]
