"""The first page shows code early, and only figures that the comparison has measured."""

from __future__ import annotations

import re

from tests.docs.pages import README, page


def test_it_begins_with_an_example() -> None:
    first = README.blocks()[0]
    assert first.kind == "python" and first.line <= 12
    assert len(first.text.splitlines()) <= 15


def test_the_comparison_is_as_measured() -> None:
    measured = [line for line in page("comparison").text.splitlines() if line.startswith("| ")]
    heading, *_ = [cells(line) for line in measured if "**steadypool**" in line]
    rows = {row[0]: row for row in map(cells, measured)}
    shown = README.text.partition("<!-- comparison -->\n")[2].splitlines()
    pools = cells(shown[0])
    for line in README.table("comparison"):
        for pool, result in zip(pools[1:], line[1:], strict=True):
            assert result == rows[line[0]][heading.index(pool)], (line[0], pool)


def test_the_ratios_are_as_measured() -> None:
    shown = re.findall(r"\*\*([\d.]+) times\*\*", README.text.partition("## How fast")[2])
    measured = [row[3].split(" and ")[0] for row in page("benchmarks").table("figures")]
    missed = [row[1] for row in page("benchmarks").table("missed")]
    assert len(shown) == 3 and set(shown) <= {*measured, *missed}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
