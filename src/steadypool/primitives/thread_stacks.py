"""Where a thread is, as text."""

from __future__ import annotations

import gc
import sys
import threading
import traceback
from types import FrameType

from steadypool.model.error_text import place

_collector = threading.RLock()
"""Held while the garbage collector is off, so that one thread does not turn it on again under another."""
MAX_FRAMES = 60
"""The innermost ones are kept: a runaway recursion must not fill a report."""


def thread_stack(ident: int | None, above: str) -> tuple[str, str]:
    """The stack of a thread of this process, innermost last, and the place of its innermost frame.

    The outermost frames, up to and including those of the file *above*, are the pool's own and left out.
    Both are empty if the thread has ended.
    """
    frame = _frame_of(ident) if ident is not None else None
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


def _frame_of(ident: int) -> FrameType | None:
    """The innermost frame of a thread.

    CPython holds its lock on the list of threads while it gathers the frames. Before 3.11.9 that may start the garbage
    collector; a finalizer that then starts a thread needs the same lock, and the process hangs for good, with the GIL
    held. So the collector is off meanwhile.
    """
    with _collector:
        on = gc.isenabled()
        gc.disable()
        try:
            return sys._current_frames().get(ident)
        finally:
            if on:
                gc.enable()


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
