"""Where a task is, as text: the chain of awaits that asyncio's own ``Task.get_stack`` leaves out."""

from __future__ import annotations

import asyncio
import traceback
from types import FrameType
from typing import Any

from steadypool.model.error_text import place
from steadypool.primitives.thread_stacks import MAX_FRAMES

_LINKS = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))
"""What coroutines, generators and async generators call their frame, and what they wait for."""


def task_stack(task: asyncio.Task[Any] | None, above: str) -> tuple[str, str]:
    """The stack of a task that waits, innermost last, and the place of its innermost frame.

    Tasks that it awaits directly are followed into. Frames of the file *above* are the pool's own and left out. Both
    are empty if there is no frame to show.
    """
    frames: list[FrameType] = []
    seen: set[int] = set()
    while task is not None and id(task) not in seen and len(frames) < MAX_FRAMES:
        seen.add(id(task))
        frames += [frame for one in await_chain(task.get_coro()) if (frame := frame_of(one)) is not None]
        waiter = getattr(task, "_fut_waiter", None)
        task = waiter if isinstance(waiter, asyncio.Task) else None
    rows = [(f.f_code.co_filename, f.f_lineno or 0, f.f_code.co_name) for f in frames if f.f_code.co_filename != above]
    if not rows:
        return "", ""
    summary = [traceback.FrameSummary(file, line, name) for file, line, name in rows[-MAX_FRAMES:]]
    return "".join(traceback.format_list(summary)), place(*rows[-1])


def await_chain(awaitable: Any) -> list[Any]:
    """The coroutines and generators from *awaitable* to the innermost that it waits for, outermost first."""
    chain: list[Any] = []
    while awaitable is not None and len(chain) < 10 * MAX_FRAMES:
        for frame_name, next_name in _LINKS:
            if getattr(awaitable, frame_name, None) is not None:
                chain.append(awaitable)
                awaitable = getattr(awaitable, next_name, None)
                break
        else:
            break
    return chain


def frame_of(awaitable: Any) -> FrameType | None:
    """The frame of a coroutine or generator; ``None`` if it has ended."""
    for frame_name, _ in _LINKS:
        if hasattr(awaitable, frame_name):
            frame: FrameType | None = getattr(awaitable, frame_name)
            return frame
    return None
