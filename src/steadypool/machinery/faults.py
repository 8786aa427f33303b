"""The text that `faulthandler` writes, as stacks that look like Python's own."""

from __future__ import annotations

import re
import traceback

from steadypool.machinery.ledger import place

_FRAME = re.compile(r'\s*File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<name>.*)')
_THREAD = re.compile(r"(?:Current thread|Thread) 0x(?P<ident>[0-9a-f]+)")


def read_stack(text: str, thread: int, above: str) -> tuple[str, str]:
    """The stack of one thread, innermost last, and its innermost place; both empty if the text has none.

    Args:
        text: what `faulthandler` wrote; of several dumps, the last one counts.
        thread: the thread's identifier in the process that wrote it.
        above: a file; its frames and those of its callers are left out.
    """
    rows: list[tuple[str, int, str]] = []
    mine = False
    for line in text.splitlines():
        if head := _THREAD.match(line):
            mine = int(head["ident"], 16) == thread
            if mine:
                rows = []
        elif mine and (frame := _FRAME.match(line)):
            number = int(frame["line"]) if frame["line"].isdigit() else 0
            rows.append((frame["file"], number, frame["name"]))
    own = [i for i, (file, _, _) in enumerate(rows) if file == above]
    if own:
        rows = rows[: own[-1]]
        while rows and rows[-1][0] == above:
            rows.pop()
    if not rows:
        return "", ""
    summary = [traceback.FrameSummary(file, number, name) for file, number, name in reversed(rows)]
    return "".join(traceback.format_list(summary)), place(*rows[0])
