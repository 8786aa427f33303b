"""Exceptions whose class has replaced what Python asks of every exception: ``__cause__``, ``__class__`` and so on.

A look at such an exception runs code of its author's, which may raise or hang, on the thread that is to settle its job.
A `RemoteError` stands in for it, made without that code.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from types import GetSetDescriptorType, MemberDescriptorType, TracebackType, WrapperDescriptorType
from typing import cast

from steadypool.model.error_text import type_name
from steadypool.model.errors import RemoteError

ASKED_FOR = (
    *("__class__", "__getattribute__", "__dict__", "__cause__", "__context__"),
    *("__suppress_context__", "__traceback__", "__notes__"),
)
BY_PYTHON = (GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType)
MOST_LINKS = 50
NOT_ASKED = "its class has replaced what Python asks of an exception, and is not asked"


def trace_of(error: BaseException) -> TracebackType | None:
    """The exception's traceback, whatever its class says."""
    return cast("TracebackType | None", _raw(error, "__traceback__"))


def tamed(error: BaseException, text_of: Callable[[BaseException], str] = lambda error: NOT_ASKED) -> BaseException:
    """The exception, or a stand-in with what *text_of* says; a cause in its chain is replaced alike."""
    if not _is_tame(error):
        return _stand_in(error, text_of)
    link = error
    for _ in range(MOST_LINKS):
        name = "__cause__" if link.__cause__ is not None else "__context__"
        following = getattr(link, name)
        if following is None:
            break
        if not _is_tame(following):
            hides = link.__suppress_context__
            setattr(link, name, _stand_in(following, text_of))
            link.__suppress_context__ = hides
            break
        link = following
    return error


def _is_tame(error: BaseException) -> bool:
    cls = type(error)
    for base in cls.__mro__:
        own = vars(base)
        if any(name in own and type(own[name]) not in BY_PYTHON for name in ASKED_FOR):
            return False
    return not issubclass(cls, BaseExceptionGroup) or all(map(_is_tame, error.exceptions))  # type: ignore[attr-defined]


def _stand_in(error: BaseException, text_of: Callable[[BaseException], str]) -> RemoteError:
    name, text, trace = type_name(error), text_of(error), trace_of(error)
    lines = ["Traceback (most recent call last):\n", *traceback.format_tb(trace), f"{name}: {text}\n"]
    stand_in = RemoteError(f"{name}: {text}", type_name=name, text=text, traceback="".join(lines))
    return stand_in.with_traceback(trace)


def _raw(error: BaseException, name: str) -> object:
    found: object = vars(BaseException)[name].__get__(error)
    return found
