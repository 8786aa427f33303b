"""A task's arguments and result as JSON, by the types in its signature. Never pickle: who can write to the table must
not be able to run code.

An object of arguments, ``{"to": "a@b.c", "when": "2026-01-01T00:00:00Z"}``: by name, so that a later version of the
task may reorder its parameters or add one that has a default.

What is put is read back at once, as a worker will read it. So whatever a worker could not read is refused while the
caller is still there, with the argument named.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

import msgspec

from steadypool.durable.errors import PayloadRefused

_KINDS = inspect.Parameter
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Payload:
    """Encodes and decodes the calls of one function, and what it returns.

    Raises:
        TypeError: a parameter has a type that JSON cannot carry, or that cannot be found.
    """

    def __init__(self, name: str, fn: Callable[..., Any]) -> None:
        self._name = name
        self._signature = inspect.signature(fn)
        hints = _hints_of(name, fn)
        self._parameters = list(self._signature.parameters.values())
        self._untyped = {p.name for p in self._parameters if hints.get(p.name, Any) is Any}
        fields = [self._field(parameter, hints.get(parameter.name, Any)) for parameter in self._parameters]
        shape = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(shape)
        self._plain = all(p.kind in (_KINDS.POSITIONAL_OR_KEYWORD, _KINDS.KEYWORD_ONLY) for p in self._parameters)
        by_place = [p for p in self._parameters if p.kind is _KINDS.POSITIONAL_OR_KEYWORD]
        named_only = [p for p in self._parameters if p.kind is _KINDS.KEYWORD_ONLY and p.default is p.empty]
        self._most = len(by_place)
        self._least = sum(p.default is p.empty for p in by_place) if not named_only else self._most + 1
        self._names = [parameter.name for parameter in self._parameters]
        self._result = self._result_decoder(hints.get("return", Any))

    # -- calls

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The call as JSON.

        Raises:
            PayloadRefused: naming the argument that does not fit.
        """
        if self._plain and not kwargs and self._least <= len(args) <= self._most:
            arguments = dict(zip(self._names, args, strict=False))  # what nearly every call is
        else:
            arguments = self._bind(args, kwargs)
        try:
            encoded = self._encoder.encode(arguments)
            read = self._decoder.decode(encoded)
        except Exception as error:
            raise self._refusal(arguments, error) from None
        for name in self._untyped:
            if (
                name in arguments
                and type(arguments[name]) is not str
                and not _is_same(getattr(read, name), arguments[name])
            ):
                raise self._untyped_refusal(name, arguments[name], getattr(read, name))
        return encoded

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise PayloadRefused(f"{self._name}{self._signature} cannot be called like that: {error}") from None

    def from_json(self, text: str | bytes) -> bytes:
        """The payload of a call that is given as JSON: an array of arguments, or an object of them by name.

        Raises:
            PayloadRefused: it is neither, or does not fit the signature.
        """
        try:
            given = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise PayloadRefused(f"the arguments of {self._name} are not JSON: {error}") from None
        by_place = [
            p.name for p in self._parameters if p.kind in (_KINDS.POSITIONAL_ONLY, _KINDS.POSITIONAL_OR_KEYWORD)
        ]
        if isinstance(given, list) and len(given) <= len(by_place):
            given = dict(zip(by_place, given, strict=False))
        if not isinstance(given, dict):
            raise PayloadRefused(
                f"the arguments of {self._name}{self._signature} are an array of at most {len(by_place)}, "
                f"or an object of them by name; got {_shortened(given)}"
            )
        payload = self._encoder.encode(given)
        self.decode(payload)
        return payload

    def decode(self, payload: bytes | str) -> Arguments:
        """The call that *payload* stands for.

        Raises:
            PayloadRefused: it does not fit the function as it is now.
        """
        try:
            read = self._decoder.decode(payload)
        except msgspec.MsgspecError as error:
            raise PayloadRefused(
                f"the arguments do not fit {self._name}{self._signature}: {error}", argument=_path_in(error)
            ) from None
        if self._plain:
            given = {name: getattr(read, name) for name in self._names}
            return (), {name: value for name, value in given.items() if value is not msgspec.UNSET}
        return self._arguments_of(read)

    # -- results

    def encode_result(self, value: object) -> bytes:
        """What the task returned, as JSON.

        Raises:
            PayloadRefused: JSON cannot carry it.
        """
        try:
            return self._encoder.encode(value)
        except Exception as error:
            raise PayloadRefused(
                f"{self._name} returned a {type(value).__name__} that JSON cannot carry ({error}); the job has run, "
                "and is "
                "not run again",
                argument="return",
            ) from None

    def decode_result(self, encoded: bytes) -> Any:
        """The result again: of the annotated type if it fits that, else as JSON has it."""
        try:
            return self._result.decode(encoded)
        except msgspec.ValidationError:
            return msgspec.json.decode(encoded)

    # -- how

    def _field(self, parameter: inspect.Parameter, hint: Any) -> tuple[Any, ...]:
        self._check_type(parameter.name, hint)
        if parameter.kind is _KINDS.VAR_POSITIONAL:
            return parameter.name, list[hint], msgspec.UNSET
        if parameter.kind is _KINDS.VAR_KEYWORD:
            return parameter.name, dict[str, hint], msgspec.UNSET
        if parameter.default is not parameter.empty:
            return parameter.name, hint, msgspec.UNSET
        return parameter.name, hint

    def _check_type(self, name: str, hint: Any) -> None:
        try:
            found = msgspec.inspect.type_info(hint)
            strange = isinstance(found, msgspec.inspect.CustomType)
        except Exception:
            strange = True
        if strange:
            raise TypeError(
                f"{self._name}: argument {name!r} has the type {hint!r}, which cannot be stored; there are the types "
                "of "
                "JSON, dataclasses, msgspec.Struct, TypedDict, datetime, UUID, Decimal, enums, and lists, tuples, "
                "sets and "
                "dicts of them"
            )

    def _result_decoder(self, hint: Any) -> Any:
        try:
            if isinstance(msgspec.inspect.type_info(hint), msgspec.inspect.CustomType):
                return msgspec.json.Decoder()
            return msgspec.json.Decoder(hint)
        except Exception:
            return msgspec.json.Decoder()  # nothing to go by: as JSON has it

    def _arguments_of(self, read: Any) -> Arguments:
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter in self._parameters:
            value = getattr(read, parameter.name)
            if value is msgspec.UNSET:
                continue
            if parameter.kind is _KINDS.VAR_POSITIONAL:
                args += value
            elif parameter.kind is _KINDS.VAR_KEYWORD:
                kwargs |= value
            elif parameter.kind is _KINDS.KEYWORD_ONLY or len(args) < self._parameters.index(parameter):
                kwargs[parameter.name] = value
            else:
                args.append(value)
        return tuple(args), kwargs

    def _refusal(self, arguments: Mapping[str, Any], error: Exception) -> PayloadRefused:
        name = _path_in(error) or self._culprit_among(arguments)
        value = arguments.get(name)
        wanted = self._signature.parameters.get(name)
        annotated = f" as {wanted}" if wanted is not None and wanted.annotation is not wanted.empty else ""
        return PayloadRefused(
            f"{self._name}: argument {name!r} cannot be stored{annotated}: {error}; got {_shortened(value)}",
            argument=name,
        )

    def _culprit_among(self, arguments: Mapping[str, Any]) -> str:
        for name, value in arguments.items():
            try:
                self._encoder.encode(value)
            except Exception:
                return name
        return "?"

    def _untyped_refusal(self, name: str, value: object, read: object) -> PayloadRefused:
        return PayloadRefused(
            f"{self._name}: argument {name!r} has no type in the signature, and {_shortened(value)} would arrive as "
            f"{_shortened(read)}: annotate it, as in {name}: {type(value).__name__}",
            argument=name,
        )


def _hints_of(name: str, fn: Callable[..., Any]) -> dict[str, Any]:
    while isinstance(fn, functools.partial):
        fn = fn.func
    if not hasattr(fn, "__annotations__"):
        fn = type(fn).__call__
    try:
        return get_type_hints(fn, include_extras=True) if hasattr(fn, "__annotations__") else {}
    except Exception as error:
        raise TypeError(f"{name}: its annotations cannot be read: {type(error).__name__}: {error}") from error


def _path_in(error: Exception) -> str:
    """The argument's name in the path that msgspec's message ends with: ``… - at `$.when.year` ``."""
    _, found, path = str(error).rpartition("`$.")
    if found:
        return path.rstrip("`").partition(".")[0].partition("[")[0]
    _, found, missing = str(error).partition("required field `")
    return missing.partition("`")[0] if found else ""


def _is_same(read: Any, given: Any) -> bool:
    if isinstance(given, dict) and isinstance(read, dict):
        return read.keys() == given.keys() and all(_is_same(read[key], value) for key, value in given.items())
    if isinstance(given, list) and isinstance(read, list):
        return len(read) == len(given) and all(map(_is_same, read, given))
    return type(read) is type(given) and bool(read == given)


def _shortened(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
