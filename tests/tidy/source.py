"""The package's source as trees, for the rules that are counted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "steadypool"


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The text as a tree, which takes a while: where the name will do, none is made."""
        return ast.parse(self.text)

    @property
    def place(self) -> str:
        """Its path within the package, for messages."""
        return str(self.path.relative_to(SOURCE))


@cache
def modules() -> list[Module]:
    """Every file of the package. Read by the first test that asks, not by each process that collects the tests."""
    return [_module(path) for path in sorted(SOURCE.rglob("*.py"))]


def _module(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    name = ".".join(parts).removesuffix(".__init__")
    return Module(name, path, text)


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(module: Module) -> Iterator[tuple[str, Function]]:
    """Every function of a module, nested ones included, with its qualified name."""
    yield from _functions(module.tree, "")


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        name = f"{prefix}{child.name}" if isinstance(child, Function | ast.ClassDef) else prefix
        if isinstance(child, Function):
            yield name, child
        yield from _functions(child, f"{name}." if isinstance(child, Function | ast.ClassDef) else prefix)


def length(node: Function) -> int:
    """How many lines a function takes, without its docstring."""
    first = node.body[0]
    starts = node.lineno
    if ast.get_docstring(node, clean=False) is not None:
        starts += (first.end_lineno or first.lineno) - first.lineno + 1
    return (node.end_lineno or node.lineno) - starts + 1
