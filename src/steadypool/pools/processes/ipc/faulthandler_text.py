"""The text that `faulthandler` writes, as stacks that look like Python's own."""

from __future__ import annotations

import re
import traceback

from steadypool.model.error_text import place

_FRAME = re.compile(r'\s*File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<name>.*)')
_HEAD = re.compile(r"(?:Current thread|Thread) 0x(?P<ident>[0-9a-f]+)|Stack \(most recent call first\)")
_CUT = "..."
"""What ends a stack that is too deep."""


class _Dump:
    """What was written of one thread."""

    def __init__(self, ident: str | None) -> None:
        self.thread = None if ident is None else int(ident, 16)
        self.rows: list[tuple[str, int, str]] = []
        self.is_cut = False

    def add(self, line: str) -> None:
        if frame := _FRAME.match(line):
            number = int(frame["line"]) if frame["line"].isdigit() else 0
            self.rows.append((frame["file"], number, frame["name"]))
        elif line.strip() == _CUT:
            self.is_cut = True

    def is_of(self, thread: int, above: str) -> bool:
        """Whether it is that thread's. One that does not say is if it comes from *above*, as far as it goes."""
        if self.thread is not None:
            return self.thread == thread
        return self.is_cut or any(file == above for file, _, _ in self.rows)

    def below(self, above: str) -> list[tuple[str, int, str]]:
        """The rows without those of this file where the thread comes from, and of its callers."""
        rows = self.rows
        own = [i for i, (file, _, _) in enumerate(rows) if file == above]
        if own:
            rows = rows[: own[-1]]
            while rows and rows[-1][0] == above:
                rows.pop()
        return rows


def read_stack(text: str, thread: int, above: str) -> tuple[str, str]:
    """The stack of one thread, innermost last, and its innermost place; both empty if the text has none.

    Args:
        text: what `faulthandler` wrote; of several dumps, the last one counts.
        thread: the thread's identifier in the process that wrote it.
        above: a file; its frames and those of its callers are left out. A dump that names no thread is taken for this
            thread's if it has such frames.
    """
    mine = [dump for dump in _dumps(text) if dump.is_of(thread, above)]
    rows = mine[-1].below(above) if mine else []
    if not rows:
        return "", ""
    summary = [traceback.FrameSummary(file, number, name) for file, number, name in reversed(rows)]
    return "".join(traceback.format_list(summary)), place(*rows[0])


def _dumps(text: str) -> list[_Dump]:
    dumps: list[_Dump] = []
    for line in text.splitlines():
        if head := _HEAD.match(line):
            dumps.append(_Dump(head["ident"]))
        elif dumps:
            dumps[-1].add(line)
    return dumps
