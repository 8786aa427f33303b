"""One worker process, as its parent sees it: its hand, its socket, its status page, its process.

The other side is in `child.py`. All workers of a pool are in `worker_set.py`, and what the core asks in `workers.py`.
"""

from __future__ import annotations

import multiprocessing.process
import os
import select
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.context import BaseContext
from typing import TYPE_CHECKING, Any

from steadypool.model.clock import monotonic
from steadypool.pools.core.report_rows import worker_row
from steadypool.pools.core.shared import Job
from steadypool.pools.processes import child
from steadypool.pools.processes.chunk import Chunk, Entry
from steadypool.pools.processes.ipc.buffers import BufferPool, BufferReader
from steadypool.pools.processes.ipc.faulthandler_text import read_stack
from steadypool.pools.processes.ipc.stack_request import StackPipe
from steadypool.pools.processes.ipc.status_page import Page, make_page
from steadypool.pools.processes.ipc.wire import ITEMS_MOST, LOADING, FrameStream, Line, make_line, sending
from steadypool.pools.processes.packets import workers_import_main
from steadypool.pools.processes.terminal import broker
from steadypool.pools.processes.worker_args import Descriptor, WorkerArgs, WorkerOptions, hold_standard_descriptors

if TYPE_CHECKING:
    from steadypool.model.reports import WorkerStats

KNOWN_SECONDS = 1.0
"""How long it may take that thread to go on."""
_AT_A_JOB = frozenset({"_run", "_run_items"})
_CUT = "\n  ...\n"
"""How `faulthandler` ends a stack that is too deep."""


class SinceWhen:
    """For how long each look has found the same."""

    def __init__(self) -> None:
        self._found, self._since = 0, 0.0

    def seconds(self, found: int) -> float:
        """So long, now that this is found."""
        now = monotonic()
        if found != self._found:
            self._found, self._since = found, now
        return now - self._since


class ProcessWorker:
    """The parent's ends of everything, and the jobs in this worker's ``hand``: the first runs, the others wait.

    Only the core's lock protects ``hand``, ``taken`` and the flags.
    """

    def __init__(self, name: str, packets: bool) -> None:
        hold_standard_descriptors()
        self.name = name
        self.hand: deque[Entry] = deque()
        self.taken: Job | None = None
        """The job it runs though another thread has settled it."""
        self.taken_name: str | None = None
        self.taken_arguments = ""
        self.succeeded = self.done = 0
        self.refusal: Exception | None = None
        """What the system said when it could not be started."""
        self.restarts = 0
        """Workers that had its place before, and died."""
        self.ready = self.left = False
        """``left``: it was killed, and nothing it says counts any more."""
        self.told_to_leave = 0.0
        self.broken = False
        """Its initializer has failed."""
        self.start_began = False
        self.unfit = ""
        """Why it could not set itself up, in its own words."""
        self.refused: RuntimeError | None = None
        """Why it must not be started."""
        self.started = False
        self._is_known = threading.Event()
        """`start` has returned; the process may have done a lot by then."""
        self.retiring = False
        self.socket_full = False
        """Its socket had no room for another packet."""
        self.dead = False
        self.pid = self.thread_ident = 0
        self.pidfd: int | None = None
        self.process: Any = None
        self.page: Page
        with ExitStack() as made:  # so that nothing is left open if there is not enough for all
            self._open_ends(packets, made)
            made.pop_all()
        self.frames = FrameStream(self.results)
        self._same_run, self._same_unread = SinceWhen(), SinceWhen()
        """What it ran, and what it had not begun, at the last look."""
        self.avoided_until = 0.0
        """Until when it gets no jobs if others can: it did not read those that it had."""
        self.last_together = self.log_seen = 0
        """The last serial of what travelled with others; the first one in its log when that was looked at last."""
        self._by_forkserver = False
        self._handed_over = False
        """The worker's ends are the kit's to close: their numbers may be other people's by now."""
        self._closed = False

    def _open_ends(self, packets: bool, made: ExitStack) -> None:
        self.line, self._worker_line = make_line(packets)
        made.callback(self.line.close)
        made.callback(self._worker_line.close)
        self.duplicate = Line(self._worker_line.end.dup())
        made.callback(self.duplicate.close)
        self.results, self._worker_results = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for end in (self.results, self._worker_results):
            made.callback(end.close)
            end.setblocking(True)
        self.page, self._page_fd = make_page()
        made.callback(self.page.close)
        made.callback(_close, self._page_fd)
        self.outgoing, self.incoming = BufferPool(self.page.argument_marks), BufferReader(self.page.result_marks)
        made.callback(self.incoming.close)
        self._worker_lifeline, self._lifeline = _open_pipe(made)
        self._worker_control, self._control = _open_socket_pair(made)
        os.set_blocking(self._control, False)
        self._stacks = StackPipe()

    # -- its life

    def start(self, context: BaseContext, pool: str, options: WorkerOptions) -> None:
        """Start the process. Raises what `multiprocessing` raises if it cannot."""
        kit = WorkerArgs(
            pool=pool,
            jobs=Descriptor(self._worker_line.end.detach()),
            jobs_keep_packets=self.line.keeps_packets,
            results=Descriptor(self._worker_results.detach()),
            page=Descriptor(self._page_fd),
            lifeline=Descriptor(self._worker_lifeline),
            control=Descriptor(self._worker_control),
            stacks=Descriptor(self._stacks.worker_end),
            program=os.getpgrp(),
            initializer=options.initializer,
            max_tasks=options.max_tasks,
            max_memory=options.max_memory,
        )
        self._handed_over = True
        try:
            process = context.Process(target=child.main, args=(kit,), name=self.name)  # type: ignore[attr-defined]
            with _main_as_it_can_be_imported():
                process.start()
        finally:
            kit.close()
        # Or else any thread that starts a process may reap this one, and its exit code is lost between two.
        multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]
        self.process = process
        self._by_forkserver = context.get_start_method() == "forkserver"
        self.pid = process.pid
        self.pidfd = _pidfd(self.pid)
        self.started = True
        broker.watch(self._control, self.pid)
        self._is_known.set()
        if self.left:
            self.kill()  # asked for while there was nothing to kill yet

    def wait_until_known(self) -> None:
        """Let the thread that starts the process note what it has started."""
        self._is_known.wait(KNOWN_SECONDS)

    def death_watch(self) -> int:
        """A descriptor that is readable once the process is dead."""
        return self.pidfd if self.pidfd is not None else int(self.process.sentinel)

    def is_dead(self, seconds: float | None, bell: int | None = None) -> bool:
        """Whether the process has died, waiting up to *seconds* for it, or until the *bell* is rung (a descriptor)."""
        if not self.started:
            return True
        poller = select.poll()
        poller.register(self.death_watch(), select.POLLIN)
        if bell is not None:
            poller.register(bell, select.POLLIN)
        # No more than a day: a limit may be one that no poll can count to, and who waits for longer asks again.
        came = poller.poll(None if seconds is None else min(max(0.0, seconds), 86_400.0) * 1000)
        return any(fd == self.death_watch() for fd, _ in came)

    def kill(self) -> None:
        """Kill the process and the children it has started.

        The process may be another user's by now: then its lifeline is cut, and it is the kernel that kills it.
        """
        self.left = True
        if not self.started or self.is_dead(0):
            return
        refused = False
        for kill in (os.killpg, os.kill):
            try:
                kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # not the leader of its group yet, or just gone
            except PermissionError:
                refused = kill is os.kill  # of a group whose only member is a zombie macOS says so too
        if refused:
            self._cut_lifeline()

    def _cut_lifeline(self) -> None:
        lifeline, self._lifeline = self._lifeline, -1
        if lifeline >= 0:
            _close(lifeline)

    def take_terminal_back(self) -> None:
        """It has died: put the program into the foreground of the terminal again, if this worker's job was there."""
        broker.worker_died(self._control)

    def exitcode(self) -> int | None:
        """The exit code of a dead process; negative for a signal; ``None`` if it cannot be learnt."""
        if not self.started:
            return None
        self.process.join(0.2)
        code: int | None = self.process.exitcode
        if code == 255 and self._by_forkserver:
            return None  # what multiprocessing says when the forkserver could not tell
        return code

    def end_line(self) -> None:
        """Tell the worker that no more jobs come: it leaves when it has none. What it sends can still be read."""
        self.told_to_leave = self.told_to_leave or monotonic()
        try:
            self.line.end.shutdown(socket.SHUT_WR)
        except OSError:
            return  # closed already, or the process is dead

    def close(self) -> None:
        """Close everything, once the process is dead."""
        if self._closed:
            return
        self._closed = True
        self.close_ends()
        if not self._handed_over:
            for end in (self._worker_line, self._worker_results):
                end.close()
            for fd in (self._page_fd, self._worker_lifeline, self._worker_control, self._stacks.worker_end):
                _close(fd)
        if self.started:
            self.process.join(1.0)
            if self.process.exitcode is not None:
                self.process.close()
        self.outgoing.close()
        self.incoming.close()
        self.page.close()

    def close_ends(self) -> None:
        """Close the parent's descriptors."""
        if not self._stacks.close():  # first: after the one that asks now, no thread needs the pidfd
            return
        broker.worker_died(self._control)
        self.line.close()
        self.duplicate.close()
        self.results.close()
        self._cut_lifeline()
        for fd in (self._control, self.pidfd):
            if fd is not None:
                _close(fd)

    def after_fork(self) -> None:
        """In a forked child: close the copies of the parent's ends."""
        self._stacks.after_fork()
        self.close_ends()
        self.outgoing.after_fork()
        self.incoming.close()

    # -- its jobs

    def first(self) -> Entry | None:
        """What is first in its hand. Without the lock another thread may empty the hand meanwhile."""
        try:
            return self.hand[0]
        except IndexError:
            return None

    def running(self) -> tuple[Job, ...]:
        """The job it runs, as far as is known without asking: the first in its hand, unless that is a chunk.

        While it runs one that another thread has settled, nothing in its hand has begun.
        """
        first = self.first()
        return () if first is None or self.taken is not None or isinstance(first, Chunk) else (first,)

    def has_started(self, job: Entry) -> bool:
        """Whether the process has begun this sending of the job."""
        running = self.page.running()
        return running == job._serial or (job._size > 1 and sending(running) == sending(job._serial))

    def has_run(self) -> float:
        """Seconds since the process began what is first in the hand, as far as it has."""
        first = self.first()
        return monotonic() - self.page.began() if first is not None and self.has_started(first) else 0.0

    def has_read(self, job: Entry) -> bool:
        """Whether the process has taken this sending of the job off its socket, as far as the page says."""
        return sending(self.page.running()) >= sending(job._serial)

    def sent_with(self, serial: int) -> list[Entry]:
        """What came into the hand by the sending that this serial is of: jobs, a chunk, or what is left of one."""
        return [job for job in self.hand if sending(job._serial) == sending(serial)]

    def wake(self) -> None:
        """Have the process drop the shared values that are gone."""
        try:
            self.results.send(b"!", socket.MSG_DONTWAIT)
        except OSError:
            return  # it has not read the last one, or is dead

    def has_buffers(self) -> bool:
        """Whether there is memory that may be given back."""
        return not (self.outgoing.is_empty and self.incoming.is_empty)

    def is_loading(self) -> bool:
        """Whether it reads a chunk, and has begun no item yet."""
        return self.page.running() % ITEMS_MOST == LOADING

    def has_more(self) -> bool:
        """Whether there may be something in its hand that it has not begun."""
        if len(self.hand) > 1:
            return True
        first = self.first()
        return first is not None and (self.taken is not None or first._size > 1)

    def next_serial(self) -> int | None:
        """The serial whose outcome is waited for next."""
        first = self.first()
        serials = [] if first is None else [first._serial + (first.done if isinstance(first, Chunk) else 0)]
        if self.taken is not None:
            serials.append(self.taken._serial)
        return min(serials, default=None)

    def is_held_up(self, seconds: float) -> bool:
        """Whether it has been at the same job, or the same item of a chunk, for so long, as far as this was called."""
        return self._same_run.seconds(self.page.running()) >= seconds

    def has_unread(self) -> bool:
        """Whether it has not begun what is first in its hand."""
        first = self.first()
        return first is not None and self.taken is None and not self.has_started(first)

    def has_unread_for(self, seconds: float) -> bool:
        """Whether it has had the same job unread for so long, as far as this was called."""
        first = self.first()
        return first is not None and self._same_unread.seconds(first._serial) >= seconds

    def is_avoided(self) -> bool:
        """Whether jobs were taken from it a moment ago that it had not read: it has stopped, or hangs as it starts."""
        if self.avoided_until and self.avoided_until < monotonic():
            self.avoided_until = 0.0
        return self.avoided_until > 0.0

    def tell(self, job: Entry, cause: str) -> None:
        """Tell the job to stop: through the page, and through the pipe for one that sleeps."""
        self.page.tell(job._serial, cause)
        try:
            os.write(self._control, b"!")
        except OSError:
            return  # full: it has not looked at those before yet; or the process is dead, and needs no word

    def stack(self, job: Job) -> tuple[str, str]:
        """Where the job is now. The process writes it itself, also while C code holds its GIL."""
        if not self.ready or not self.started or self.dead or not self.has_started(job):
            return "", ""
        text = self._stacks.ask(self.pid, self._send_signal)
        if not self.has_started(job) or not _is_of_a_job(text):
            return "", ""  # another has begun meanwhile, and this may be that one's; or the job has just ended
        return self._parse_stack(text)

    def last_stack(self) -> tuple[str, str]:
        """The stack that a process which has crashed has left, if it has."""
        return self._parse_stack(self._stacks.last_words())

    def _send_signal(self, number: int) -> None:
        """Raises `ProcessLookupError` if the process is dead. With a pidfd it cannot be another one with its number."""
        if self.pidfd is not None and hasattr(signal, "pidfd_send_signal"):
            signal.pidfd_send_signal(self.pidfd, number)
        else:
            os.kill(self.pid, number)

    def _parse_stack(self, text: str) -> tuple[str, str]:
        """The job's part of what `faulthandler` wrote."""
        return read_stack(text, self.thread_ident, child.__file__)

    def row(self) -> WorkerStats:
        """What `PoolStats` says of this worker."""
        job = self.taken or self.first()
        return worker_row(self.name, job, self.taken_name, self.done, self.pid or None, self.restarts)  # type: ignore[arg-type]


def _is_of_a_job(text: str) -> bool:
    """Whether what `faulthandler` wrote is from within a job, and not from the worker's own loop between two."""
    return _CUT in text or any(
        f'"{child.__file__}"' in line and line.rpartition(" in ")[2] in _AT_A_JOB for line in text.splitlines()
    )


@contextmanager
def _main_as_it_can_be_imported() -> Iterator[None]:
    """`multiprocessing` has workers run the file of the main module, also if that is none, such as ``<stdin>``."""
    main, file = sys.modules.get("__main__"), None
    if not workers_import_main():
        file = main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        if file is not None:
            main.__dict__["__file__"] = file


def _pidfd(pid: int) -> int | None:
    open_pidfd: Callable[[int], int] | None = getattr(os, "pidfd_open", None)
    if open_pidfd is None:
        return None
    try:
        return open_pidfd(pid)
    except OSError:
        return None  # dead and reaped already, or a kernel without it: the sentinel has to do


def _open_socket_pair(made: ExitStack) -> tuple[int, int]:
    one, other = (end.detach() for end in socket.socketpair())
    for end in (one, other):
        made.callback(_close, end)
    return one, other


def _open_pipe(made: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        made.callback(_close, end)
    return ends


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return
