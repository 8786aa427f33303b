"""Arguments and results that are models: pydantic's, and any class with `model_validate` and `model_dump`."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec
import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    SecretStr,
    ValidationError,
    computed_field,
    field_validator,
)

from steadypool import PayloadRefused, Queue
from steadypool.durable.client.payload import Payload
from steadypool.durable.engine.errors import ArgumentsUnfit, ResultUnfit
from tests.durable import app_of_models as app
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT

T = TypeVar("T")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))


class Line(BaseModel):
    price: Decimal
    count: int = 1


class Order(BaseModel):
    id: int
    lines: list[Line]
    at: datetime | None = None


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    at: datetime
    tags: set[str]


class Aliased(BaseModel):
    order_id: int = Field(alias="orderId")
    other: str = Field(validation_alias="in", serialization_alias="out")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Area(BaseModel):
    width: int
    height: int
    _seen: bool = PrivateAttr(default=False)

    @computed_field
    def size(self) -> int:
        return self.width * self.height


class Box(BaseModel, Generic[T]):
    content: T


class Numbers(RootModel[list[int]]):
    pass


class Even(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def must_be_even(cls, number: int) -> int:
        if number % 2:
            raise ValueError("must be even")
        return number


class Point:
    """No library's."""

    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def model_dump(self) -> dict[str, int]:
        return {"x": self.x, "y": self.y}

    @classmethod
    def model_validate(cls, value: dict[str, int]) -> Point:
        if not isinstance(value["x"], int):
            raise ValueError("x: must be an int")
        return cls(**value)


class Envelope(msgspec.Struct):
    line: Line
    orders: dict[str, Order]


ORDER = Order(id=7, lines=[Line(price=Decimal("1.50")), Line(price=Decimal(3), count=2)], at=NOW)


@pytest.mark.parametrize(
    ("hint", "given"),
    [
        (Order, ORDER),
        (list[Order], [ORDER, ORDER]),
        (dict[str, Order | None], {"a": ORDER, "b": None}),
        (tuple[int, Line], (1, Line(price=Decimal(1)))),
        (list[dict[str, tuple[Order, ...]]], [{"x": (ORDER,)}]),
        (Envelope, Envelope(Line(price=Decimal(2)), {"a": ORDER})),
        (Strict, Strict(at=NOW, tags={"a"})),
        (Aliased, Aliased(**{"orderId": 1, "in": "x"})),
        (Open, Open(a=1, b="more")),
        (Area, Area(width=2, height=3)),
        (Box[Line], Box[Line](content=Line(price=Decimal(1)))),
        (Numbers, Numbers([1, 2])),
    ],
    ids=lambda value: "" if not isinstance(value, type) else value.__name__,
)
def test_models_travel_wherever_they_stand(hint: Any, given: Any) -> None:
    def task(value): ...  # type: ignore[no-untyped-def]

    task.__annotations__ = {"value": hint, "return": hint}
    payload = Payload("task", task)
    _, kwargs = payload.decode(payload.encode((given,), {}))
    assert kwargs == {"value": given}
    assert payload.decode_result(payload.encode_result(given)) == given


def test_a_class_of_no_library() -> None:
    def task(points: list[Point]) -> Point: ...

    payload = Payload("task", task)
    _, kwargs = payload.decode(payload.encode(([Point(1, 2), Point(3, 4)],), {}))
    assert [(point.x, point.y) for point in kwargs["points"]] == [(1, 2), (3, 4)]
    assert payload.decode_result(payload.encode_result(Point(5, 6))).y == 6
    with pytest.raises(PayloadRefused, match="x: must be an int") as refused:
        payload.encode(([Point("1", 2)],), {})  # type: ignore[arg-type]
    assert refused.value.argument == "points"


def refusal(fn: Any, *args: Any) -> PayloadRefused:
    with pytest.raises(PayloadRefused) as refused:
        Payload("task", fn).encode(args, {})
    return refused.value


def test_what_a_model_refuses_names_the_field() -> None:
    def task(number: int, orders: list[Order]) -> None: ...

    spoilt = ORDER.model_copy(update={"lines": [Line.model_construct(price="much")]})
    with pytest.warns(UserWarning, match="serializ"):
        refused = refusal(task, 1, [ORDER, spoilt])
    assert refused.argument == "orders"
    assert "Order: lines.0.price: Input should be" in str(refused)
    refused = refusal(task, 1, [{"id": "x", "lines": []}])
    assert refused.argument == "orders" and "id: Input should be a valid integer" in str(refused)


def test_what_would_not_arrive_as_it_is() -> None:
    class Dog(Line):
        name: str

    class Secret(BaseModel):
        word: SecretStr

    def lines(lines: list[Line]) -> None: ...
    def secret(secret: Secret) -> None: ...
    def any_of(value: Any) -> None: ...
    def order(order: Order) -> None: ...

    secret.__annotations__["secret"] = Secret
    assert "Dog" in str(refusal(lines, [Dog(price=Decimal(1), name="Rex")]))
    assert refusal(secret, Secret(word=SecretStr("x"))).argument == "secret"
    assert "annotate it as value: " in str(refusal(any_of, ORDER))
    assert "would become" in str(refusal(order, {"id": 7, "lines": []}))


def test_a_model_in_a_union_with_another_is_refused_where_it_is_declared() -> None:
    def task(one: Order | Line) -> None: ...

    with pytest.raises(TypeError, match=r"argument 'one' .* in a union with None alone"):
        Payload("task", task)


def test_a_stored_call_that_fits_no_more() -> None:
    def task(even: Even) -> None: ...

    payload = Payload("task", task)
    with pytest.raises(ArgumentsUnfit, match="Even: number: Value error, must be even") as unfit:
        payload.decode('{"even":{"number":3}}')
    assert unfit.value.argument == "even"
    with pytest.raises(PayloadRefused, match="must be even"):
        payload.from_json('{"even":{"number":3}}')


def test_a_result_that_is_not_what_was_promised() -> None:
    def task() -> Order: ...
    def untyped(): ...  # type: ignore[no-untyped-def]

    with pytest.warns(UserWarning, match="serializ"), pytest.raises(ResultUnfit):
        Payload("task", task).encode_result(Order.model_construct(id="x", lines=[]))
    with pytest.raises(ResultUnfit, match="annotate it as -> "):
        Payload("task", untyped).encode_result(ORDER)


def test_the_error_of_a_model_is_one_that_pydantic_raises() -> None:
    with pytest.raises(ValidationError):
        Line(price="much")  # type: ignore[arg-type]


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", ["thread", "process", "async"])
def test_a_job_takes_and_returns_models(queue: Queue, kind: str) -> None:
    handle = app.total.enqueue({"a": [app.Item(price=3, count=2), app.Item(price=1)]})
    with Working(queue, kind=kind):
        assert handle.result(WAIT) == app.Item(price=7)


def test_the_queue_does_not_need_pydantic() -> None:
    program = "import steadypool.durable.client.payload, sys; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
