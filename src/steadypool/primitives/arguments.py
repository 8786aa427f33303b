"""A job's arguments as they would stand in a call, for reports: shortened, redacted, or left out."""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Callable
from typing import Any

from steadypool.model.error_text import PLAIN

Show = bool | Callable[[str, tuple[Any, ...], dict[str, Any]], str]
"""Whether reports show arguments; or what they show, as a function of the task's name, ``args`` and ``kwargs``."""

MOST = 10
"""Arguments of each kind that are shown."""
LENGTH = 80
"""Characters of one argument."""
MAX_TEXT = 400
"""Characters of all arguments."""


class _Short(reprlib.Repr):
    """Looks only at as much of a value as it shows. `reprlib` itself writes bytes out and sorts a dict first."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = LENGTH

    def repr_bytes(self, value: bytes, level: int) -> str:
        """The first bytes, and how many there are."""
        return repr(value) if len(value) <= LENGTH // 2 else f"{value[: LENGTH // 2]!r}... ({len(value)} bytes)"

    def repr_bytearray(self, value: bytearray, level: int) -> str:
        """As bytes."""
        return f"bytearray({self.repr_bytes(bytes(value[: LENGTH // 2 + 1]), level)})"

    def repr_dict(self, value: dict[Any, Any], level: int) -> str:
        """The first items, in their order."""
        if not value or level <= 0:
            return "{...}" if value else "{}"
        items = itertools.islice(value.items(), self.maxdict)
        parts = [f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in items]
        return f"{{{', '.join(parts)}{', ...' if len(value) > self.maxdict else ''}}}"


_short = _Short()


def arguments_text(show: Show, task: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """What reports say of the arguments. Never raises, though a ``__repr__``, or *show* itself, may."""
    if show is False:
        return ""
    try:
        text = _call_text(args, kwargs) if show is True else str(show(task, args, kwargs))
    except BaseException as broken:
        what = "repr() of an argument" if show is True else "show_arguments"
        return f"(<{what} raised {type(broken).__name__}>)"
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 4]}...)"


def is_quickly_shown(show: Show, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether `arguments_text` runs no code of the user's, which might take its time."""
    return show is False or (show is True and all(type(value) in PLAIN for value in (*args, *kwargs.values())))


def plain_text(show: Show, args: tuple[Any, ...] | None, kwargs: dict[str, Any] | None) -> str:
    """The same where no code of the user's may run: of what is no plain value, the type. Empty for a job that has
    forgotten what it was made of."""
    if show is False or args is None or kwargs is None:
        return ""
    if show is not True:
        return "(<not shown here, since show_arguments is a function>)"
    parts = [_plain(arg) for arg in args[:MOST]]
    parts += [f"{name}={_plain(value)}" for name, value in itertools.islice(kwargs.items(), MOST)]
    parts += ["..."] if len(args) > MOST or len(kwargs) > MOST else []
    text = f"({', '.join(parts)})"
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 4]}...)"


def _plain(value: Any) -> str:
    kind = type(value)
    members: list[Any] = []
    if kind in (list, tuple, set, frozenset):
        members = list(itertools.islice(value, MOST))
    elif kind is dict:
        members = list(itertools.chain.from_iterable(itertools.islice(value.items(), MOST)))
    elif kind not in PLAIN:
        return f"<{kind.__qualname__}>"
    return _short.repr(value) if all(type(member) in PLAIN for member in members) else f"<{kind.__qualname__}>"


def _call_text(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    parts = [_short.repr(arg) for arg in args[:MOST]]
    parts += [f"{name}={_short.repr(value)}" for name, value in itertools.islice(kwargs.items(), MOST)]
    parts += ["..."] if len(args) > MOST or len(kwargs) > MOST else []
    return f"({', '.join(parts)})"
