"""Names are plain: no module is called by an activity, and no word of a private English comes back."""

from __future__ import annotations

import re

import pytest

from tests.tidy.source import Module, modules

ACTIVITIES = {"sinks/logging.py", "contrib/django/testing.py"}
"""As the standard library's; and as the test kits of others are called."""
FORBIDDEN = ("desk", "mender", "wellbeing", "whoever", "deeds", "utils", "helpers", "misc")
"""Words that are no name of a module, class or function."""
DEFINED = re.compile(r"^\s*(?:class|def|async def) (\w+)", re.MULTILINE)


def test_no_module_is_called_by_an_activity() -> None:
    assert {module.place for module in modules() if module.path.stem.endswith("ing")} == ACTIVITIES


@pytest.mark.parametrize("word", FORBIDDEN)
def test_no_name_has_a_forbidden_word(word: str) -> None:
    assert {name for module in modules() for name in names(module) if word in words_of(name)} == set()


def names(module: Module) -> list[str]:
    """The module's own name, and those of its classes and functions."""
    return [module.path.stem, *DEFINED.findall(module.text)]


def words_of(name: str) -> set[str]:
    """The words of a name in either way of writing it."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
