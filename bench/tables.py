"""Results as tables: on the terminal, as Markdown and as plain data."""

from __future__ import annotations

import re
import statistics
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from bench.rounds import Costs, Samples, ratio


@dataclass(frozen=True)
class Target:
    """What we set out to reach, and whether this run did."""

    text: str
    reached: float
    met: bool

    def __str__(self) -> str:
        return f"Target {self.text}: {'met' if self.met else 'MISSED'} ({self.reached:.2f})"


@dataclass(frozen=True)
class Table:
    """One table. The first column of a row is a name, the others are figures as text."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    data: dict[str, Any]
    """The figures as numbers, in SI units."""
    note: str = ""
    targets: list[Target] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The table as plain data."""
        targets = [{"text": t.text, "reached": t.reached, "met": t.met} for t in self.targets]
        return {"key": self.key, "title": self.title, "note": self.note, "data": self.data, "targets": targets}

    def to_markdown(self) -> str:
        """The table as Markdown."""
        lines = [f"### {self.title}", ""]
        lines += [f"{self.note}", ""] if self.note else []
        lines += [_row(self.columns), _row(["---", *["--:"] * (len(self.columns) - 1)])]
        lines += [_row(row) for row in self.rows]
        for target in self.targets:
            lines += ["", str(target).replace("MISSED", "**missed**") + "."]
        return "\n".join([*lines, ""])

    def print(self, console: Console) -> None:
        """Show the table on the terminal."""
        shown = RichTable(title=self.title, title_justify="left", caption=self.note or None, caption_justify="left")
        for number, column in enumerate(self.columns):
            shown.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            shown.add_row(*row)
        console.print(shown)
        for target in self.targets:
            console.print(f"  {target}", style="green" if target.met else "red")


def compared(
    key: str,
    title: str,
    samples: Samples,
    *,
    base: str,
    note: str = "",
    unit: str = "µs",
    targets: Sequence[Target] = (),
) -> Table:
    """A table of measured contenders: the median, the range over the rounds, and how many times *base* it takes."""
    rows = []
    for name, values in samples.items():
        spread = f"{in_unit(min(values), unit)} to {in_unit(max(values), unit)}"
        rows.append((name, in_unit(statistics.median(values), unit), spread, f"{ratio(samples, name, base):.2f}"))
    data = {
        name: {"median": statistics.median(v), "rounds": v, "ratio": ratio(samples, name, base)}
        for name, v in samples.items()
    }
    columns = ("", f"median, {unit}", "range", f"times {base}")
    return Table(key, title, columns, rows, data, note, list(targets))


def costs_compared(
    key: str,
    title: str,
    costs: Costs,
    *,
    base: str,
    note: str = "",
    unit: str = "µs",
    targets: Sequence[Target] = (),
) -> Table:
    """As `compared`, with processor time beside the time on the wall."""
    rows, data = [], {}
    for name, wall in costs.wall.items():
        cpu = costs.cpu[name]
        times, cpu_times = ratio(costs.wall, name, base), ratio(costs.cpu, name, base)
        figures = (in_unit(statistics.median(wall), unit), f"{times:.2f}")
        rows.append((name, *figures, in_unit(statistics.median(cpu), unit), f"{cpu_times:.2f}"))
        data[name] = {"median": statistics.median(wall), "rounds": wall, "ratio": times}
        data[name] |= {"cpu": statistics.median(cpu), "cpu_rounds": cpu, "cpu_ratio": cpu_times}
    columns = ("", f"median, {unit}", f"times {base}", f"processor time, {unit}", f"times {base}")
    return Table(key, title, columns, rows, data, note, list(targets))


_PER_SECOND = {"s": 1.0, "ms": 1e3, "µs": 1e6}


def in_unit(seconds: float, unit: str) -> str:
    """A length of time as a figure of three digits or so."""
    value = seconds * _PER_SECOND[unit]
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def at_least(text: str, reached: float, wanted: float) -> Target:
    """A target that a larger figure meets."""
    return Target(text, reached, reached >= wanted)


def at_most(text: str, reached: float, wanted: float) -> Target:
    """A target that a smaller figure meets."""
    return Target(text, reached, reached <= wanted)


def rewrite_between_markers(path: Path, sections: dict[str, str]) -> list[str]:
    """Replace what stands between ``<!-- bench:KEY -->`` and ``<!-- /bench:KEY -->``; the keys not found."""
    text, missing = path.read_text(encoding="utf-8"), []
    for key, section in sections.items():
        pattern = re.compile(rf"(<!-- bench:{key} -->\n).*?(<!-- /bench:{key} -->)", re.DOTALL)
        text, found = pattern.subn(_between(section), text)
        if not found:
            missing.append(key)
    path.write_text(text, encoding="utf-8")
    return missing


def _between(section: str) -> Callable[[re.Match[str]], str]:
    # A function, so that backslashes in the section mean themselves.
    return lambda match: f"{match[1]}\n{_wrapped(section.strip())}\n\n{match[2]}"


def _wrapped(section: str) -> str:
    """Paragraphs in lines of a length that the other pages have, too."""
    lines = section.splitlines()
    return "\n".join(
        line if line.startswith(("|", "#")) else textwrap.fill(line, 118, break_on_hyphens=False) for line in lines
    )


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
