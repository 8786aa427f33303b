"""A `Retry` that was chosen for one call, as it travels with the job.

Its classes travel as names. They are not imported from there: write access to the table must not allow code execution.
An error is compared with them by the names of its own classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from steadypool.model.options import ExceptionTypes, Retry

_CLASSES = ("on", "give_up_on")


def to_plain(retry: Retry | None) -> dict[str, Any] | None:
    """The rule as JSON carries it."""
    if retry is None:
        return None
    plain = {field.name: getattr(retry, field.name) for field in fields(retry)}
    return {**plain, **{name: _names(plain[name]) for name in _CLASSES}}


def for_error(plain: Mapping[str, Any] | None, error: BaseException) -> Retry | None:
    """The rule again, as far as it matters for *error*: it names those of the error's classes that it named."""
    if plain is None:
        return None
    named = {name: tuple(cls for cls in type(error).__mro__ if _name(cls) in plain[name]) for name in _CLASSES}
    return Retry(**{**plain, **named})


def _names(types: ExceptionTypes) -> list[str]:
    return [_name(cls) for cls in (types if isinstance(types, tuple) else (types,))]


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
