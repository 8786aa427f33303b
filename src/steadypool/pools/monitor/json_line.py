"""Records as JSON, whatever stands in their texts."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def as_json(record: object) -> bytes:
    """One line of JSON. Texts that are no proper Unicode, such as names of files may be, get backslashes for it."""
    # Not above: only a program that is watched pays for it.
    msgspec: Any = import_module("msgspec")
    try:
        line: bytes = msgspec.json.encode(record)
    except UnicodeEncodeError:
        line = msgspec.json.encode(_proper(msgspec.to_builtins(record)))
    return line


def _proper(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_proper(key): _proper(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_proper(inner) for inner in value]
    return value
