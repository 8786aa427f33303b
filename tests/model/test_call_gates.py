"""The gates and lanes of calls: which calls are counted together."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadypool import Limit
from steadypool.model.call_gates import CallGates, Gate
from steadypool.model.call_key import MOST_BYTES, bounded, text_of
from steadypool.model.limit import FixedLane, as_limits, check_lane, lane_of_options


def sync(tenant: int, region: str = "eu", *, full: bool = False) -> None:
    """A task."""


def key(by: Any, *args: Any, fn: Callable[..., Any] = sync, **kwargs: Any) -> str:
    [gate] = CallGates(fn, "app.sync", [Limit(running=1, by=by)], None).of(args, kwargs).gates
    assert gate.name == "app.sync"
    return gate.key


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


def test_what_is_passed_by_place_or_name_or_default_has_one_key() -> None:
    assert key("tenant", 42) == key("tenant", tenant=42) == "42"
    assert key("region", 1) == key("region", 1, "eu") == "eu"
    assert key(("tenant", "region"), 1) == '["1","eu"]'
    assert key(lambda tenant, region, full: f"{tenant}/{full}", 1) == "1/False"  # type: ignore[misc]
    assert key(None, 42) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (7, "7"),
        (True, "True"),
        (None, "None"),
        (1.5, "1.5"),
        (Color.RED, "red"),
        (Level.HIGH, "3"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (b"\x01\xff", "01ff"),
        (("a", 1, ["b"]), '["a","1","[\\"b\\"]"]'),
    ],
)
def test_texts_of_values(value: object, text: str) -> None:
    assert text_of(value) == text


def test_a_value_whose_text_may_differ_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Limit\(by\)='tenant' of app.sync is <object.*give a function"):
        key("tenant", object())
    with pytest.raises(TypeError, match="gave"):
        key(lambda tenant, region, full: {tenant}, 1)  # type: ignore[misc]


@given(st.text(max_size=300))
def test_a_key_is_short_and_can_be_stored(text: str) -> None:
    found = bounded(text)
    assert len(found.encode()) <= 160 and "\0" not in found
    assert found == text or len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES or "\0" in text


@given(st.lists(st.text(max_size=3), min_size=2, max_size=2), st.lists(st.text(max_size=3), min_size=2, max_size=2))
def test_two_values_never_run_into_each_other(first: list[str], second: list[str]) -> None:
    assert (text_of(first) == text_of(second)) == (first == second)


def test_long_keys_and_halves_of_surrogates_stay_apart() -> None:
    assert bounded("a" * 500) != bounded("a" * 501)
    assert bounded("\ud800") != bounded("\ud801") and bounded("\ud800").isascii()


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("tenent", "did you mean 'tenant'"),
        (("tenant", "x"), "it has tenant, region, full"),
        (lambda a: a, "is called with all arguments of"),
    ],
)
def test_what_does_not_fit_the_function_is_refused_at_once(by: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        key(by, 1)
    with pytest.raises(TypeError, match=words):
        CallGates(sync, "app.sync", [], by)


def test_a_function_without_a_signature_takes_a_function() -> None:
    with pytest.raises(TypeError, match="has no signature"):
        key("x", 1, fn=max)
    assert key(lambda x: x % 2, 7, fn=max) == "1"


def test_gates_are_in_the_order_of_their_names() -> None:
    limits = [Limit("stripe", running=5), Limit("account", running=1, by="tenant"), Limit(starts=1, per=1)]
    call = CallGates(sync, "app.sync", limits, "region").of((42,), {})
    assert call.gates == (Gate("account", "42"), Gate("app.sync", ""), Gate("stripe", ""))
    assert [limit.name for limit in call.limits] == ["account", None, "stripe"]
    assert call.lane == "eu"


def test_two_limits_of_one_task_need_two_names() -> None:
    with pytest.raises(ValueError, match=r"2 limits of the name .app\.sync."):
        CallGates(sync, "app.sync", [Limit(running=1), Limit(running=2, by="tenant")], None)


def test_a_limit_of_two_tasks_needs_a_name() -> None:
    limit = Limit(running=1)
    CallGates(sync, "app.sync", [limit], None)
    CallGates(sync, "renamed", [limit], None)
    with pytest.raises(ValueError, match=r"app\.sync and app\.other have one Limit without a name"):
        CallGates(text_of, "app.other", [limit], None)


def test_in_options_a_text_is_the_lane_itself() -> None:
    assert lane_of_options("tenant") == FixedLane("tenant")
    assert lane_of_options(("tenant",)) == ("tenant",) and lane_of_options(None) is None
    assert CallGates(sync, "app.sync", [], FixedLane("tenant:42")).of((1,), {}).lane == "tenant:42"
    with pytest.raises(TypeError, match="lane must be"):
        lane_of_options("")
    with pytest.raises(TypeError, match="lane must be"):
        check_lane(5)


def test_limits_come_alone_or_in_a_list() -> None:
    limit = Limit(running=1)
    assert as_limits(limit) == as_limits([limit]) == (limit,) and as_limits(None) == ()
    with pytest.raises(TypeError, match="limit must be a Limit"):
        as_limits(5)
