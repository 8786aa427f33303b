"""``MODULE:FUNCTION`` on the command line becomes a function, or one line that says what is wrong."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any

import click

from steadypool import Task
from steadypool.cli.exit_codes import UsageError
from steadypool.model.error_text import in_a_line, traceback_from

Function = Callable[..., Any]


def load_target(spec: str) -> Function:
    """Import what *spec* names, with the current directory on the path as ``python -m`` has it.

    Raises:
        UsageError: if there is no such module or function, or importing it fails.
    """
    found = load_object(spec)
    if not callable(found):
        raise UsageError(f"{spec} is {_described(found)}, not a function")
    return found  # type: ignore[no-any-return]


def load_object(spec: str, what: str = "FUNCTION", example: str = "json:loads") -> Any:
    """The same, whatever it is; *what* is wanted, as in *example*.

    Raises:
        UsageError: if there is no such module or name in it, or importing it fails.
    """
    module_name, attributes = _split(spec, f"MODULE:{what}", example)
    found: Any = _import(module_name)
    for name in attributes:
        found = _attribute(found, name, module_name)
    return found


def is_coroutine_function(function: Function) -> bool:
    """Whether calling *function* gives a coroutine."""
    return any(inspect.iscoroutinefunction(layer) for layer in _layers(function))


def is_generator_function(function: Function) -> bool:
    """Whether calling *function* gives a generator, plain or asynchronous."""
    return any(inspect.isgeneratorfunction(layer) or inspect.isasyncgenfunction(layer) for layer in _layers(function))


def _layers(function: Function) -> tuple[Any, ...]:
    plain = function.fn if isinstance(function, Task) else function
    plain = inspect.unwrap(plain)
    return (plain, getattr(plain, "__call__", None))  # noqa: B004 - the method itself is wanted


def _split(spec: str, form: str, example: str) -> tuple[str, list[str]]:
    module_name, colon, path = spec.partition(":")
    if not colon:
        head, dot, tail = spec.rpartition(".")
        hint = f"did you mean {head}:{tail}?" if dot and tail != "py" else f"for example {example}"
        raise UsageError(f"{spec!r} is not of the form {form}; {hint}")
    if module_name.endswith(".py") or os.sep in module_name:
        stem = module_name.removesuffix(".py").replace(os.sep, ".").strip(".")
        raise UsageError(f"{module_name!r} is a file; give the module's name: {stem}:{path}")
    attributes = path.split(".")
    if not module_name or not all(attributes):
        raise UsageError(f"{spec!r} is not of the form {form}; for example {example}")
    return module_name, attributes


def _import(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"there is no module {error.name!r} here or among those installed") from None
        raise _import_failed(name, error) from None
    except (Exception, SystemExit) as error:
        raise _import_failed(name, error) from None


def _import_failed(name: str, error: BaseException) -> UsageError:
    """Show where the module's own code failed; the frames of the import system are no help."""
    outside = _skip_import_system(error.__traceback__)
    click.echo(traceback_from(error, outside).rstrip(), err=True)
    return UsageError(f"importing {name!r} failed: {in_a_line(error)}")


def _skip_import_system(frames: TracebackType | None) -> TracebackType | None:
    internal = ("<frozen importlib", importlib.__file__, __file__)
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(internal):
        frames = frames.tb_next
    return frames


def _attribute(owner: Any, name: str, module_name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        where = f"module {module_name!r}" if isinstance(owner, ModuleType) else repr(owner)
        import difflib  # for a mistake alone

        close = difflib.get_close_matches(name, dir(owner), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"{where} has no {name!r}{hint}") from None


def _described(thing: object) -> str:
    kind = "module" if isinstance(thing, ModuleType) else type(thing).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
