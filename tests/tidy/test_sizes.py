"""What CONTRIBUTING.md says of sizes holds. An exception is listed by name, and leaves the list when it has gone."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator

from tests.tidy.source import Function, functions, length, modules

FILE_LINES = 500
FUNCTION_LINES = 50
PARAMETERS = 6
METHODS = 40
DEPTH = 3

LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
PUBLIC_SIGNATURES = {
    "model/options.py task",
    "pools/aio/pool.py AsyncPool.__init__",
    "pools/core/settings.py check_settings",
    "pools/processes/pool.py ProcessPool.__init__",
    "pools/threads/pool.py ThreadPool.__init__",
    "testing/jobs.py Jobs.assert_enqueued",
    "testing/jobs.py Jobs.refute_enqueued",
}
"""The interface itself, and what checks all of it: options are spelled out there."""
MANY_PARAMETERS = PUBLIC_SIGNATURES | {
    "pools/aio/future.py AsyncJobFuture.__init__",
    "pools/processes/chunk.py Chunk.__init__",
    "primitives/future.py JobFuture.__init__",
}


def test_a_file_fits_on_few_screens() -> None:
    assert {module.place for module in modules() if module.text.count("\n") > FILE_LINES} == LONG_FILES


def test_a_function_fits_on_one_screen() -> None:
    assert over(FUNCTION_LINES, length) == LONG_FUNCTIONS


def test_many_parameters_are_a_record() -> None:
    assert over(PARAMETERS, parameters) == MANY_PARAMETERS


def over(most: int, size: Callable[[Function], int]) -> set[str]:
    """The functions of a size above *most*."""
    return {f"{module.place} {name}" for module in modules() for name, node in functions(module) if size(node) > most}


def parameters(node: Function) -> int:
    """How many a caller has to think of."""
    arguments = node.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def test_a_class_of_the_pools_has_few_methods() -> None:
    """Its own and those of our classes that it inherits from."""
    assert {name_of(kind) for kind in classes() if len(methods(kind)) > METHODS} == set()


def test_inheritance_in_the_pools_is_not_deep() -> None:
    assert {name_of(kind) for kind in classes() if depth(kind) > DEPTH} == set()


def classes() -> Iterator[type]:
    """Every class that is written in `steadypool.pools`."""
    for module in modules():
        if module.place.startswith("pools/"):
            for kind in vars(importlib.import_module(module.name)).values():
                if inspect.isclass(kind) and kind.__module__ == module.name:
                    yield kind


def name_of(kind: type) -> str:
    return f"{kind.__module__.removeprefix('steadypool.')}.{kind.__qualname__}"


def ours(kind: type) -> list[type]:
    return [base for base in kind.__mro__ if base.__module__.startswith("steadypool.")]


def methods(kind: type) -> set[str]:
    return {name for base in ours(kind) for name, value in vars(base).items() if is_method(value)}


def is_method(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)


def depth(kind: type) -> int:
    """How many of our classes stand on one another, this one included."""
    return 1 + max((depth(base) for base in kind.__bases__ if base.__module__.startswith("steadypool.")), default=0)
