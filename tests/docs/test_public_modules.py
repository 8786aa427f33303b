"""Documents, examples and the docstrings of what is public show public modules, and no others."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import steadypool
import steadypool.events
import steadypool.sinks
import steadypool.testing
from steadypool.contrib import asgi, status, web
from tests.docs.pages import OTHERS, PAGES, ROOT, Page, page

PUBLIC = (
    "steadypool.events",
    "steadypool.sinks",
    "steadypool.testing",
    "steadypool.contrib.asgi",
    "steadypool.contrib.status",
    "steadypool.contrib.web",
    "steadypool.contrib.django",
    "steadypool.contrib.django.testing",
)
"""What may be imported besides `steadypool` itself. All else may change from one version to the next."""
PACKAGES = "cli|contrib|durable|events|model|pools|primitives|rules|sinks|testing"
MODULE = re.compile(rf"\bsteadypool\.(?:{PACKAGES})\b(?:\.[a-z_]+\b)*")
IMPORT = re.compile(r"^\s*(?:from (steadypool[\w.]*) import|import (steadypool[\w.]*))", re.MULTILINE)
INNER = re.compile(rf"`(?:steadypool\.)?(?:{PACKAGES})\.[a-z_.]+")
FOR_CONTRIBUTORS = ("docs/architecture.md", "docs/inside.md", "CONTRIBUTING.md")
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*.py"))


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: page.name)
def test_a_page_shows_public_modules(page: Page) -> None:
    shown = {match[0] for match in MODULE.finditer(_without_metrics(page.text))}
    if page.name not in FOR_CONTRIBUTORS:
        assert {name for name in shown if not name.startswith(PUBLIC)} == set()
    for block in page.blocks():
        assert private_imports(block.text) == set()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_imports_public_modules(path: Path) -> None:
    assert private_imports(path.read_text(encoding="utf-8")) == set()


def test_the_page_on_versions_names_them() -> None:
    assert set(MODULE.findall(page("versioning").text)) == set(PUBLIC)


def private_imports(text: str) -> set[str]:
    """The modules of Steadypool that *text* imports although they are not public."""
    imported = {first or second for first, second in IMPORT.findall(text)}
    return imported - {"steadypool", *PUBLIC}


def _without_metrics(text: str) -> str:
    """*text* without the names of metrics and attributes of OpenTelemetry, which look like modules."""
    return re.sub(r"^\| `(?:steadypool|messaging|code|error)\..*$", "", text, flags=re.MULTILINE)


def public_things() -> dict[str, Any]:
    places = steadypool, steadypool.events, steadypool.sinks, steadypool.testing
    things = {f"{place.__name__}.{name}": getattr(place, name) for place in places for name in place.__all__}
    for place in (asgi, status, web):
        things |= {f"{place.__name__}.{name}": value for name, value in vars(place).items() if name[0] != "_"}
    return {name: thing for name, thing in things.items() if inspect.isclass(thing) or inspect.isfunction(thing)}


@pytest.mark.parametrize("name", sorted(public_things()))
def test_a_docstring_shows_public_modules(name: str) -> None:
    thing = public_things()[name]
    members = [value for key, value in vars(thing).items() if not key.startswith("_")] if inspect.isclass(thing) else []
    for one in (thing, *members):
        text = inspect.getdoc(one) or ""
        assert [found for found in INNER.findall(text) if not found.strip("`").startswith(PUBLIC)] == []
