"""Arguments as reports show them: short whatever they are, and never in the way."""

from __future__ import annotations

from typing import Any

import pytest

from steadypool.primitives.arguments import MAX_TEXT, arguments_text


class Rude:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise SystemExit(1)


def shown(*args: Any, **kwargs: Any) -> str:
    return arguments_text(True, "t", args, kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((), {}, "()"),
        ((1, "a"), {"b": None}, "(1, 'a', b=None)"),
        (({"b": 1, "a": [1, 2]},), {}, "({'b': 1, 'a': [1, 2]})"),
        (({1: {2: {3: {4: {5: {6: {7: 8}}}}}}},), {}, "({1: {2: {3: {4: {5: {6: {...}}}}}}})"),
        ((b"abc", bytearray(b"d")), {}, "(b'abc', bytearray(b'd'))"),
        ((Rude(),), {}, "(<repr() of an argument raised SystemExit>)"),
    ],
)
def test_as_in_a_call(args: Any, kwargs: Any, expected: str) -> None:
    assert shown(*args, **kwargs) == expected


def test_what_is_big_is_not_looked_at_as_a_whole() -> None:
    assert shown(b"x" * 10**8).endswith("... (100000000 bytes))")
    assert len(shown(bytearray(10**8))) < 300
    assert len(shown("x" * 10**6, list(range(10**6)), {n: n for n in range(10**5)}, *range(100))) <= MAX_TEXT
    assert len(shown(**{f"name_{n}": "x" * 100 for n in range(100)})) <= MAX_TEXT
    assert shown(*range(11)) == f"({', '.join(map(str, range(10)))}, ...)"


def test_redacted_or_left_out() -> None:
    assert arguments_text(False, "t", (1,), {}) == ""
    assert arguments_text(lambda *given: str(given), "t", (1,), {"a": 2}) == "('t', (1,), {'a': 2})"
    assert len(arguments_text(lambda *_: "x" * 10_000, "t", (), {})) <= MAX_TEXT
    assert arguments_text(lambda *_: str(1 // 0), "t", (), {}) == "(<show_arguments raised ZeroDivisionError>)"
