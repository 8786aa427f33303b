"""What an exception is called and says, for sinks. Its own methods are the user's, and may raise."""

from __future__ import annotations

import traceback

from steadypool.model.errors import RemoteError

LONGEST = 300
"""Characters of a message: the whole of it is in the traceback."""


def type_of(error: BaseException) -> str:
    """``module.Class``, without the module for built-in ones; the original's for one that stands in for it."""
    if isinstance(error, RemoteError) and error.type_name:
        return error.type_name
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def message_of(error: BaseException) -> str:
    """The first line of its message."""
    try:
        return str(error).partition("\n")[0][:LONGEST]
    except Exception as broken:
        return f"<str() of the exception raised {type(broken).__name__}>"


def traceback_of(error: BaseException) -> str:
    """The traceback as text."""
    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except Exception as broken:
        return f"{type_of(error)}: <formatting the exception raised {type(broken).__name__}>"
