"""Sentences name their actor, in plain words: these habits of an earlier text do not come back.

It reads the pages, docstrings, comments, messages and help texts.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tidy.source import ROOT

HABITS = re.compile(
    r"\b(?:whoever|(?:some|no|every|any)body|someone|(?:is|are|was|were|been|being) told|told to stop"
    r"|makes? no sense|as ever|all the same|out of the blue|at that(?=[.,;:!)]|$))\b",
    re.IGNORECASE,
)
EXCEPTIONS = {"docs/alerts.md": {"someone"}}
"""The one who is on call."""
PLACES = ("src", "docs", "examples", "bench")
TEXTS = [path for place in PLACES for kind in ("py", "md", "sql") for path in sorted((ROOT / place).rglob(f"*.{kind}"))]
TEXTS += sorted(ROOT.glob("*.md"))


@pytest.mark.parametrize("place", [*PLACES, ""])
def test_a_text_names_its_actor(place: str) -> None:
    found = {}
    for path in TEXTS:
        name = str(path.relative_to(ROOT))
        if name.partition("/")[0] == place or (not place and path.parent == ROOT):
            words = {word.lower() for word in HABITS.findall(_joined(path))} - EXCEPTIONS.get(name, set())
            if words:
                found[name] = words
    assert found == {}, "name the actor: the caller, the worker, the thread; say 'ask' for 'tell'"


def _joined(path: Path) -> str:
    """Its text without line breaks, signs of comments included."""
    return re.sub(r"\s*\n\s*(?:#\s*|--\s*)?", " ", path.read_text(encoding="utf-8"))
