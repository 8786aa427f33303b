"""The key of a call: a text made from its arguments, under which a limit counts it, or a lane has it wait.

The same arguments give the same text in every process and release, since it is stored and compared: an argument whose
text may differ is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from enum import Enum
from typing import TYPE_CHECKING, Any

from steadypool.model.limit import By

if TYPE_CHECKING:
    from inspect import BoundArguments, Signature

MOST_BYTES = 100
"""A longer text is cut, and ends with a digest that tells it from others."""
_KEPT = 24
"""Characters that are kept of a longer one."""


class CallKey:
    """Makes the keys of one function's calls."""

    def __init__(self, what: str, by: By, signature: Signature | None, task: str) -> None:
        """*what* is the option in messages, and *signature* that of the function; ``None`` if it has none.

        Raises:
            TypeError: calls of that function have no such argument.
        """
        self._what = what
        self._by = by
        self._task = task
        if callable(by):
            _check_takes(what, by, signature, task)
        elif signature is None:
            raise TypeError(f"{what}={by!r}: {task} has no signature; give a function of its arguments, as lambda x: x")
        else:
            for name in (by,) if isinstance(by, str) else by:
                _check_named(what, name, signature, task)

    def of(self, call: BoundArguments | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """The key of a call: *call* has its arguments by name, if the function has a signature.

        Raises:
            TypeError: an argument has no text that stays the same.
            Exception: what a function given as ``by`` raises.
        """
        by = self._by
        if callable(by):
            value = by(*args, **kwargs) if call is None else by(*call.args, **call.kwargs)
            return self._text(value, "gave")
        assert call is not None
        if isinstance(by, str):
            return self._text(call.arguments[by], "is")
        return self._text(tuple(call.arguments[name] for name in by), "are")

    def _text(self, value: object, verb: str) -> str:
        try:
            return bounded(text_of(value))
        except TypeError:
            shown = getattr(self._by, "__qualname__", self._by)
            raise TypeError(
                f"{self._what}={shown!r} of {self._task} {verb} {value!r:.200}, which has no text that stays the same: "
                "a key is made from texts, numbers, dates, enums and UUIDs; give a function, as lambda order: order.id"
            ) from None


def signature_of(fn: Callable[..., Any]) -> Signature | None:
    """The signature of *fn*; ``None`` for a function in C that has none."""
    import inspect  # for those who use it

    try:
        return inspect.signature(fn)
    except ValueError:
        return None


def call_of(signature: Signature | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> BoundArguments | None:
    """The arguments of a call by name, with the defaults of those that were not given.

    Raises:
        TypeError: the function cannot be called like this.
    """
    if signature is None:
        return None
    call = signature.bind(*args, **kwargs)
    call.apply_defaults()
    return call


def text_of(value: object) -> str:
    """The text of one value, or of several.

    Raises:
        TypeError: it has none that is the same everywhere.
    """
    if isinstance(value, Enum):
        return text_of(value.value)
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, (tuple, list)):
        return json.dumps([text_of(one) for one in value], ensure_ascii=False, separators=(",", ":"))
    return _text_of_number(value)


def _text_of_number(value: object) -> str:
    if isinstance(value, int):
        return int.__repr__(value)
    # Not above: who uses texts and whole numbers does not pay for them.
    import numbers
    from decimal import Decimal
    from uuid import UUID

    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value))
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    raise TypeError


def bounded(text: str) -> str:
    """The text itself if it is short and any store can keep it; otherwise its beginning, and a hash of the whole."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        size = MOST_BYTES + 1
    if size <= MOST_BYTES and "\0" not in text:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    kept = "".join(char for char in text[:_KEPT] if char.isprintable())
    return f"{kept}~{digest}"


def _check_named(what: str, name: str, signature: Signature, task: str) -> None:
    if name in signature.parameters:
        return
    import difflib  # for a mistake alone

    near = difflib.get_close_matches(name, signature.parameters, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(signature.parameters) or 'none'}"
    raise TypeError(f"{what}={name!r}: {task}{signature} has no such parameter: {hint}")


def _check_takes(what: str, by: Callable[..., Any], signature: Signature | None, task: str) -> None:
    """Raise `TypeError` if *by* cannot be called as the function is."""
    own = signature_of(by)
    if own is None or signature is None:
        return
    args: list[None] = []
    kwargs: dict[str, None] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return  # what it is called with is known with the call
        if parameter.kind is parameter.KEYWORD_ONLY:
            kwargs[name] = None
        else:
            args.append(None)
    try:
        own.bind(*args, **kwargs)
    except TypeError:
        shown = getattr(by, "__qualname__", by)
        raise TypeError(
            f"{what}: {shown}{own} is called with all arguments of {task}{signature}, and does not take these: give it "
            "the same parameters"
        ) from None
