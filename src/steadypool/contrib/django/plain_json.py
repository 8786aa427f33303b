"""Values as JSON has them, by the framework's own rules."""

from __future__ import annotations

from typing import Any

from steadypool.contrib.django.framework import normalize_json


def plain(value: Any) -> Any:
    """What *value* is as JSON: a tuple is a list, bytes are text, and a text marked as safe is a text.

    Raises:
        TypeError, ValueError: JSON cannot carry it.
    """
    return _exact(normalize_json(value))


def _exact(value: Any) -> Any:
    """The same of the types themselves, and not of subclasses: so it comes back from the store."""
    if type(value) in (str, int, float, bool, type(None)):
        return value
    if isinstance(value, dict):
        return {_exact(key): _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    if isinstance(value, str):
        return str.__str__(value)
    return int(value) if isinstance(value, int) else float(value)
