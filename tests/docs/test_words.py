"""The pages name the actor, in plain words: these habits of an earlier text do not come back."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import OTHERS, PAGES, Page

HABITS = re.compile(
    r"\b(?:whoever|somebody|nobody|everybody|(?:is|are|was|were) told|makes? no sense|as ever|all the same)\b", re.I
)
WRITTEN_BY_RUNS = ("docs/benchmarks.md", "docs/comparison.md")


@pytest.mark.parametrize("page", [p for p in [*PAGES, *OTHERS] if p.name not in WRITTEN_BY_RUNS], ids=lambda p: p.name)
def test_a_page_names_the_actor(page: Page) -> None:
    assert HABITS.findall(" ".join(page.text.split())) == []
