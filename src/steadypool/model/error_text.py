"""An exception as text: its name, message, place and traceback.

An exception's own methods are the user's: they may raise, or take their time. Nothing here raises. What may run code of
the user's says so; `is_quickly_described` tells whether it would.
"""

from __future__ import annotations

import os
import traceback
from types import TracebackType, WrapperDescriptorType

from steadypool.model.errors import RemoteError

MAX_TEXT = 20_000
"""Characters of a traceback."""
MAX_LINE = 300
"""Characters of a message's first line: the whole of it is in the traceback."""
MAX_CAUSES = 30
PLAIN = frozenset({str, bytes, int, float, complex, bool, type(None)})
"""Types whose values are shown without any code of the user's."""


def type_name(error: BaseException) -> str:
    """``module.Class``, without the module for built-in ones; the original's for one that stands in for it.

    Our own are all named ``steadypool.Class``, where the public ones are imported from.
    """
    cls = type(error)  # not isinstance: an exception may say anything of its class
    if issubclass(cls, RemoteError) and error.type_name:  # type: ignore[attr-defined]
        return error.type_name  # type: ignore[attr-defined, no-any-return]
    try:
        module, name = cls.__module__, cls.__qualname__
        if module == "builtins":
            return name
        return f"steadypool.{name}" if module.startswith("steadypool.") else f"{module}.{name}"
    except BaseException:  # a class may have anything there, and a metaclass that raises
        return str(type.__dict__["__name__"].__get__(cls))


def message(error: BaseException) -> str:
    """Its whole message. May run code of the user's."""
    try:
        return str(error)
    except BaseException as broken:  # SystemExit included: it is not for the pool
        return f"<str() of the exception raised {type(broken).__name__}>"


def first_line(error: BaseException) -> str:
    """The message's first line, shortened. May run code of the user's."""
    # By the method of `str` itself: the text may be of a class that has others.
    return str.split(message(error), "\n", 1)[0][:MAX_LINE]


def in_a_line(error: BaseException) -> str:
    """Its name and the first line of its message. May run code of the user's."""
    return f"{type_name(error)}: {first_line(error)}"


def described(error: BaseException) -> tuple[str, str]:
    """Its traceback, shortened, and its message. May run code of the user's."""
    return shortened(traceback_text(error)), first_line(error)


def is_quickly_described(error: BaseException | None) -> bool:
    """Whether `described` runs no code of the user's, which might take its time."""
    for _ in range(MAX_CAUSES):
        if error is None:
            return True
        if not _says_itself(error):
            return False
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def _says_itself(error: BaseException) -> bool:
    cls = type(error)
    if type(cls) is not type or isinstance(error, BaseExceptionGroup):
        return False
    module: object = cls.__module__  # a class may say anything there
    if not isinstance(module, str):
        return False
    if module.startswith("steadypool."):
        return True
    by_python = type(cls.__str__) is WrapperDescriptorType and type(cls.__repr__) is WrapperDescriptorType
    return by_python and all(type(value) in PLAIN for value in error.args)


def where_raised(error: BaseException) -> str:
    """``file:line in function`` of the line that raised, or of the stack that the error carries."""
    known = _carried_where(error)
    if known is not None:
        return known
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return place(code.co_filename, trace.tb_lineno, code.co_name)


def _carried_where(error: BaseException | None) -> str | None:
    """Where it was raised, if that came with it or with a cause of it from another process."""
    for _ in range(MAX_CAUSES):
        if error is None:
            return None
        # Not getattr: an exception's own ``__getattr__`` may do anything.
        known = error.__dict__.get("steadypool_where")
        if isinstance(known, str):
            return known
        if error.__traceback__ is not None:
            return None
        error = error.__cause__
    return None


def place(filename: str, line: int | None, function: str) -> str:
    """How a place in the code is written in reports; the file's last two parts are enough to find it."""
    short = os.sep.join(filename.split(os.sep)[-2:])
    return f"{short}:{line} in {function}"


def traceback_text(error: BaseException) -> str:
    """The whole traceback. May run code of the user's."""
    return traceback_from(error, error.__traceback__)


def traceback_from(error: BaseException, frames: TracebackType | None) -> str:
    """The traceback with *frames* alone. May run code of the user's."""
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException as broken:
        return f"{type_name(error)}: <formatting the exception raised {type(broken).__name__}>\n"


def plain_traceback(error: BaseException) -> str:
    """The same, but nothing below the lines says which part of them raised, and causes are left out."""
    rows = [(f.f_code.co_filename, line, f.f_code.co_name) for f, line in traceback.walk_tb(error.__traceback__)]
    frames = [traceback.FrameSummary(file, line or 0, name) for file, line, name in rows]
    try:
        lines = [*traceback.format_list(frames), *traceback.format_exception_only(error)]
    except BaseException as broken:
        return f"{type_name(error)}: <formatting the exception raised {type(broken).__name__}>\n"
    return "Traceback (most recent call last):\n" + "".join(lines)


def shortened(text: str, most: int = MAX_TEXT) -> str:
    """Its beginning and its end, where it is longer."""
    return text if len(text) <= most else f"{text[: most // 2]}\n...\n{text[-most // 2 :]}"
