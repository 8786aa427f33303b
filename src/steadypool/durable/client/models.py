"""Models: classes that say themselves what they are as JSON, such as pydantic's. No library of them is imported.

A model is a class with ``model_validate`` and ``model_dump``. Fields are stored by their names, not by their aliases,
if the class can read them so again (pydantic from 2.11 on).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec


def is_model(kind: Any) -> bool:
    """Whether *kind* is the class of a model."""
    return isinstance(kind, type) and hasattr(kind, "model_validate") and hasattr(kind, "model_dump")


def encode(value: Any) -> Any:
    """What msgspec is to encode instead of *value*.

    Raises:
        TypeError: it is no model.
    """
    kind: Any = type(value)
    if not is_model(kind):
        raise TypeError(f"Encoding objects of type {kind.__qualname__} is unsupported")
    return value.model_dump(**_how(kind)[1])


def decode(kind: Any, value: Any) -> Any:
    """The instance of *kind* that msgspec has read as *value*, as far as it can.

    Raises:
        ValueError: a model refuses it; the fields are named.
    """
    if not is_model(kind):
        return value  # msgspec looks whether it is one of that kind
    read, _, by_name = _how(kind)
    try:
        return read(msgspec.json.encode(value) if hasattr(kind, "model_validate_json") else value, **by_name)
    except ValueError as error:
        raise ValueError(f"{kind.__qualname__}: {_told(error)}") from error


def pairs(one: Any, other: Any) -> Iterable[tuple[Any, Any]]:
    """What two models of one class have in each field, and besides."""
    names: Mapping[str, Any] = getattr(type(other), "model_fields", None) or vars(other)
    return [(getattr(one, name, None), getattr(other, name, None)) for name in (*names, "model_extra")]


@lru_cache(maxsize=1000)
def _how(kind: Any) -> tuple[Callable[..., Any], Mapping[str, Any], Mapping[str, Any]]:
    """What reads a model of that class, and the keywords with which it is written, and read."""
    # From JSON, where the class has that: a strict model takes a text for a moment there, and there alone.
    read: Callable[..., Any] = getattr(kind, "model_validate_json", kind.model_validate)
    by_name = _taken_by(read, {"by_alias": True, "by_name": True})
    by_alias = {} if "by_name" in by_name else {"by_alias": True}
    return read, _taken_by(kind.model_dump, {"mode": "json", "round_trip": True, **by_alias}), by_name


def _taken_by(fn: Callable[..., Any], keywords: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those keywords that the function has, or passes on."""
    parameters = inspect.signature(fn).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return keywords
    return {name: value for name, value in keywords.items() if name in parameters}


def _told(error: ValueError) -> str:
    """The error in a line; pydantic's has one for each field."""
    try:
        found: list[Mapping[str, Any]] = error.errors()  # type: ignore[attr-defined]
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
    except Exception:  # another library's, or none of that kind
        return str(error)
