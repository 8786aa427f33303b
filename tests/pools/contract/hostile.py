"""Exceptions whose classes get in the way of whoever looks at them, and jobs that raise them."""

from __future__ import annotations

from typing import Any


def refuse(*args: Any) -> Any:
    raise RuntimeError("not for you")


REPLACED = ("__class__", "__getattribute__", "__dict__", "__cause__", "__context__", "__suppress_context__")
REPLACED += ("__traceback__", "__notes__", "args", "__setattr__")
CALLED = ("__getattribute__", "__setattr__")


def make(name: str) -> type[Exception]:
    """A class that has replaced this attribute."""
    own: Any = refuse if name in CALLED else property(refuse)
    return type("Hostile", (Exception,), {name: own, "__module__": __name__})


def raise_it(name: str) -> None:
    raise make(name)("text")


def raise_from_it(name: str) -> None:
    raise LookupError("outer") from make(name)("text")


def raise_after_it(name: str) -> None:
    try:
        raise make(name)("text")
    except BaseException:
        raise LookupError("outer")  # noqa: B904


def raise_in_a_group(name: str) -> None:
    raise ExceptionGroup("group", [make(name)("text")])
