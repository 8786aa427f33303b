"""Where a thread is, as text, whoever takes it."""

from __future__ import annotations

import faulthandler
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from steadypool.pools.processes.ipc.faulthandler_text import read_stack
from steadypool.primitives.thread_stacks import MAX_FRAMES, thread_stack
from tests.patience import WAIT

POOL_FILE = threading.__file__
"""Every thread's outermost frames are in it: here it plays the pool's own file."""


def waits_here(depth: int, ready: threading.Event, gate: Any) -> None:
    """Go down *depth* calls, and wait."""
    if depth:
        waits_here(depth - 1, ready, gate)
    else:
        ready.set()
        gate.acquire()


@contextmanager
def thread_that_waits(depth: int) -> Iterator[int]:
    """A thread in the middle of something; its identifier."""
    ready, gate = threading.Event(), threading.Lock()
    gate.acquire()
    thread = threading.Thread(target=waits_here, args=(depth, ready, gate), daemon=True)
    thread.start()
    assert ready.wait(WAIT)
    while (frame := sys._current_frames()[thread.ident or 0]).f_code.co_name != "waits_here":
        del frame  # on its way out of `ready.set`
    try:
        assert thread.ident is not None
        yield thread.ident
    finally:
        gate.release()
        thread.join(WAIT)


def own_rows(stack: str) -> list[str]:
    return [line for line in stack.splitlines() if line.endswith("in waits_here")]


def test_the_stack_of_a_thread_without_the_pools_own_frames() -> None:
    with thread_that_waits(3) as ident:
        stack, where = thread_stack(ident, POOL_FILE)
    assert len(own_rows(stack)) == 4
    assert "_bootstrap" not in stack
    assert where.startswith("primitives/test_thread_stacks.py:") and where.endswith(" in waits_here")


def test_a_thread_with_no_frame_of_the_pools_is_shown_whole() -> None:
    with thread_that_waits(0) as ident:
        stack, _ = thread_stack(ident, "no such file")
    assert "_bootstrap" in stack and len(own_rows(stack)) == 1


def test_a_runaway_recursion_is_bounded_and_its_innermost_end_kept() -> None:
    with thread_that_waits(300) as ident:
        stack, where = thread_stack(ident, POOL_FILE)
    assert f"[Previous line repeated {MAX_FRAMES - 4} more times]" in stack  # three before it, the innermost below
    assert len(own_rows(stack)) == 4 and where.endswith(" in waits_here")


def test_a_thread_that_has_ended_has_no_stack() -> None:
    with thread_that_waits(0) as ident:
        pass
    assert thread_stack(ident, POOL_FILE) == ("", "")
    assert thread_stack(None, POOL_FILE) == ("", "")


def faulthandler_text() -> str:
    """What `faulthandler` writes of all threads now."""
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read()


def test_what_faulthandler_wrote_reads_as_pythons_own() -> None:
    with thread_that_waits(2) as ident:
        text = faulthandler_text()
    stack, where = read_stack(text, ident, POOL_FILE)
    assert len(own_rows(stack)) == 3
    assert "_bootstrap" not in stack and ":" in where
    assert read_stack(text, ident + 1, POOL_FILE) == ("", "")
    assert read_stack("", ident, POOL_FILE) == ("", "")


def test_of_several_dumps_the_last_counts() -> None:
    def dump(function: str) -> str:
        return f'Thread 0x00000000000000ff (most recent call first):\n  File "/x/y.py", line 3 in {function}\n\n'

    text = dump("first") + dump("second")
    assert read_stack(text, 0xFF, "pool.py")[1] == "x/y.py:3 in second"


def test_lines_that_faulthandler_does_not_know() -> None:
    text = 'Current thread 0x0a (most recent call first):\n  File "<string>", line ??? in run\n  ...\n'
    stack, where = read_stack(text, 10, "pool.py")
    assert where == "<string>:0 in run" and "run" in stack


def test_frames_from_the_pools_file_outwards_are_left_out() -> None:
    text = (
        "Current thread 0x0a (most recent call first):\n"
        '  File "/j/job.py", line 1 in inner\n'
        '  File "/s/pool.py", line 2 in run\n'
        '  File "/s/pool.py", line 3 in main\n'
        '  File "/p/threading.py", line 4 in _bootstrap\n'
    )
    stack, where = read_stack(text, 10, "/s/pool.py")
    assert where == "j/job.py:1 in inner" and "pool.py" not in stack and "threading" not in stack


FINALIZERS_THAT_START_THREADS = """
import _thread, gc, threading
from steadypool.primitives.thread_stacks import thread_stack

class Cyclic:
    def __init__(self):
        self.itself = self

    def __del__(self):
        _thread.start_new_thread(threading.get_ident, ())

gc.set_threshold(1)
for _ in range(2000):
    Cyclic()
    thread_stack(threading.get_ident(), "")
print(gc.isenabled())
"""


def test_the_garbage_collector_may_start_threads_meanwhile() -> None:
    """Before 3.11.9 `sys._current_frames` hangs the process then."""
    ended = subprocess.run(
        [sys.executable, "-c", FINALIZERS_THAT_START_THREADS], capture_output=True, text=True, timeout=WAIT * 3
    )
    assert (ended.stdout, ended.stderr) == ("True\n", "")
