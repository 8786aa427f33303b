"""The first page shows code early, and only figures that the comparison has measured."""

from __future__ import annotations

from tests.docs.pages import README, page


def test_it_begins_with_an_example() -> None:
    first = README.blocks()[0]
    assert first.kind == "python" and first.line <= 10


def test_the_comparison_is_as_measured() -> None:
    measured = [line for line in page("comparison").text.splitlines() if line.startswith("| ")]
    heading, *_ = [cells(line) for line in measured if "**steadypool**" in line]
    rows = {row[0]: row for row in map(cells, measured)}
    shown = README.text.partition("<!-- comparison -->\n")[2].splitlines()
    pools = cells(shown[0])
    for line in README.table("comparison"):
        for pool, result in zip(pools[1:], line[1:], strict=True):
            assert result == rows[line[0]][heading.index(pool)], (line[0], pool)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
