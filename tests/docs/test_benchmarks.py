"""The page of benchmarks shows what the tables have, and every target that was missed."""

from __future__ import annotations

import re

from tests.docs.pages import page

TABLES = page("benchmark-tables").text


def sections() -> dict[str, str]:
    """The text below each heading of the tables, by the anchor of the heading."""
    found: dict[str, str] = {}
    for part in re.split(r"^#{2,3} ", TABLES, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        found.setdefault(re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-"), text)
    return found


def test_each_figure_is_in_its_table() -> None:
    known = sections()
    for what, ours, beside, _, link in page("benchmarks").table("figures"):
        anchor = re.search(r"#([\w-]+)\)", link)
        assert anchor is not None, what
        shown = re.findall(r"\d[\d,.]*\d|\d", known[anchor[1]])
        for figure in re.findall(r"(?<![\w.])\d[\d,.]*\d|(?<![\w.])\d", f"{ours} {beside}"):
            assert figure.rstrip(",") in shown, (what, figure)


def test_each_missed_target_is_explained() -> None:
    missed = re.findall(r"^Target .*: \*\*missed\*\* \(([\d.]+)\)\.$", TABLES, re.MULTILINE)
    assert [reached for _, reached, _ in page("benchmarks").table("missed")] == missed
