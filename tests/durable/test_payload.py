"""Arguments and results as JSON."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

import msgspec
import pytest

from steadypool.durable.client.payload import Payload
from steadypool.durable.engine.errors import ArgumentsUnfit, PayloadRefused


@dataclass
class Address:
    street: str
    number: int


class Colour(enum.Enum):
    RED = "red"


class Order(msgspec.Struct):
    id: UUID
    price: Decimal


def typed(
    when: datetime, to: Address, colour: Colour = Colour.RED, *more: int, order: Order | None = None, **rest: Decimal
) -> Order | None: ...


def untyped(one, other=None): ...  # type: ignore[no-untyped-def]


def positional(one: int, /, two: int, *, three: int = 3) -> None: ...


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ORDER = Order(UUID(int=1), Decimal("1.50"))


def there_and_back(fn: Any, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    payload = Payload("task", fn)
    return payload.decode(payload.encode(args, kwargs))


def called(fn: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The arguments as the function would see them after the journey."""
    import inspect

    args, kwargs = there_and_back(fn, *args, **kwargs)
    return dict(inspect.signature(fn).bind(*args, **kwargs).arguments)


def test_what_is_annotated_arrives_as_what_it_is() -> None:
    arrived = called(typed, NOW, Address("x", 1), Colour.RED, 1, 2, order=ORDER, extra=Decimal("0.1"))
    assert arrived == {
        "when": NOW,
        "to": Address("x", 1),
        "colour": Colour.RED,
        "more": (1, 2),
        "order": ORDER,
        "rest": {"extra": Decimal("0.1")},
    }


def test_what_is_left_out_is_left_to_the_function() -> None:
    assert called(typed, NOW, to=Address("x", 1)) == {"when": NOW, "to": Address("x", 1)}
    assert Payload("task", positional).encode((1, 2), {}) == b'{"one":1,"two":2}'


def test_positional_only_arguments_stay_so() -> None:
    assert called(positional, 1, two=2, three=4) == {"one": 1, "two": 2, "three": 4}


@pytest.mark.parametrize("value", [None, 1, 1.5, "x", [1, {"a": [None]}], {"a": 1}, True])
def test_what_is_not_annotated_arrives_if_json_has_it(value: Any) -> None:
    assert called(untyped, value) == {"one": value}


@pytest.mark.parametrize("value", [(1, 2), {1, 2}, NOW, float("nan"), b"x", [(1,)]])
def test_what_is_not_annotated_and_would_change_is_refused(value: Any) -> None:
    with pytest.raises(PayloadRefused, match="argument 'one' would not arrive as it is") as caught:
        there_and_back(untyped, value)
    assert caught.value.argument == "one"


@pytest.mark.parametrize(
    ("args", "kwargs", "argument", "says"),
    [
        (("x", Address("x", 1)), {}, "when", "RFC3339"),
        ((NOW, "x"), {}, "to", "Expected `object`, got `str`"),
        ((NOW, Address("x", "y")), {}, "to", "Expected `int`, got `str`"),  # type: ignore[arg-type]
        ((NOW, Address("x", 1), "green"), {}, "colour", "Invalid enum value"),
        ((NOW, Address("x", 1), Colour.RED, 1, "2"), {}, "more", "Expected `int`"),
        ((NOW, Address("x", 1)), {"order": object()}, "order", "unsupported"),
        ((NOW, Address("x", 1)), {"extra": "x"}, "rest", "decimal"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_argument_named(
    args: tuple[Any, ...], kwargs: dict[str, Any], argument: str, says: str
) -> None:
    with pytest.raises(PayloadRefused, match=says) as caught:
        there_and_back(typed, *args, **kwargs)
    assert caught.value.argument == argument and f"argument {argument!r}" in str(caught.value)


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((NOW,), {}), ((1, 2, 3, 4), {}), ((1,), {"wrong": 1})])
def test_a_call_that_python_would_refuse_is_refused(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(PayloadRefused, match="cannot be called like that"):
        there_and_back(positional, *args, **kwargs)


def test_a_stored_call_that_fits_no_more_is_refused() -> None:
    with pytest.raises(PayloadRefused, match="do not fit"):
        Payload("task", positional).decode(b'{"one":1,"two":2,"gone":3}')


def test_a_type_that_cannot_be_stored_is_refused_before_anything_is() -> None:
    def takes_a_connection(connection: Payload) -> None: ...

    with pytest.raises(TypeError, match="argument 'connection' has the type"):
        Payload("task", takes_a_connection)


def test_results_come_back_as_annotated() -> None:
    payload = Payload("task", typed)
    assert payload.decode_result(payload.encode_result(ORDER)) == ORDER
    assert Payload("task", untyped).decode_result(b'{"a":[1]}') == {"a": [1]}
    with pytest.raises(PayloadRefused, match="returned a value of type object that JSON cannot carry"):
        payload.encode_result(object())


def test_a_call_can_be_given_as_json() -> None:
    payload = Payload("task", positional)
    assert payload.from_json("[1, 2]") == payload.from_json('{"one": 1, "two": 2}') == b'{"one":1,"two":2}'
    for wrong in ("[1]", "3", "[1, 2, 3, 4]", '{"one": 1, "two": "x"}', "{", '{"one": 1, "two": 2, "four": 4}'):
        with pytest.raises(PayloadRefused):
            payload.from_json(wrong)


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        ("1", "got 1; write '[1]'"),
        ('"ann"', """got 'ann'; write '["ann"]'"""),
        ("ann", """; write '["ann"]'"""),
        ("9" * 90, "; write it in an array, as in '[1]'"),
    ],
)
def test_a_value_that_stands_alone_is_shown_in_its_array(given: str, instead: str) -> None:
    with pytest.raises(PayloadRefused) as caught:
        Payload("task", positional).from_json(given)
    assert str(caught.value).endswith(instead)


@pytest.mark.parametrize("given", ["[1", "{", "[1, 2, 3, 4]"])
def test_an_array_is_not_put_into_another(given: str) -> None:
    with pytest.raises(PayloadRefused) as caught:
        Payload("task", positional).from_json(given)
    assert "write" not in str(caught.value)


@dataclass
class NewAddress:
    street: str
    number: int
    country: str = "DE"


class Shape(TypedDict):
    a: int


class Sparse(msgspec.Struct, omit_defaults=True, tag=True, rename="camel"):
    an_int: int = 0
    inner: NewAddress | None = None


@pytest.mark.parametrize(
    ("hint", "stored", "lost"),
    [
        (Address, b'{"x":{"street":"a","number":1,"country":"CH"}}', "x.country"),
        (list[Address | None], b'{"x":[null,{"street":"a","number":1,"country":"CH"}]}', "x.country"),
        (dict[str, Address], b'{"x":{"home":{"street":"a","number":1,"country":"CH"}}}', "x.home.country"),
        (Shape, b'{"x":{"a":1,"b":{"c":2}}}', "x.b"),
        (Order, b'{"x":{"id":"00000000-0000-0000-0000-000000000001","price":"1","currency":"CHF"}}', "x.currency"),
    ],
)
def test_a_field_that_is_not_known_here_is_not_passed_over(hint: Any, stored: bytes, lost: str) -> None:
    def take(x): ...  # type: ignore[no-untyped-def]

    take.__annotations__ = {"x": hint}
    payload = Payload("task", take)
    with pytest.raises(ArgumentsUnfit, match=f"{lost} is no field here") as caught:
        payload.decode(stored)
    assert caught.value.argument == "x"
    with pytest.raises(PayloadRefused, match=f"{lost} is no field here"):
        payload.from_json(stored)


def test_a_field_that_an_older_version_has_not_given_has_its_default() -> None:
    def take(x: NewAddress, y: Sparse | None = None, z: dict[int, Address] | None = None) -> None: ...

    payload = Payload("task", take)
    stored = b'{"x":{"street":"a","number":1},"y":{"type":"Sparse","anInt":0},"z":{"1":{"street":"a","number":1}}}'
    values = {"x": NewAddress("a", 1), "y": Sparse(0), "z": {1: Address("a", 1)}}
    assert payload.decode(stored)[1] == values
    assert payload.decode(payload.encode((), values))[1] == values
    with pytest.raises(ArgumentsUnfit, match=r"y\.inner\.zip is no field here"):
        payload.decode(stored.replace(b'"anInt":0', b'"inner":{"street":"a","number":1,"zip":"1"}'))
