"""The site has every page and every public name, and each public name says what it is."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.docs.pages import DOCS, REFERENCE, ROOT
from tests.docs.test_public_modules import PUBLIC

PLACES = ("steadypool", *PUBLIC)
NAMES = [f"{place}.{name}" for place in PLACES for name in importlib.import_module(place).__all__]


def test_the_navigation_has_every_page_once() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    pages = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
    assert sorted(_pages_in(nav)) == pages, "mkdocs.yml has a nav: add the page there, where readers look for it"


def _pages_in(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav.values() if isinstance(nav, dict) else nav:
            yield from _pages_in(entry)


def test_the_reference_has_every_public_name() -> None:
    shown = {name for page in REFERENCE for name in re.findall(r"^::: (\S+)$", page.text, re.MULTILINE)}
    shown |= {f"steadypool.contrib.status.{name.rpartition('.')[2]}" for name in shown if name.count(".") == 1}
    assert set(NAMES) - shown == set(), "add a line `::: steadypool.Name` to a page in docs/reference"


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_says_what_it_is(name: str) -> None:
    place, _, attribute = name.rpartition(".")
    thing = getattr(importlib.import_module(place), attribute)
    assert _own_text(thing), name
    silent = [member for member, value in _members(thing) if not value.__doc__]
    assert silent == [], f"{name} has members without a docstring"


def _own_text(thing: Any) -> str:
    """The docstring, unless it was inherited, or made up by `dataclass`."""
    text = str((vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__) or "")
    return "" if dataclasses.is_dataclass(thing) and text.startswith(f"{thing.__name__}(") else text


def _members(thing: Any) -> Iterator[tuple[str, Any]]:
    """Public methods and properties of a class, those of the standard library's bases left out."""
    for name in dir(thing) if inspect.isclass(thing) else ():
        found = inspect.getattr_static(thing, name)
        function = getattr(found, "fget", None) or getattr(found, "__func__", found)
        ours = inspect.isfunction(function) and function.__module__.startswith("steadypool")
        if ours and not name.startswith("_"):
            yield name, function
