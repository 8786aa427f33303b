"""Whether a value that has come back from JSON is what it was: equal, and of the same types all the way down."""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, time, timedelta, timezone
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, is_typeddict

from steadypool.durable.client import models

PLAIN = frozenset({str, int, float, bool, NoneType})
"""Types whose values have nothing inside."""
_SURE: frozenset[type] = frozenset({str, int, bool, NoneType})
"""Types that JSON has as Python has them. Not float: it has no NaN."""
_NOWHERE = object()
_CONTAINERS = ("builtins", "collections.abc")
"""Where the generic types are that JSON's arrays and objects are read as."""
_FLAT_FORMAT = 2
"""The version of `marshal` that writes equal values alike, with no references between them."""


def sure_types(hint: Any) -> frozenset[type]:
    """The types whose values cannot but come back as they were, when read by *hint*."""
    if hint is Any:
        return _SURE
    if hint == Union[int, float]:  # noqa: UP007
        return frozenset({int, float})  # NaN is written as null, which is no float
    if isinstance(hint, UnionType) or getattr(hint, "__origin__", None) is Union:
        inner = frozenset(hint.__args__)
        return inner if inner <= _SURE else frozenset()
    return frozenset({hint}) if hint in (str, int, bool, None, NoneType) else frozenset()


def has_json_alone(hint: Any) -> bool:
    """Whether what is read by *hint* can only be of the types of JSON itself."""
    if hint in (Any, list, dict, float, *_SURE):
        return True
    origin = Union if isinstance(hint, UnionType) else getattr(hint, "__origin__", None)
    return origin in (list, dict, Union) and all(map(has_json_alone, hint.__args__))


def is_same_json(read: Any, given: Any) -> bool:
    """`is_same`, much faster for large values, if *read* is of the types of JSON alone."""
    try:
        return marshal.dumps(read, _FLAT_FORMAT) == marshal.dumps(given, _FLAT_FORMAT)
    except ValueError:
        return is_same(read, given)  # of another type, or very deep


def is_same(read: object, given: object) -> bool:
    """Whether *read* is as good as *given*. Not recursive: what is given may be deep."""
    pairs = [(read, given)]
    while pairs:
        one, other = pairs.pop()
        if type(one) is not type(other):
            return False
        inside = _inside(one, other)
        if inside is None:
            return False
        pairs += inside
    return True


def _inside(one: Any, other: Any) -> Iterable[tuple[Any, Any]] | None:
    """What is left to be compared of two values of one type; ``None`` if they differ."""
    kind = type(other)
    if kind in PLAIN:
        return () if one == other else None
    if isinstance(other, (datetime, time)):
        return () if one == other and _keeps_zone(one, other) else None
    if isinstance(other, (list, tuple)):
        return _pairs(one, other)
    if isinstance(other, dict):
        keys, values = _pairs(list(one), list(other)), _pairs(list(one.values()), list(other.values()))
        return None if keys is None or values is None else [*keys, *values]
    if isinstance(other, (set, frozenset)):
        found = {item: item for item in one}
        return [(found[item], item) for item in other] if one == other else None
    if isinstance(other, Enum):
        return () if one is other else None
    if models.is_model(kind):
        return models.pairs(one, other)
    names = _field_names(other)
    if names is None:
        return () if one == other else None
    return [(getattr(one, name, None), getattr(other, name, None)) for name in names]


def _pairs(one: Any, other: Any) -> Iterable[tuple[Any, Any]] | None:
    if len(one) != len(other):
        return None
    if set(map(type, other)) <= PLAIN:  # in C, for long ones
        return () if one == other and list(map(type, one)) == list(map(type, other)) else None
    return zip(one, other, strict=True)


def _keeps_zone(one: datetime | time, other: datetime | time) -> bool:
    """A moment's distance from UTC is stored; the rules of a zone, by which that changes over the year, are not.

    Nor is which of the two that one has when clocks are put back.
    """
    if one.fold != other.fold:
        return False
    zone = other.tzinfo
    if zone is one.tzinfo:
        return True
    if not isinstance(zone, timezone) and not (other.tzname() == "UTC" and other.utcoffset() == timedelta()):
        return False
    return one.utcoffset() == other.utcoffset()


def _field_names(value: Any) -> Iterable[str] | None:
    if is_dataclass(value):
        return [field.name for field in fields(value)]
    names: Iterable[str] | None = getattr(value, "__struct_fields__", None)
    if names is None and (attributes := getattr(type(value), "__attrs_attrs__", None)) is not None:
        names = [attribute.name for attribute in attributes]
    return names


def has_fields(hint: Any) -> bool:
    """Whether *hint* names a class with fields, of which an earlier version may have had fewer."""
    if (
        is_dataclass(hint)
        or is_typeddict(hint)
        or hasattr(hint, "__struct_fields__")
        or hasattr(hint, "__attrs_attrs__")
    ):
        return True
    return any(map(has_fields, getattr(hint, "__args__", ())))


def lost_field(given: Any, read: Any, path: str) -> str | None:
    """The path of a field of *given*, as JSON has it, that was passed over when it was read; ``None`` if none was."""
    for name, value, kept in _parts(given, read):
        inside = path if name is None else f"{path}.{name}"
        lost = inside if kept is _NOWHERE else lost_field(value, kept, inside)
        if lost is not None:
            return lost
    return None


def _parts(given: Any, read: Any) -> Iterable[tuple[str | None, Any, Any]]:
    """What is inside of a value: its name, as JSON has it, and as it was read. A model itself says what it takes."""
    if isinstance(given, list) and isinstance(read, (list, tuple)) and len(given) == len(read):
        return ((None, *pair) for pair in zip(given, read, strict=True))
    if not isinstance(given, dict) or models.is_model(type(read)):
        return ()
    if isinstance(read, dict):
        if len(given) == len(read):  # keys may be of another type than JSON's
            return ((name, value, kept) for (name, value), kept in zip(given.items(), read.values(), strict=True))
        return ((name, value, read.get(name, _NOWHERE)) for name, value in given.items())
    fields = _encoded_names(read)
    return (
        (name, value, getattr(read, fields[name], None) if name in fields else _NOWHERE)
        for name, value in given.items()
    )


def _encoded_names(value: Any) -> dict[str, str]:
    """The names of an object's fields in JSON, and as attributes."""
    names = list(_field_names(value) or ())
    encoded = getattr(value, "__struct_encode_fields__", names)
    config = getattr(value, "__struct_config__", None)
    tag = {} if config is None or config.tag is None else {config.tag_field: "__class__"}
    return {**tag, **dict(zip(encoded, names, strict=True))}


def hint_for(value: Any) -> Any:
    """The annotation that says what *value* is: ``dict[str, tuple[int, ...]]``."""
    kind: Any = type(value)
    if kind is tuple:
        return kind[tuple(map(hint_for, value))] if value else kind
    if kind in (list, set, frozenset) and value:
        return kind[_union(value)]
    if kind is dict and value:
        return kind[_union(value), _union(value.values())]
    return kind


def _union(values: Iterable[object]) -> Any:
    return Union[tuple(dict.fromkeys(map(hint_for, values)))]  # noqa: UP007


def as_it_was(hint: Any) -> Any:
    """*hint* with ``int | float`` for each ``float``: who passes 5 where a float is wanted gets 5, and not 5.0.

    And with ``Any`` for ``object``, which is how some write it.
    """
    if hint is float:
        return Union[int, float]  # noqa: UP007
    if hint is object:
        return Any
    origin: Any = Union if isinstance(hint, UnionType) else getattr(hint, "__origin__", None)
    inner: Any = getattr(hint, "__args__", None)
    if hasattr(hint, "__metadata__"):
        if origin is float:
            return Union[Annotated[int, *hint.__metadata__], hint]  # noqa: UP007
        return Annotated[as_it_was(origin), *hint.__metadata__]
    if origin is Union:
        return Union[tuple(map(as_it_was, inner))]  # noqa: UP007
    kind: Any = origin if isinstance(origin, type) and origin.__module__ in _CONTAINERS else None
    if not inner or kind is None:
        return hint
    if issubclass(kind, Mapping):
        return kind[inner[0], as_it_was(inner[1])]
    return kind[tuple(map(as_it_was, inner))]
