"""The documents as the tests read them: pages, blocks, tables and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SHELL = frozenset({"sh", "console", "bash"})
_FENCE = re.compile(r"^```(?P<kind>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (?P<mark>[^>]*) -->\n\Z")
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    kind: str
    text: str
    line: int
    mark: str
    """The comment on the line above, such as ``output``; empty if there is none."""
    output: str | None = None
    """What a program prints, from the block marked ``output`` behind it."""


@dataclass(frozen=True)
class Page:
    """One document."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def blocks(self) -> list[Block]:
        """All fenced blocks; an output belongs to the block before it."""
        blocks: list[Block] = []
        for match in _FENCE.finditer(self.text):
            before = self.text[: match.start()]
            mark = _MARK.search(before)
            block = Block(match["kind"], match["text"], before.count("\n") + 1, mark["mark"] if mark else "")
            if block.mark == "output":
                last = blocks[-1]
                blocks[-1] = Block(last.kind, last.text, last.line, last.mark, block.text)
            else:
                blocks.append(block)
        return blocks

    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCE.sub("", self.text)

    def codes(self) -> list[str]:
        """What stands in backticks."""
        return _CODE.findall(self.prose())

    def links(self) -> list[str]:
        """Where the links lead."""
        return _LINK.findall(_CODE.sub("", self.prose()))

    def anchors(self) -> set[str]:
        """What a link can name on this page, as GitHub makes it from headings."""
        headings = re.findall(r"^#+ (.*)$", self.prose(), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}

    def tables(self, mark: str) -> list[list[list[str]]]:
        """The rows, without the heading, of each table below the comment *mark*."""
        tables = []
        for match in re.finditer(rf"^<!-- {re.escape(mark)} -->\n((?:\|.*\n)+)", self.text, re.MULTILINE):
            rows = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in match[1].splitlines()]
            tables.append([[cell.strip("| ") for cell in row] for row in rows[2:]])
        assert tables, f"{self.name} has no table marked {mark!r}"
        return tables

    def table(self, mark: str) -> list[list[str]]:
        """The rows of the one table below the comment *mark*."""
        [table] = self.tables(mark)
        return table


def names_in(cell: str) -> list[str]:
    """What stands in backticks in a table's cell."""
    return _CODE.findall(cell)


README = Page(ROOT / "README.md")
PAGES = [README, *(Page(path) for path in sorted(DOCS.rglob("*.md")) if path.parent.name != "reference")]
REFERENCE = [Page(path) for path in sorted((DOCS / "reference").glob("*.md"))]
"""Pages that the site fills with docstrings."""
OTHERS = [Page(ROOT / f"{name}.md") for name in ("CHANGELOG", "CONTRIBUTING", "RELEASING", "SECURITY")]


def page(name: str) -> Page:
    """The page of that name in ``docs``."""
    return Page(DOCS / f"{name}.md")
