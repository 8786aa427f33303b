"""What runs in a worker process.

One loop on the main thread: read a packet, run its calls, send their outcomes (`ipc.wire` has the theory of it). It
leaves when the line ends, which is how the parent retires it, and is killed through the lifeline when the parent is
gone, even inside C code.

The order of the writes is what the parent relies on to know whom to blame if this process dies: the page says
"running k" before call k runs, and the outcome of k is in the socket or in the log before the page says "running k+1".
"""

from __future__ import annotations

import contextvars
import fcntl
import gc
import logging
import os
import pickle
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from types import CoroutineType
from typing import Any

from steadypool.model.clock import monotonic
from steadypool.model.error_text import first_line, in_a_line
from steadypool.model.options import task_name
from steadypool.pools.core.forked_job import end_child
from steadypool.pools.core.functions import unawaited_error
from steadypool.pools.core.tame_errors import tamed, trace_of
from steadypool.pools.processes.after_fork import forget_imports
from steadypool.pools.processes.import_guard import loads_jobs
from steadypool.pools.processes.ipc import stack_request
from steadypool.pools.processes.ipc.buffers import BufferPool
from steadypool.pools.processes.ipc.exceptions import pack_error
from steadypool.pools.processes.ipc.main_globals import note_main
from steadypool.pools.processes.ipc.payload_reader import PayloadReader
from steadypool.pools.processes.ipc.pickles import LoadedFunctions, dump, load
from steadypool.pools.processes.ipc.status_page import HELD_TO, NONE, RUNNING, Page
from steadypool.pools.processes.ipc.wire import (
    BROKEN,
    CARRIED,
    ERROR,
    IN_BUFFER,
    KEYWORDS,
    LOADING,
    NOT_BEGUN,
    NOT_FOUND,
    NOTE,
    NOTHING,
    PROGRESS,
    READY,
    RESULT,
    RETIRING,
    SEVERAL,
    SINGLE,
    UNFIT,
    VALUE,
    VALUE_IN_BUFFER,
    WHOLE,
    CallFrame,
    read_packet,
)
from steadypool.pools.processes.memory import memory_reader
from steadypool.pools.processes.outbox import ATOMS, GATHER_SECONDS, ForkedOutbox, Outbox, is_small
from steadypool.pools.processes.terminal import Terminal
from steadypool.pools.processes.worker_args import WorkerArgs
from steadypool.primitives.job_context import JobContext, check_progress, set_finder


def main(kit: WorkerArgs) -> None:
    """The life of a worker process."""
    gc.freeze()  # what a forked process has inherited: the collector need not walk it, and copy its pages
    try:
        _become_a_worker(kit)
        forget_imports()
        worker = Worker(kit)
    except BaseException as error:
        _say_why(kit, error)
        raise
    worker.work()


def _say_why(kit: WorkerArgs, error: BaseException) -> None:
    """This process ends before it is a worker."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, kit.results.fd) as end:
        Outbox(end, Page(kit.page.fd)).send(UNFIT, NONE, in_a_line(error).encode())


def _become_a_worker(kit: WorkerArgs) -> None:
    # A group of its own: Ctrl-C at the terminal reaches the parent alone, and a kill takes the job's children along.
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):
        # systemd signals the whole cgroup; the worker leaves with its parent. A handler that does nothing, rather
        # than SIG_IGN, which the programs that a job starts would inherit.
        signal.signal(number, _not_for_workers)
    stack_request.open_in_worker(kit.stacks.fd)
    _tie_to_parent(kit.lifeline.fd)


def _not_for_workers(number: int, frame: object) -> None:
    """The parent decides when a worker ends."""


def _tie_to_parent(lifeline: int) -> None:
    """Have the kernel kill this process and the programs of its jobs when the parent is gone; where it cannot, a thread
    does."""
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpid())  # the group: with the programs that jobs have started
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([lifeline], [], [], 0)[0]:
            _end_group()  # it was gone before the kernel was asked to watch
    else:
        threading.Thread(target=_watch_parent, args=(lifeline,), daemon=True).start()


def _watch_parent(lifeline: int) -> None:
    os.read(lifeline, 1)
    _end_group()


def _end_group() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


class Worker:
    """The loop, and what it holds."""

    def __init__(self, kit: WorkerArgs) -> None:
        self._kit = kit
        self.pool = kit.pool
        self.page = Page(kit.page.fd)
        self.control = kit.control.fd
        self._line = kit.job_line()
        results = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, kit.results.fd)
        self._out: Any = Outbox(results, self.page)
        self._payloads = PayloadReader(self.page.argument_marks, results)
        self._outgoing = BufferPool(self.page.result_marks)
        self._functions = LoadedFunctions()
        self._done = 0
        self._context: ProcessJobContext | None = None
        self._frame: CallFrame | None = None
        self._wears_out = kit.max_tasks is not None or kit.max_memory is not None
        self._rss = memory_reader() if kit.max_memory is not None else None
        os.set_blocking(self.control, False)
        self._terminal = Terminal(kit.program, self.control)
        self._is_forked = False
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        """In a child that a job forks. It may do as it likes, but it is no second worker on the same line.

        With a copy of the lifeline it would be killed as soon as the parent has seen the worker off. As long as the
        worker lives, the kernel ends both together, by their group.
        """
        if self._is_forked:
            return  # a child's child: the number may be that of a descriptor of its own
        self._is_forked = True
        os.close(self._kit.lifeline.fd)
        self._out = ForkedOutbox()
        self._outgoing.after_fork()
        stack_request.keep_quiet()

    def work(self) -> None:
        """Run jobs until the line ends."""
        note_main()
        if not self._initialize():
            return
        set_finder(self._current)
        # Modules and what the initializer has made live as long as the worker: no collection looks at them again.
        gc.collect()
        gc.freeze()
        self._out.send(READY, NONE, str(threading.get_ident()).encode())
        while not (self._wears_out and self._is_worn_out()):
            _flush_output()
            self._terminal.rest()
            packet, fds = self._line.receive() or (b"", ())
            self._terminal.listen()
            if not packet:
                return
            frames = read_packet(packet)
            alone = len(frames) == 1
            if not alone:
                self._out.start_clock()
            for frame in frames:
                if not self._run(frame, fds, alone):
                    break
            self._out.flush()
            self._frame = None
        self._out.send(RETIRING, NONE)
        _flush_output()
        self._wait_for_the_end()

    def _initialize(self) -> bool:
        kit = self._kit
        if kit.initializer is None:
            return True
        self._terminal.listen()
        try:
            kit.initializer()
        except BaseException as error:
            self._out.send(BROKEN, NONE, pack_error(error))
            return False
        finally:
            self._terminal.rest()
        return True

    def _is_worn_out(self) -> bool:
        kit = self._kit
        if kit.max_tasks is not None and self._done >= kit.max_tasks:
            return True
        return self._rss is not None and self._done > 0 and self._rss() > (kit.max_memory or 0)

    def _wait_for_the_end(self) -> None:
        """Leave what is on the line to another worker: the parent takes it back and ends the line."""
        if self._line.keeps_packets:
            poller = select.poll()
            poller.register(self._line.end, select.POLLHUP | getattr(select, "POLLRDHUP", 0))
            while not any(event & ~select.POLLIN for _, event in poller.poll()):
                pass
        else:
            self._line.end.recv(1, socket.MSG_PEEK)

    def _run(self, frame: CallFrame, fds: Sequence[int], alone: bool) -> bool:
        """Run the calls of a frame. False if one must not begin, and what stands behind it in the packet neither."""
        several = frame.flags & SEVERAL
        began = monotonic()
        self.page.begin(frame.serial + LOADING if several else frame.serial, began)
        if self.page.is_withheld(frame.serial):  # after the line above: see `pools.processes.steal`
            self._out.send(NOT_BEGUN, frame.serial)
            return False
        self._done += 1
        self._context, self._frame = None, frame
        # A context of its own for each call: what it sets is gone with it.
        context = contextvars.Context()
        try:
            if frame.flags & CARRIED:
                _do_carried(frame, context)
            fn, args, kwargs = self._load(frame, fds)
        except BaseException as error:
            self._could_not_load(frame, error, began)
            return True
        if several or frame.extras:
            # The attempt's clock: what its function's module takes to be imported is not the job's time.
            began = monotonic()
            self.page.begin(frame.serial, began)
        if several:
            self._run_several(frame.serial, fn, args, context)
            return True
        try:
            try:
                result = context.run(fn, *args, **kwargs)
            finally:
                self._see_to_terminal()
            del fn, args, kwargs
        except BaseException as error:
            if isinstance(self._out, ForkedOutbox):
                end_child(error)
            self._out.send(ERROR, frame.serial, _pack_raised(error), monotonic() - began)
        else:
            self._deliver(frame.serial, result, began, alone)
        return True

    def _could_not_load(self, frame: CallFrame, error: BaseException, began: float) -> None:
        """What a frame holds cannot be read: a call fails by it, and several are to come back one by one."""
        if isinstance(self._out, ForkedOutbox):
            end_child(error)
        if frame.flags & SEVERAL:
            self._out.send(NOT_BEGUN, frame.serial)
        elif isinstance(error, AttributeError | ImportError) and b"__main__" in frame.function + frame.call:
            # It is not there under its name in a worker: the parent sends it by value.
            self._out.send(NOT_FOUND, frame.serial, pack_error(error))
        else:
            self._out.send(ERROR, frame.serial, _pack_raised(error), monotonic() - began)

    def _run_several(
        self, serial: int, fn: Callable[..., object], calls: Iterable[Iterable[object]], context: contextvars.Context
    ) -> None:
        """Run the calls of one frame. Each is a job of its own: in the page, in its context, in its outcome."""
        self._out.start_clock()
        numbered = enumerate(calls, serial)
        while context.run(self._run_items, fn, numbered):
            context = contextvars.Context()
        self._see_to_terminal()

    def _see_to_terminal(self) -> None:
        if self._terminal.is_wanted:
            self._terminal.job_ended()

    def _run_items(self, fn: Callable[..., object], calls: Iterator[tuple[int, Iterable[object]]]) -> bool:
        """Run what is left of several calls, up to the first that sets a context variable: the next needs a new one.

        This is the innermost loop: what it does for each call it does itself, as far as that is usual.
        """
        cells, out, atoms, context = self.page.serials, self._out, ATOMS, contextvars.copy_context
        gather = out.gather
        for serial, args in calls:
            cells[RUNNING] = serial
            if serial < cells[HELD_TO] and self.page.is_withheld(serial):
                out.send(NOT_BEGUN, serial)
                return False
            try:
                result = fn(*args)
            except BaseException as error:
                if self._out is not out:
                    end_child(error)
                out.send(ERROR, serial, _pack_raised(error))
            else:
                if self._out is not out:
                    end_child(None)  # the item has forked: the other items are not for the child
                if not ((type(result) in atoms or is_small(result)) and gather(serial, result)):
                    self._gather_pickled(serial, result)
            self._context = None
            if context():
                return True
        return False

    def _deliver(self, serial: int, result: object, began: float, alone: bool) -> None:
        """Send the result of a call, or let it gather if the call travelled with others and took a moment only."""
        if isinstance(self._out, ForkedOutbox):
            end_child(None)
        now = monotonic()
        if alone or now - began > GATHER_SECONDS:
            self._out.send(*self._pack_result(serial, result), now - began)
            return
        if not (is_small(result) and self._out.gather(serial, result)):
            self._gather_pickled(serial, result)
        if self._out.is_old(now):
            self._out.flush()

    def _gather_pickled(self, serial: int, result: object) -> None:
        """Let a result leave with others, as a pickle; on its own if it is big."""
        status, serial, payload = self._pack_result(serial, result)
        if status != VALUE or not self._out.gather(serial, [payload]):
            self._out.send(status, serial, payload)

    @loads_jobs
    def _load(self, frame: CallFrame, fds: Sequence[int]) -> tuple[Callable[..., object], Any, dict[str, object]]:
        """What a frame holds: the function, and the arguments of its call, or those of each of its calls."""
        flags, call = frame.flags, frame.call
        args: Any = self._payloads.load(call, fds) if flags & IN_BUFFER else load(call) if call else ()
        kwargs: dict[str, object] = {}
        if not flags & WHOLE:
            fn = self._functions.load(frame.function)
            if flags & KEYWORDS:
                args, kwargs = args
        elif flags & SEVERAL:
            fn, args = args
        else:
            fn, args, kwargs = args
        return fn, zip(args) if flags & SINGLE else args, kwargs

    def _pack_result(self, serial: int, result: object) -> tuple[int, int, bytes]:
        """Status, serial and payload of a result; the memory of a big one is sent ahead, if it is new."""
        if result is None:
            return NOTHING, serial, b""
        if type(result) is CoroutineType:
            return ERROR, serial, pack_error(unawaited_error(result))
        try:
            pickled = dump(result, to_parent=True)
            if not pickled.is_big:
                return VALUE, serial, pickled.stream
            loan = self._outgoing.lend(pickled.parts())
            if loan.fd is not None:
                try:
                    self._line.send(RESULT.pack(serial, VALUE_IN_BUFFER, 0.0, 0), [loan.fd], wait=True)
                finally:
                    os.close(loan.fd)
            return VALUE_IN_BUFFER, serial, loan.describe()
        except BaseException as error:
            error.add_note("(the job returned, but its result cannot be carried to the parent process)")
            return ERROR, serial, pack_error(error)

    def _current(self) -> JobContext | None:
        if self._frame is None:
            return None
        if self._context is None:
            frame = self._frame
            if frame.flags & SEVERAL:
                serial = self.page.running()
                frame = frame._replace(serial=serial, number=frame.number + serial - frame.serial)
            self._context = ProcessJobContext(self, frame)
        return self._context

    def name_of(self, frame: CallFrame) -> str:
        """The name of a task that has none of its own."""
        name = task_name(self._functions.load(frame.function)) if frame.function else "?"
        return name.replace("__mp_main__.", "__main__.", 1)  # what multiprocessing calls the parent's main module

    def report_progress(self, serial: int, done: float, total: float | None) -> None:
        """Send a job's progress up."""
        self._out.send_aside(PROGRESS, serial, pickle.dumps((done, total)))

    def leave_note(self, serial: int, note: bytes) -> None:
        """Send up what a job leaves for its owner."""
        self._out.send_aside(NOTE, serial, note)


def _do_carried(frame: CallFrame, context: contextvars.Context) -> None:
    """Do what sinks of the parent's want done before the job. What goes wrong there is not the job's."""
    try:
        for action in pickle.loads(pickle.loads(frame.extras)[-1]):
            context.run(load(action))
    except Exception:
        logging.getLogger("steadypool").exception("what a sink sent along with a job failed in the worker")


class ProcessJobContext(JobContext):
    """The context of a job that runs in a worker process."""

    def __init__(self, worker: Worker, frame: CallFrame) -> None:
        if frame.extras:
            id, name, attempt, timeout, total_ends, meta, _ = pickle.loads(frame.extras)
        else:
            id, name, attempt, timeout, total_ends, meta = None, None, 1, None, None, None
        ends = [total_ends] if total_ends is not None else []
        if timeout is not None:
            ends.append(worker.page.began() + timeout)
        super().__init__(
            id or f"{worker.pool}-{frame.number + 1}",
            name or worker.name_of(frame),
            attempt,
            min(ends, default=None),
            None if meta is None else pickle.loads(meta),
        )
        self._worker = worker
        self._serial = frame.serial

    @property
    def cause(self) -> str | None:
        """See `JobContext`. Reads memory shared with the parent: no system call."""
        return self._worker.page.told(self._serial)

    def _wait(self, seconds: float) -> None:
        control, until = self._worker.control, monotonic() + seconds
        while self.cause is None and (left := until - monotonic()) > 0:
            if select.select([control], [], [], left)[0]:
                with suppress(BlockingIOError):  # another thread of the job's has read it
                    os.read(control, 4096)  # meant for this job or for one before: the page says which

    def progress(self, done: float, total: float | None = None) -> None:
        """See `JobContext`."""
        done, total = check_progress(done, total)
        self._worker.report_progress(self._serial, done, total)

    def _leave_note(self, note: bytes) -> None:
        self._worker.leave_note(self._serial, note)


def _pack_raised(error: BaseException) -> bytes:
    """A job's exception, without the worker's own frame."""
    trace = trace_of(error)
    return pack_error(
        tamed(BaseException.with_traceback(error, trace.tb_next if trace is not None else None), first_line)
    )


def _flush_output() -> None:
    """What jobs have printed goes where the parent's output goes, not later than when the worker rests."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                continue  # closed by a job, or its reader has left
