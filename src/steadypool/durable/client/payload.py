"""A task's arguments and result as JSON, by the types in its signature. Never pickle: write access to the table
must not allow code execution.

An object of arguments, ``{"to": "a@b.c", "when": "2026-01-01T00:00:00Z"}``: by name, so that a later version of the
task may reorder its parameters or add one that has a default.

What is put is read back at once, as a worker will read it. So whatever a worker could not read is refused while the
caller is still there, with the argument named.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, get_type_hints

import msgspec

from steadypool.durable.client import models
from steadypool.durable.client.options import OPTION_NAMES
from steadypool.durable.client.sameness import (
    as_it_was,
    has_fields,
    has_json_alone,
    hint_for,
    is_same,
    is_same_json,
    lost_field,
    sure_types,
)
from steadypool.durable.engine.errors import ArgumentsUnfit, PayloadRefused, ResultUnfit
from steadypool.model.checks import check_count

_KINDS = inspect.Parameter
_BY_PLACE = (_KINDS.POSITIONAL_ONLY, _KINDS.POSITIONAL_OR_KEYWORD)
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
MOST_BYTES = 2**20
"""The largest call, and the largest result, that a queue takes unless it says otherwise, in bytes of JSON."""


def check_most(value: object) -> int | None:
    """Return *value*, the bytes that a queue's payloads may have, or raise `TypeError` or `ValueError`."""
    return None if value is None else check_count("max_payload", value)


class Payload:
    """Encodes and decodes the calls of one function, and what it returns.

    Args:
        name: of the task, for messages.
        fn: the function.
        most: bytes that a call, or a result, may have; ``None``: no limit.

    Raises:
        TypeError: a parameter has a type that JSON cannot carry, or that cannot be found.
    """

    def __init__(self, name: str, fn: Callable[..., Any], most: int | None = MOST_BYTES) -> None:
        self._name = name
        self._most_bytes = sys.maxsize if most is None else most
        self._signature = _signature_of(name, fn)
        hints = {name: as_it_was(hint) for name, hint in _hints_of(name, fn).items()}
        self._parameters = list(self._signature.parameters.values())
        # Fields have names of their own: one such as __x would be taken for a private name of the class.
        self._fields = {p.name: f"field_{place}" for place, p in enumerate(self._parameters)}
        fields = [self._field(parameter, hints.get(parameter.name, Any)) for parameter in self._parameters]
        self._read_by = {field: hint for field, hint, *_ in fields}
        renamed = {field: name for name, field in self._fields.items()}
        shape = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True, rename=renamed)
        self._encoder = msgspec.json.Encoder(enc_hook=models.encode)
        self._decoder = msgspec.json.Decoder(shape, dec_hook=models.decode)
        self._sure = {p.name: self._sure_types(p, hints.get(p.name, Any)) for p in self._parameters}
        self._json_alone = {name for name in self._fields if has_json_alone(hints.get(name, Any))}
        by_name = all(p.kind in (_KINDS.POSITIONAL_OR_KEYWORD, _KINDS.KEYWORD_ONLY) for p in self._parameters)
        self._plain = by_name and _takes_names(fn, self._fields)
        by_place = [p for p in self._parameters if p.kind is _KINDS.POSITIONAL_OR_KEYWORD]
        named_only = [p for p in self._parameters if p.kind is _KINDS.KEYWORD_ONLY and p.default is p.empty]
        self._most = len(by_place) if by_name else -1
        self._least = sum(p.default is p.empty for p in by_place) if not named_only else self._most + 1
        self._names = [parameter.name for parameter in self._parameters]
        self._with_fields = {name for name in self._fields if has_fields(hints.get(name))}
        result = hints.get("return", Any)
        self._result = self._result_decoder(result)
        self._sure_result = sure_types(result) - {float}  # NaN is null, and a result may be of another type
        self._is_same_result = is_same_json if has_json_alone(result) else is_same

    # -- calls

    def has_parameter(self, name: str) -> bool:
        """Whether the function itself has a parameter that can be given by that name."""
        found = self._signature.parameters.get(name)
        return found is not None and found.kind in (_KINDS.POSITIONAL_OR_KEYWORD, _KINDS.KEYWORD_ONLY)

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The call as JSON.

        Raises:
            PayloadRefused: naming the argument that does not fit.
        """
        if not kwargs and self._least <= len(args) <= self._most:
            arguments = dict(zip(self._names, args, strict=False))  # what nearly every call is
        else:
            arguments = self._bind(args, kwargs)
        try:
            encoded = self._encoder.encode(arguments)
            if len(encoded) > self._most_bytes:
                raise self._too_large(arguments, len(encoded))
            read = self._decoder.decode(encoded)
            for name, value in arguments.items():
                if type(value) not in self._sure[name]:
                    self._check_same(name, getattr(read, self._fields[name]), value)
        except PayloadRefused:
            raise
        except Exception as error:
            raise self._refusal(arguments, error) from None
        return encoded

    def encode_but(self, args: Sequence[Any], kwargs: Mapping[str, Any], gap: object) -> tuple[bytes, list[str]]:
        """The call as JSON without the arguments that are *gap*, and the names of these.

        Raises:
            PayloadRefused: naming the argument that does not fit.
        """
        arguments = self._bind(args, kwargs)
        given = {name: value for name, value in arguments.items() if value is not gap}
        for name, value in given.items():
            if self._signature.parameters[name].kind in (_KINDS.VAR_POSITIONAL, _KINDS.VAR_KEYWORD) and gap in (
                value.values() if isinstance(value, dict) else value
            ):
                raise PayloadRefused(f"{self._name}: {gap!r} needs a parameter of its own, and {name!r} takes many")
            try:
                hint = self._read_by[self._fields[name]]
                read = msgspec.json.decode(self._encoder.encode(value), type=hint, dec_hook=models.decode)
            except Exception as error:
                raise self._refusal(given, error) from None
            self._check_same(name, read, value)
        encoded = self._encoder.encode(given)
        if len(encoded) > self._most_bytes:
            raise self._too_large(given, len(encoded))
        return encoded, [name for name in arguments if name not in given]

    def _check_same(self, name: str, read: Any, given: Any) -> None:
        if type(given) is tuple and self._signature.parameters[name].kind is _KINDS.VAR_POSITIONAL:
            read = tuple(read)
        if not (is_same_json if name in self._json_alone else is_same)(read, given):
            raise PayloadRefused(
                f"{self._name}: argument {name!r} would not arrive as it is: {change_text(read, given)}"
                f"{self._advice(name, given)}",
                argument=name,
            )

    def _advice(self, name: str, given: object) -> str:
        """What to write instead, if that would help."""
        if self._signature.parameters[name].kind in (_KINDS.VAR_POSITIONAL, _KINDS.VAR_KEYWORD):
            return ""
        return _advice(self._encoder.encode(given), given, f"{name}: ")

    def _too_large(self, arguments: Mapping[str, Any], size: int) -> PayloadRefused:
        sizes = {name: len(self._encoder.encode(value)) for name, value in arguments.items()}
        largest = max(sizes, key=lambda name: sizes[name])
        return PayloadRefused(
            f"{self._name}: the arguments are {size:,} bytes of JSON, and this queue takes {self._most_bytes:,} "
            f"({largest!r} alone has {sizes[largest]:,}): store them elsewhere and pass where they are, or make it "
            "Queue(..., max_payload=...)",
            argument=largest,
        )

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            from steadypool.model.peer_names import ours_for  # for a mistake alone

            others = {name: value for name, value in kwargs.items() if name not in self._fields}
            options = [
                f"{name}={shortened(value)}" if name in OPTION_NAMES else ours_for(name, OPTION_NAMES)
                for name, value in others.items()
            ]
            shown = ", ".join(filter(None, options))
            hint = f"; options stand before it: .options({shown}).enqueue(...)" if shown else ""
            raise PayloadRefused(f"{self._name}{self._signature} cannot be called like that: {error}{hint}") from None

    def from_json(self, text: str | bytes) -> bytes:
        """The payload of a call that is given as JSON: an array of arguments, or an object of them by name.

        Raises:
            PayloadRefused: it is neither, or does not fit the signature.
        """
        by_place = [p.name for p in self._parameters if p.kind in _BY_PLACE]
        try:
            given = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            word = text.decode(errors="replace") if isinstance(text, bytes) else text
            instead = "" if word.lstrip()[:1] in ("", "[", "{", '"') or not by_place else _as_array(word)
            raise PayloadRefused(f"the arguments of {self._name} are not JSON: {error}{instead}") from None
        if isinstance(given, list) and len(given) <= len(by_place):
            given = dict(zip(by_place, given, strict=False))
        if not isinstance(given, dict):
            instead = "" if isinstance(given, list) or not by_place else _as_array(given)
            raise PayloadRefused(
                f"the arguments of {self._name}{self._signature} are an array of at most {len(by_place)}, "
                f"or an object of them by name; got {shortened(given)}{instead}"
            )
        payload = self._encoder.encode(given)
        if len(payload) > self._most_bytes:
            raise self._too_large(given, len(payload))
        try:
            self.decode(payload)
        except ArgumentsUnfit as error:
            raise PayloadRefused(str(error), argument=error.argument) from None
        return payload

    def some_of(self, payload: bytes, names: Collection[str]) -> bytes:
        """Those arguments of a call, those that it leaves to their defaults included, as JSON."""
        given = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        wanted: dict[str, Any] = {name: self._signature.parameters[name].default for name in names}
        return self._encoder.encode({**wanted, **{name: raw for name, raw in given.items() if name in names}})

    def decode(self, payload: bytes | str) -> Arguments:
        """The call that *payload* stands for.

        Raises:
            ArgumentsUnfit: it does not fit the function as it is now.
        """
        try:
            read = self._decoder.decode(payload)
        except Exception as error:
            raise ArgumentsUnfit(
                f"the arguments do not fit {self._name}{self._signature}: {error}", argument=_path_in(error)
            ) from None
        if self._with_fields:
            self._refuse_lost_fields(payload, read)
        if self._plain:
            given = {name: getattr(read, field) for name, field in self._fields.items()}
            return (), {name: value for name, value in given.items() if value is not msgspec.UNSET}
        return self._arguments_of(read)

    def _refuse_lost_fields(self, payload: bytes | str, read: Any) -> None:
        """A field that is not known is passed over when an object is read: the job would run without it."""
        values = {name: getattr(read, field) for name, field in self._fields.items()}
        again = self._encoder.encode({name: value for name, value in values.items() if value is not msgspec.UNSET})
        if again == (payload.encode() if isinstance(payload, str) else payload):
            return  # what nearly every call is
        given = msgspec.json.decode(payload)
        for name in self._with_fields & given.keys():
            lost = lost_field(given[name], getattr(read, self._fields[name]), name)
            if lost is not None:
                raise ArgumentsUnfit(
                    f"the arguments do not fit {self._name}{self._signature}: {lost} is no field here", argument=name
                )

    # -- results

    def encode_result(self, value: object) -> bytes:
        """What the task returned, as JSON.

        Raises:
            ResultUnfit: JSON cannot carry it, it would be another when it is read, or it is too large.
        """
        try:
            encoded = self._encoder.encode(value)
            if len(encoded) > self._most_bytes:
                raise ResultUnfit(
                    f"{self._name} returned {len(encoded):,} bytes of JSON, and this queue takes {self._most_bytes:,}: "
                    "store it elsewhere and return where it is, or make it Queue(..., max_payload=...)"
                )
            if type(value) in self._sure_result:
                return encoded
            if not self._is_same_result(read := self.decode_result(encoded), value):
                raise ResultUnfit(
                    f"{self._name} returned what would not be read as it is: {change_text(read, value)}"
                    f"{_advice(encoded, value, '-> ')}"
                )
        except ResultUnfit:
            raise
        except Exception as error:
            raise ResultUnfit(
                f"{self._name} returned a value of type {type(value).__name__} that JSON cannot carry ({error}); "
                "the job has run, and is not run again"
            ) from None
        return encoded

    def decode_result(self, encoded: bytes) -> Any:
        """The result again: of the annotated type if it fits that, else as JSON has it."""
        try:
            return self._result.decode(encoded)
        except msgspec.ValidationError:
            return msgspec.json.decode(encoded)

    # -- how

    def _field(self, parameter: inspect.Parameter, hint: Any) -> tuple[Any, ...]:
        self._check_type(parameter.name, hint)
        field = self._fields[parameter.name]
        if parameter.kind is _KINDS.VAR_POSITIONAL:
            return field, list[hint], msgspec.UNSET
        if parameter.kind is _KINDS.VAR_KEYWORD:
            return field, dict[str, hint], msgspec.UNSET
        if parameter.default is not parameter.empty:
            return field, hint, msgspec.UNSET
        return field, hint

    @staticmethod
    def _sure_types(parameter: inspect.Parameter, hint: Any) -> frozenset[type]:
        is_one = parameter.kind not in (_KINDS.VAR_POSITIONAL, _KINDS.VAR_KEYWORD)
        return sure_types(hint) if is_one else frozenset()

    def _check_type(self, name: str, hint: Any) -> None:
        try:
            strange = is_strange(msgspec.inspect.type_info(hint))
        except Exception:
            strange = True
        if strange:
            raise TypeError(
                f"{self._name}: argument {name!r} has the type {hint!r}, which cannot be stored; there are the types "
                "of JSON, dataclasses, msgspec.Struct, TypedDict, pydantic models, datetime, UUID, Decimal, enums, and "
                "lists, tuples, sets and dicts of them. A model may be in a union with None alone: have a model with "
                "a field for any other union"
            )

    def _result_decoder(self, hint: Any) -> Any:
        try:
            if is_strange(msgspec.inspect.type_info(hint)):
                return msgspec.json.Decoder()
            return msgspec.json.Decoder(hint, dec_hook=models.decode)
        except Exception:
            return msgspec.json.Decoder()  # nothing to go by: as JSON has it

    def _arguments_of(self, read: Any) -> Arguments:
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter in self._parameters:
            value = getattr(read, self._fields[parameter.name])
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
            f"{self._name}: argument {name!r} cannot be stored{annotated}: {error}; got {shortened(value)}",
            argument=name,
        )

    def _culprit_among(self, arguments: Mapping[str, Any]) -> str:
        for name, value in arguments.items():
            try:
                hint = self._read_by[self._fields[name]]
                msgspec.json.decode(self._encoder.encode(value), type=hint, dec_hook=models.decode)
            except Exception:
                return name
        return "?"


def is_strange(found: Any) -> bool:
    """Whether a type is one of which JSON knows nothing."""
    return isinstance(found, msgspec.inspect.CustomType) and not models.is_model(found.cls)


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


def _signature_of(name: str, fn: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(fn)
    except ValueError as error:  # written in C, without a word of its parameters
        raise TypeError(
            f"{name}: Python cannot tell the parameters of {fn!r}; call it in a function of yours"
        ) from error


def _takes_names(fn: Callable[..., Any], names: Iterable[str]) -> bool:
    """Whether the function itself takes them, and not only the one that it says it wraps."""
    try:
        own = inspect.signature(fn, follow_wrapped=False).parameters
    except ValueError:
        return True  # a wrapper written in C, such as that of functools.cache, passes on what it is given
    if any(parameter.kind is _KINDS.VAR_KEYWORD for parameter in own.values()):
        return True
    by_name = (_KINDS.POSITIONAL_OR_KEYWORD, _KINDS.KEYWORD_ONLY)
    return all(name in own and own[name].kind in by_name for name in names)


def change_text(read: object, given: object) -> str:
    """What becomes of a value, in words."""
    kinds = type(given).__qualname__, type(read).__qualname__
    if kinds[0] == kinds[1]:
        kinds = ("", "")
    was, becomes = (f"{shortened(v)}{kind and f' ({kind})'}" for v, kind in zip((given, read), kinds, strict=True))
    if isinstance(given, datetime) and isinstance(read, datetime) and given == read and given.fold == read.fold:
        return f"{given} would lose the rules of its zone, {given.tzinfo}; convert it with astimezone(timezone.utc)"
    return f"{was} would become {becomes}"


def _advice(encoded: bytes, given: object, before: str) -> str:
    """The annotation with which it would be the same, if there is one."""
    try:
        hint = hint_for(given)
        helps = is_same(msgspec.json.decode(encoded, type=hint, dec_hook=models.decode), given)
    except Exception:
        return ""
    spelt = hint.__qualname__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
    return f"; annotate it as {before}{spelt.replace('typing.', '')}" if helps and len(spelt) < 80 else ""


def _as_array(argument: object) -> str:
    """What to write for a call with that one argument."""
    text = msgspec.json.encode([argument]).decode()
    return f"; write '{text}'" if len(text) <= 80 else "; write it in an array, as in '[1]'"


def shortened(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
