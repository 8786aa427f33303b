"""Exceptions between processes: type, arguments, attributes, notes, causes and the traceback's text.

An exception is rebuilt without calling ``__init__`` again where that would not work, and stood in for by a
`RemoteError` where nothing works. The worker tries the rebuilding itself, so that the parent never has to fail.
"""

from __future__ import annotations

import pickle
from typing import TypedDict

from steadypool.model.error_text import first_line, shortened, traceback_text, type_name, where_raised
from steadypool.model.errors import RemoteError
from steadypool.pools.processes.ipc.pickles import dump

MOST_CAUSES = 20
"""A chain of causes longer than this is cut."""
MAX_TEXT = 40_000
"""Characters of traceback that travel."""


class Packed(TypedDict, total=False):
    """One exception: `whole`, or `type` and what it is made of; and what a `RemoteError` says in its place."""

    whole: bytes
    type: bytes
    args: bytes
    message: str
    members: list[Packed]
    attributes: dict[str, bytes]
    type_name: str
    text: str
    notes: list[str]
    caused: bool
    suppressed: bool


class RemoteTraceback(Exception):
    """The traceback in the worker process, shown above the exception when that is printed.

    It is the cause of the last exception in the chain, as `concurrent.futures` has it.
    """

    def __init__(self, text: str = "", where: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.steadypool_where = where

    def __str__(self) -> str:
        return f'\n"""\n{self.text.rstrip()}\n"""'


def pack_error(error: BaseException) -> bytes:
    """The exception as bytes that `unpack_error` can always read. Never raises."""
    text = shortened(traceback_text(error), MAX_TEXT)
    try:
        chain = _pack_chain(error)
    except BaseException:
        chain = [_description(error)]
    return pickle.dumps((chain, text, where_raised(error)), 5)


def unpack_error(packed: bytes) -> BaseException:
    """The exception again, its remote traceback below its causes. Never raises."""
    chain, text, where = pickle.loads(packed)
    errors = [_rebuild_somehow(row, text) for row in chain]
    for (error, row), cause in zip(zip(errors, chain, strict=True), errors[1:], strict=False):
        if row["caused"]:
            _set(error, "__cause__", cause)
        else:
            _set(error, "__context__", cause)
    _set(errors[-1], "__cause__", RemoteTraceback(text, where))
    return errors[0]


def _pack_chain(error: BaseException) -> list[Packed]:
    chain: list[Packed] = []
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen and len(chain) < MOST_CAUSES:
        seen.add(id(following))
        row = _pack_one(following)
        row["caused"] = following.__cause__ is not None
        row["suppressed"] = following.__suppress_context__
        chain.append(row)
        if following.__cause__ is not None:
            following = following.__cause__
        else:
            following = None if following.__suppress_context__ else following.__context__
    return chain


def _pack_one(error: BaseException) -> Packed:
    for pack in (_pack_group, _pack_whole, _pack_without_init):
        try:
            row = pack(error)
            again = _rebuild(row)
        except BaseException:
            continue
        if type_name(again) == type_name(error):
            return {**_description(error), **row}
    return _description(error)


def _pack_whole(error: BaseException) -> Packed:
    """As pickle does it: the type is called with ``args`` again."""
    return {"whole": _flat(error)}


def _pack_group(error: BaseException) -> Packed:
    """Each member on its own: one that cannot travel is stood in for alone."""
    if not isinstance(error, BaseExceptionGroup):
        raise TypeError(f"{type_name(error)} is no group")
    members = [_pack_one(member) for member in error.exceptions]
    return {"type": _flat(type(error)), "message": error.message, "members": members, "attributes": _attributes(error)}


def _pack_without_init(error: BaseException) -> Packed:
    """Piece by piece: made by ``__new__`` alone."""
    return {"type": _flat(type(error)), "args": _flat(error.args), "attributes": _attributes(error)}


def _attributes(error: BaseException) -> dict[str, bytes]:
    """Those that can travel."""
    attributes = {}
    for name, value in error.__dict__.items():
        try:
            attributes[name] = _flat(value)
        except Exception:
            continue
    return attributes


def _flat(value: object) -> bytes:
    pickled = dump(value, to_parent=True)
    if not pickled.buffers:
        return pickled.stream
    return pickle.dumps(value, 5)


def _description(error: BaseException) -> Packed:
    """What a `RemoteError` says, should the exception itself turn out to be impossible to rebuild."""
    return {"type_name": type_name(error), "text": first_line(error), "notes": _notes(error)}


def _notes(error: BaseException) -> list[str]:
    # Not getattr, and nothing taken for granted: the exception is the user's, and this must not fail.
    notes = error.__dict__.get("__notes__")
    return [note for note in notes if type(note) is str] if type(notes) is list else []


def _set(error: BaseException, name: str, value: object) -> None:
    """Past the exception's own ``__setattr__``, which may refuse, and past its class's attribute of that name."""
    vars(BaseException)[name].__set__(error, value)


def _rebuild_somehow(row: Packed, text: str) -> BaseException:
    """The exception, or a stand-in: what could be rebuilt in the worker need not be possible here."""
    error: BaseException
    try:
        error = _rebuild(row)
    except BaseException:
        name, message = row["type_name"], row["text"]
        error = RemoteError(f"{name}: {message}", type_name=name, text=message, traceback=text)
        for note in row["notes"]:
            error.add_note(note)
    _set(error, "__suppress_context__", row.get("suppressed", False))
    return error


def _rebuild(row: Packed) -> BaseException:
    if "whole" in row:
        error = pickle.loads(row["whole"])
    else:
        cls = pickle.loads(row["type"])
        if "members" in row:
            error = cls.__new__(cls, row["message"], [_rebuild_somehow(member, "") for member in row["members"]])
        else:
            args = pickle.loads(row["args"])
            error = cls.__new__(cls, *args)
            _set(error, "args", args)
        for name, value in row["attributes"].items():
            error.__dict__[name] = pickle.loads(value)
    if not isinstance(error, BaseException):
        raise TypeError(f"an exception came back as {error!r}")
    return error
