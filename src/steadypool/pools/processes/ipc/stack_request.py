"""The pipe on which a worker process says where its main thread is, when it is asked and when it crashes.

Theory of operation
-------------------
The parent asks by a signal, and there are two, for CPython's `faulthandler` may only be let loose on a thread that is
at rest. In the middle of Python code frames are half made now and then, and CPython (3.11 to 3.13 were tried) crashes
on them, once in some hundred or thousand times.

* A **knock** is taken by a handler in Python. It runs between two steps of Python code, where all frames are whole. It
  does not run while C code runs that never looks up, and C code that waits in the kernel may be left to wait.
* A **look** is taken by `faulthandler` itself, wherever the thread is, also while it holds the GIL in C code.

So the parent knocks; and looks only if no answer comes and the thread is seen to run no Python code: it is asleep in
the kernel, or has had processor time enough to answer many times over (`rules.stack_sample`). A thread that was merely
given no processor is waited for; one that is stopped is not looked at, for it would take the signal when it goes on, in
the middle of anything. What remains is the moment between the parent's last look at the thread's state and the signal:
microseconds, in which a long call into C would have to end.

    asked ──knock──▶ waiting ──text, END──▶ answered
                      │   ▲
        may look: look│   │ may not
                      ▼   │
                    looking ──text, a pause──▶ answered            at any time: STACK_SECONDS are over ▶ given up

The worker writes only its main thread, and writes nothing of its own accord but a crash. What could go wrong:

* *An answer comes after its question was given up* (a stopped process goes on). It stays in the pipe, is read away
  before the next question, and is not taken for a crash's: those begin with FATAL.
* *It comes between that reading away and the next answer.* Then it is as good as that: while a thread writes its stack
  it does nothing else, so one that was begun before the page said "job k runs" was in the pipe as a whole by then.
  The other end of job k is the asker's to mind: it looks at the page again when it has the answer.
* *Both signals are taken at once.* Both handlers run on the same thread. `faulthandler` does nothing if it is at work
  already, and the other one waits until it is done.
* *The pipe is full*, since no thread reads what a process wrote after the parent stopped waiting. The worker's end does
  not block: the rest of the text is lost, and no process is held up.
* *Two threads of the parent ask*, or one asks while another closes: one at a time.
* *A job forks.* The child must not write here: `keep_quiet`.
"""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import threading
from collections.abc import Callable

from steadypool.model.clock import monotonic
from steadypool.pools.processes.ipc.thread_state import main_thread_of
from steadypool.rules.stack_sample import may_look

_HAS_REAL_TIME = hasattr(signal, "SIGRTMIN")
# Real-time signals, where there are any: other code rarely uses those.
LOOK = signal.SIGRTMIN + 9 if _HAS_REAL_TIME else signal.SIGUSR2
KNOCK = signal.SIGRTMIN + 10 if _HAS_REAL_TIME else getattr(signal, "SIGINFO", signal.SIGUSR1)
STACK_SECONDS = 0.1
"""How long an answer may take."""
STEP_SECONDS = 0.005
"""How long the parent waits for text before it looks at the thread's state again."""
PAUSE_SECONDS = 0.01
"""What `faulthandler` writes comes without pauses: after one of this length there is no more."""
END = b"\n-- end --\n"
FATAL = "Fatal Python error"


class StackPipe:
    """The parent's end. Any thread may call any method; one at a time asks."""

    def __init__(self) -> None:
        self._end, self.worker_end = os.pipe()
        """The second is for the thread that starts the worker to hand over and close."""
        os.set_blocking(self._end, False)
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, pid: int, send: Callable[[int], None]) -> str:
        """What the process writes of its main thread now; empty if it does not, within `STACK_SECONDS`.

        Args:
            pid: the process.
            send: sends it a signal; raises `OSError` if that is impossible.
        """
        with self._lock:
            if self._closed:
                return ""
            self._read(0.0)
            try:
                return self._ask(pid, send).decode(errors="replace")
            except OSError:
                return ""  # it is dead, or another user's by now

    def _ask(self, pid: int, send: Callable[[int], None]) -> bytes:
        knocked, ran_before = monotonic(), main_thread_of(pid).on_cpu
        send(KNOCK)
        while (waited := monotonic() - knocked) < STACK_SECONDS:
            if text := self._read(STEP_SECONDS):
                return self._rest_of_answer(text, knocked + STACK_SECONDS)
            state, ran = main_thread_of(pid)
            had = None if ran is None or ran_before is None else ran - ran_before
            if may_look(waited, state, had):
                send(LOOK)
                return self._what_is_seen(knocked + STACK_SECONDS)
        return b""

    def _rest_of_answer(self, text: bytes, until: float) -> bytes:
        while END not in text and (more := self._read(until - monotonic())):
            text += more
        return _without_answerer(text.partition(END)[0])

    def _what_is_seen(self, until: float) -> bytes:
        text = self._read(until - monotonic())
        while text and (more := self._read(PAUSE_SECONDS)):
            text += more
        # If the thread has found time for the knock as well, it has written twice: either will do.
        return _without_answerer(text.partition(END)[0])

    def last_words(self) -> str:
        """What a process that has crashed has written of all its threads; empty if it has not."""
        with self._lock:
            text = b"" if self._closed else self._read(0.0)
        _, fatal, rest = text.decode(errors="replace").rpartition(FATAL)
        return fatal + rest if fatal else ""

    def _read(self, seconds: float) -> bytes:
        """What is in the pipe, waiting up to *seconds* for the first of it."""
        poller, text = select.poll(), b""
        poller.register(self._end, select.POLLIN)
        while poller.poll(max(0.0, 0.0 if text else seconds) * 1000):
            piece = os.read(self._end, 65536)
            if not piece:
                break  # the process is dead
            text += piece
        return text

    def close(self) -> bool:
        """Close the end, once the thread that asks now has done so; false if it is closed already."""
        with self._lock:
            if self._closed:
                return False
            self._closed = True
            os.close(self._end)
            return True

    def after_fork(self) -> None:
        """In a forked child, before it is closed: a thread that does not exist here may be asking."""
        self._lock = threading.Lock()


def _without_answerer(text: bytes) -> bytes:
    """The text without the row of the handler that wrote it."""
    own = answer.__code__.co_filename.encode()
    return b"".join(line for line in text.splitlines(keepends=True) if b'"' + own + b'"' not in line)


# -- in the worker

_worker_end = -1


def open_in_worker(end: int) -> None:
    """Have this process write to *end* where it is, when it is asked and when it crashes. On its main thread."""
    global _worker_end
    _worker_end = end
    os.set_blocking(end, False)
    faulthandler.enable(end, all_threads=True)
    # This thread alone: the others need not be at rest when this one is.
    faulthandler.register(LOOK, end, all_threads=False, chain=False)
    signal.signal(KNOCK, answer)
    # What the job's C code waits for in the kernel goes on, as it does after a look.
    signal.siginterrupt(KNOCK, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {KNOCK, LOOK})


def answer(number: int, frame: object) -> None:
    """Write where this thread is. Between two steps of a job: nothing must come of it that the job could notice."""
    try:
        faulthandler.dump_traceback(_worker_end, all_threads=False)
        os.write(_worker_end, END)
    except OSError:
        return  # full, or closed by a job


def keep_quiet() -> None:
    """In a child that a job has forked: it is not the worker, and must not speak for it."""
    faulthandler.disable()
    faulthandler.unregister(LOOK)
    signal.signal(KNOCK, signal.SIG_DFL)
