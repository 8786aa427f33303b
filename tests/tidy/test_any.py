"""`Any` blinds the type checker, so the pools use little of it."""

from __future__ import annotations

import ast

from tests.tidy.source import Module, modules

MOST = 96
"""In all pools. It may only shrink."""


def test_the_pools_say_what_they_take() -> None:
    counts = {module.place: uses(module) for module in modules() if module.place.startswith("pools/")}
    assert sum(counts.values()) <= MOST, {place: count for place, count in counts.items() if count}


def uses(module: Module) -> int:
    """How often the module names it, the import included."""
    names = [node.id for node in ast.walk(module.tree) if isinstance(node, ast.Name)]
    imported = [
        alias.name for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    return [*names, *imported].count("Any")
