"""The terminal that a program runs in, for what its jobs run: ssh that asks for a password, ffmpeg that sets modes.

Each worker leads a process group of its own, so that Ctrl-C reaches the program alone, and so that a kill takes along
what the job has started. To the terminal these groups are in the background: who reads there, or sets its modes, is
stopped by SIGTTIN or SIGTTOU, its whole group with it.

The worker handles these two signals. As long as the program itself is in the foreground, it puts its own group there,
and has what was stopped go on; when the job has ended, it puts the program's back. Meanwhile it passes on to the
program what is typed: Ctrl-C, Ctrl-\\ and Ctrl-Z. Where another worker has the terminal, or the program is in the
background, the job waits for its turn. When a worker has died with the terminal, its parent takes it back.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from steadypool.model.clock import monotonic

FIRST_LOOK, LAST_LOOK = 0.01, 0.5
"""Seconds between two looks at who has the terminal, for a job that waits for it."""
SHELL_SECONDS = 1.0
"""How long a shell may take to put itself into the foreground when Ctrl-Z has stopped the program."""
CONTINUED = 8
"""How often what was stopped is told to go on: some stop themselves a moment after the signal."""


class Terminal:
    """The worker's end. Its job has asked for the terminal while `is_wanted`."""

    def __init__(self, program: int, is_busy: Callable[[], bool]) -> None:
        self._program = program
        """The process group of the program."""
        self._is_busy = is_busy
        self._own = os.getpgrp()
        self._pid = os.getpid()
        self.is_wanted = False
        self._is_giving_back = False
        """What is typed now may still have been meant for this group: the handler runs a moment after the key."""
        self._turn = 0
        self._changing = threading.RLock()
        """Held to give the terminal back, and by the thread that takes it. A handler may interrupt who holds it."""
        self._gives_way_until = 0.0
        with _terminal() as fd:
            if fd is None:
                return
        for number in (signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, self._was_stopped)
        for number in (signal.SIGQUIT, signal.SIGTSTP):
            signal.signal(number, self._was_typed)

    def was_interrupted(self, number: int, frame: FrameType | None) -> None:
        """SIGINT. The parent decides when a worker ends; it is told what the terminal has told this group alone."""
        if self._has_it():
            self._pass_on(number)

    def give_back(self) -> None:
        """The job has ended."""
        if not self.is_wanted:
            return
        with self._changing:
            self._is_giving_back = True
            self._turn += 1
            put_in_foreground(self._program, instead_of=self._own)
            _run_handlers()
            self.is_wanted = self._is_giving_back = False

    def _was_stopped(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._pid:
            if self._is_giving_back or not self._is_busy():
                return  # what an earlier job has left running stays in the background
            if not self.is_wanted:
                self.is_wanted = True
                # Not by `threading`: this handler may have interrupted it while it holds its lock.
                _thread.start_new_thread(self._wait_for_it, (self._turn,))
            if self._take():
                return
        time.sleep(FIRST_LOOK)  # the system call that is not allowed begins again after this

    def _was_typed(self, number: int, frame: FrameType | None) -> None:
        """SIGQUIT or SIGTSTP: meant for the program, if this group has the terminal, and else what it always is."""
        if self._has_it():
            self._pass_on(number)
        elif number == signal.SIGTSTP:
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _pass_on(self, number: int) -> None:
        if number == signal.SIGTSTP:
            self._gives_way_until = monotonic() + SHELL_SECONDS
            put_in_foreground(self._program, instead_of=self._own)
            os.killpg(
                self._own, signal.SIGTTIN
            )  # also what has just been told to go on: it would read the shell's input
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._program, number)

    def _wait_for_it(self, turn: int) -> None:
        """On a thread of its own, until the job has ended: take the terminal when it is the program's."""
        pause, told = FIRST_LOOK, 0
        while self._turn == turn:
            with self._changing:
                if self._turn != turn:
                    return  # the job has ended since the look above: the terminal is the program's
                if not self._has_it():
                    told = 0
                if self._take() and told < CONTINUED:
                    told += 1
                    os.killpg(self._own, signal.SIGCONT)
            time.sleep(pause)
            pause = min(2 * pause, LAST_LOOK)

    def _has_it(self) -> bool:
        if not self.is_wanted or os.getpid() != self._pid:
            return False
        if self._is_giving_back:
            return True
        with _terminal() as fd:
            return fd is not None and _foreground(fd) == self._own

    def _take(self) -> bool:
        """Whether this group has the terminal now."""
        if self._gives_way_until > monotonic():
            with _terminal() as fd:
                if fd is not None and _foreground(fd) in (self._program, self._own):
                    return False  # the shell has not noticed yet that the program was stopped
            self._gives_way_until = 0.0
        if put_in_foreground(self._own, instead_of=self._program):
            os.killpg(self._own, signal.SIGCONT)
            return True
        return self._has_it()


def put_in_foreground(group: int, *, instead_of: int) -> bool:
    """Put a process group into the foreground of the terminal, if there is one, and that other group is there now."""
    with _terminal() as fd:
        if fd is None or _foreground(fd) != instead_of:
            return False
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))  # it is allowed to who blocks this
        try:
            os.tcsetpgrp(fd, group)
        except OSError:
            return False  # the group, or the terminal, is gone
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return True


def _run_handlers() -> None:
    """Run the handlers of the signals that have come, on the main thread: each call of a function lets them in."""


def _foreground(fd: int) -> int:
    try:
        return os.tcgetpgrp(fd)
    except OSError:
        return 0  # the terminal was hung up


@contextmanager
def _terminal() -> Iterator[int | None]:
    """The terminal of this process's session; ``None`` if it has none."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)
