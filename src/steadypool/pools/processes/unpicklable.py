"""Finds which argument of a job cannot be pickled, once pickling has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

DEPTH = 5
MOST = 1000
"""Members of one value that are tried."""


def culprit_note(args: tuple[object, ...], kwargs: dict[str, object], dump: Callable[[object], object]) -> str:
    """Which argument, and where in it, *dump* refuses; empty if it is none of them on its own."""
    given = [(f"argument {number}", value) for number, value in enumerate(args, 1)]
    given += [(f"argument {name}", value) for name, value in kwargs.items()]
    for path, value in given:
        if _is_refused(value, dump):
            path, value = _within(path, value, dump)
            return f"(it is {path} of the job that cannot be pickled, of type {type(value).__qualname__})"
    return ""


def _within(path: str, value: object, dump: Callable[[object], object]) -> tuple[str, object]:
    """The innermost part of *value* that is refused."""
    for _ in range(DEPTH):
        for step, part in _parts(value):
            if _is_refused(part, dump):
                path, value = path + step, part
                break
        else:
            break
    return path, value


def _parts(value: object) -> Iterator[tuple[str, object]]:
    # Nothing of the user's is called here but what pickle calls.
    if type(value) is list or type(value) is tuple:
        yield from ((f"[{number}]", part) for number, part in enumerate(value[:MOST]))
    elif type(value) is dict:
        for key, part in list(value.items())[:MOST]:
            yield (f"[{key!r}]" if type(key) in (str, int) else f"[a {type(key).__name__}]"), part
    else:
        try:
            attributes = object.__getattribute__(value, "__dict__")
        except AttributeError:
            return
        yield from ((f".{name}", part) for name, part in list(attributes.items())[:MOST])


def _is_refused(value: object, dump: Callable[[object], object]) -> bool:
    try:
        dump(value)
    except Exception:
        return True
    return False
