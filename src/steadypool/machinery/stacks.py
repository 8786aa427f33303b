"""Where a thread is, as text."""

from __future__ import annotations

import sys
import traceback
from types import FrameType

from steadypool.machinery.ledger import place

MAX_FRAMES = 60
"""The innermost ones are kept: a runaway recursion must not fill a report."""


def thread_stack(ident: int | None, above: str) -> tuple[str, str]:
    """The stack of a thread of this process, innermost last, and the place of its innermost frame.

    The outermost frames, up to and including those of the file *above*, are the pool's own and left out.
    Both are empty if the thread has ended.
    """
    frame = sys._current_frames().get(ident) if ident is not None else None
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    frames = _below(frames, above)
    if not frames:
        return "", ""
    rows = [(f.f_code.co_filename, f.f_lineno or 0, f.f_code.co_name) for f in frames[:MAX_FRAMES]]
    summary = [traceback.FrameSummary(file, line, name) for file, line, name in reversed(rows)]
    return "".join(traceback.format_list(summary)), place(*rows[0])


def _below(frames: list[FrameType], above: str) -> list[FrameType]:
    """Cut the pool's own frames off the outer end of *frames* (innermost first)."""
    end = len(frames)
    while end and frames[end - 1].f_code.co_filename != above:
        end -= 1
    if not end:
        return frames  # none of the pool's own: a job that runs in its caller's thread
    while end and frames[end - 1].f_code.co_filename == above:
        end -= 1
    return frames[:end]
