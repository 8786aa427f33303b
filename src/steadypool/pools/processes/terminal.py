"""The terminal that a program runs in, for what its jobs run: ssh that asks for a password, ffmpeg that sets modes.

Theory of operation
-------------------
Each worker leads a process group of its own, so that Ctrl-C reaches the program alone, and so that a kill takes along
what the job has started. To the terminal these groups are in the background: who reads there, or sets its modes, is
stopped by SIGTTIN or SIGTTOU, its whole group with it.

The worker hears these signals, and what is typed while its group is in the foreground (Ctrl-C, Ctrl-\\, Ctrl-Z), and
passes their numbers on to the program: by Python's wake-up descriptor, so also while its main thread is in C code that
lets no handler in, or holds the GIL. In the program one thread, the `Broker`, decides about them all:

* SIGTTIN, SIGTTOU: the worker's job waits for its turn. When the program itself is in the foreground, the broker puts
  the worker's group there, and has what was stopped go on.
* A key: it goes to the program's group if the worker's has the terminal, or had it a moment ago: the kernel may have
  chosen the group just before it changed.
* ENDED: the job has ended. The program's group goes into the foreground. The worker waits for the answer before it
  sends the job's result: so the program never reads its terminal from the background, and what the worker has sent
  before ENDED gives it the terminal no more.

A worker listens only while it runs jobs: what an earlier job has left running stays in the background. When a worker
has died with the terminal, its parent takes it back.

What cannot be mended: between the look at who has the terminal and the change of it a shell may put itself there, for
there is no call that does both. A key that is typed as a worker that has the terminal is killed goes with it. And what
ignores SIGINT in the worker, as C's ``system`` does, keeps Ctrl-C from the program for so long.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from steadypool.model.clock import monotonic
from steadypool.primitives.wakeup import PipeBell

FIRST_LOOK, LAST_LOOK = 0.01, 0.5
"""Seconds between two looks at who has the terminal, while a job has it or waits for it."""
SHELL_SECONDS = 1.0
"""How long a shell may take to put itself into the foreground when Ctrl-Z has stopped the program."""
LATE_SECONDS = 0.1
"""How long after a change of the foreground a key may come that was typed before."""
ANSWER_SECONDS = 1.0
"""How long a worker waits for its program, which may be stopped."""
CONTINUED = 8
"""How often what was stopped is asked to go on: some stop themselves a moment after the signal."""
ENDED = 0
"""Beside the numbers of signals: the job has ended."""
ANSWER = b"."
_LETS_NONE_IN = sys.version_info[:2] == (3, 13)
"""In a child that CPython 3.13.0 forked on another thread than the main one, no call of a function lets handlers in."""
_ASKING = (signal.SIGTTIN, signal.SIGTTOU)
_KEYS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)


class Terminal:
    """The worker's end."""

    def __init__(self, program: int, line: int) -> None:
        self._program = program
        """The process group of the program."""
        self._line = line
        """The socket to the broker; what else comes there are calls to look at the page."""
        self._pid = os.getpid()
        self._is_wanted = False
        self._listens = False
        self._had_until = 0.0
        with _terminal() as fd:
            self._is_there = fd is not None
        if self._is_there:
            for number in _ASKING:
                signal.signal(number, self._was_stopped)
            for number in _KEYS:
                signal.signal(number, self._was_typed)
            os.register_at_fork(after_in_child=self._forked)

    def listen(self) -> None:
        """Jobs begin. (One before may have taken the descriptor for an event loop of its own.)"""
        if self._is_there:
            signal.set_wakeup_fd(self._line, warn_on_full_buffer=False)
            self._listens = True

    def rest(self) -> None:
        """No job runs now: give the terminal back if one had asked for it."""
        if self._is_there:
            signal.set_wakeup_fd(-1)
            self._run_handlers()  # of all signals that the broker has heard of
            self._listens = False
            if self._is_wanted:
                self._give_back()

    @property
    def is_wanted(self) -> bool:
        """Whether the job has asked for the terminal."""
        self._run_handlers()
        return self._is_wanted

    def _run_handlers(self) -> None:
        """Run the handlers of the signals that have come, on the main thread: each call of a function lets them in."""
        if _LETS_NONE_IN and self._is_there:
            os.kill(self._pid, 0)  # this looks for them itself

    def job_ended(self) -> None:
        """The job that had asked has ended, and others may follow at once."""
        self.rest()
        self.listen()

    def _give_back(self) -> None:
        self._had_until = monotonic() + LATE_SECONDS
        self._is_wanted = False
        self._send(ENDED)
        until = monotonic() + ANSWER_SECONDS
        while select.select([self._line], [], [], max(0.0, until - monotonic()))[0]:
            with suppress(BlockingIOError):
                if ANSWER in (received := os.read(self._line, 4096)) or not received:
                    break
        put_in_foreground(self._program, instead_of=self._pid)  # if the program does not answer

    def _was_stopped(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._pid:
            if not self._listens:
                return  # what an earlier job has left running stays in the background
            self._is_wanted = True
            self._make_heard(number)
        time.sleep(FIRST_LOOK)  # the system call that is not allowed begins again after this

    def _was_typed(self, number: int, frame: FrameType | None) -> None:
        """Meant for the program if this group has the terminal, and else what it always is; SIGINT is not for us."""
        is_worker = os.getpid() == self._pid
        if is_worker and (self._is_wanted or monotonic() < self._had_until):
            self._make_heard(number)
        elif number == signal.SIGTSTP:
            os.kill(os.getpid(), signal.SIGSTOP)
        elif number == signal.SIGQUIT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _make_heard(self, number: int) -> None:
        """Send it by hand, unless it has gone by the wake-up descriptor."""
        if self._listens:
            other = signal.set_wakeup_fd(self._line, warn_on_full_buffer=False)
            if other == self._line:
                return
            if other != -1:
                signal.set_wakeup_fd(other)  # an event loop's, in the job
        self._send(number)

    def _send(self, number: int) -> None:
        with suppress(OSError):  # the program is gone, or has not read thousands of them
            os.write(self._line, bytes([number]))

    def _forked(self) -> None:
        if self._listens and (now := signal.set_wakeup_fd(-1)) != self._line:
            signal.set_wakeup_fd(now)  # the child has one of its own
        self._listens = self._is_wanted = False


class _Group:
    """A worker's process group, as the broker knows it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.told = 0
        """How often it was asked to go on since it has the terminal."""
        self.had_until = 0.0


class Broker:
    """The program's end: one for all its pools. Its thread runs while there are workers, and a terminal.

    All it knows is changed under its lock.
    """

    def __init__(self) -> None:
        self._bell: PipeBell | None = None
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Know nothing: also in a forked child, whose parent minds the workers."""
        self._pid = os.getpid()
        if self._bell is not None:
            self._bell.close()
        self._bell = None
        self._lock = threading.Lock()
        self._groups: dict[int, _Group] = {}
        """By the descriptor of the line to the worker."""
        self._waiting: list[_Group] = []
        """Those whose jobs have asked; the first has the terminal, or gets it next."""
        self._gives_way_until = 0.0
        self._pause = FIRST_LOOK

    def watch(self, line: int, worker: int) -> None:
        """Hear what a worker says on this line."""
        with _terminal() as fd:
            if fd is None:
                return
        with self._lock:
            if self._bell is None and not self._start():
                return  # the system has no more threads or descriptors: the worker's jobs do without the terminal
            self._groups[line] = _Group(worker)
            self._ring()

    def worker_died(self, line: int) -> None:
        """Take the terminal back if the worker had it. Its line is not looked at after this."""
        if self._pid != os.getpid():
            return  # a forked child's parent minds them
        with self._lock:
            group = self._groups.pop(line, None)
            if group is not None:
                self._take_back(group)
                self._ring()

    def _start(self) -> bool:
        with suppress(OSError, RuntimeError):
            bell = PipeBell()
            try:
                threading.Thread(target=self._run, args=(bell,), name="steadypool-terminal", daemon=True).start()
                self._bell = bell
            finally:
                if self._bell is None:
                    bell.close()
        return self._bell is not None

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.ring()

    def _run(self, bell: PipeBell) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            with self._lock:
                if not self._groups:
                    self._bell = None
                    bell.close()
                    return
                watched = dict.fromkeys(self._groups, select.POLLIN)
                pause = self._pause if self._waiting else None
            ready = bell.wait(pause, watched)
            with self._lock:
                for line in ready:
                    self._read(line)
                self._give()
                self._pause = FIRST_LOOK if ready else min(2 * self._pause, LAST_LOOK)

    def _read(self, line: int) -> None:
        group = self._groups.get(line)
        if group is None:
            return  # it has died meanwhile
        try:
            received = os.read(line, 4096)
        except BlockingIOError:
            return  # the number is another's by now than when it was ready
        except OSError:
            received = b""
        if not received:
            del self._groups[line]
            self._take_back(group)
        for number in received:
            if number == ENDED:
                self._take_back(group)
                with suppress(OSError):
                    os.write(line, ANSWER)
            elif number in _ASKING:
                if group not in self._waiting:
                    self._waiting.append(group)
            elif number in _KEYS:
                self._pass_on(group, number)

    def _take_back(self, group: _Group) -> None:
        """Its job has ended, or it has died."""
        group.told = 0
        if group in self._waiting:
            self._waiting.remove(group)
        if put_in_foreground(os.getpgrp(), instead_of=group.number):
            group.had_until = monotonic() + LATE_SECONDS

    def _pass_on(self, group: _Group, number: int) -> None:
        if _in_foreground() != group.number and group.had_until < monotonic():
            return  # another process has sent it to the worker
        program = os.getpgrp()
        if number == signal.SIGTSTP:
            self._gives_way_until = monotonic() + SHELL_SECONDS
            put_in_foreground(program, instead_of=group.number)
            _signal(group.number, signal.SIGTTIN)  # what has just been asked to go on would read the shell's input
        _signal(program, number)

    def _give(self) -> None:
        """Give the terminal to the first that waits, if it is the program's."""
        if not self._waiting:
            return
        first, now, program = self._waiting[0], _in_foreground(), os.getpgrp()
        if self._gives_way_until > monotonic() and now in (program, first.number):
            return  # the shell has not noticed yet that the program was stopped
        self._gives_way_until = 0.0
        if now == program and put_in_foreground(first.number, instead_of=program):
            first.told, now = 0, first.number
        if now == first.number and first.told < CONTINUED:
            first.told += 1
            _signal(first.number, signal.SIGCONT)


broker = Broker()


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


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _in_foreground() -> int:
    with _terminal() as fd:
        return 0 if fd is None else _foreground(fd)


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
