"""What runs in a worker process.

One loop on the main thread: read a packet, run its jobs, send each result at once. It leaves when the line ends, which
is how the parent retires it, and is killed through the lifeline when the parent is gone, even inside C code.

The order of the writes is what the parent relies on to know whom to blame if this process dies: the page says
"running k" before job k runs, the result of k is in the socket before the page says "running k+1", and what the
socket holds outlives this process.
"""

from __future__ import annotations

import contextvars
import faulthandler
import fcntl
import logging
import os
import pickle
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from steadypool.machinery import parcel
from steadypool.machinery.carried import pack_error
from steadypool.machinery.context import JobContext, set_finder
from steadypool.machinery.page import NONE, Page
from steadypool.machinery.payload import LoadedFunctions, dump, load
from steadypool.machinery.wire import (
    BROKEN,
    CARRIED,
    ERROR,
    KEYWORDS,
    NOT_FOUND,
    NOTHING,
    PARCEL,
    PROGRESS,
    READY,
    RESULT,
    RETIRING,
    VALUE,
    VALUE_PARCEL,
    WHOLE,
    JobFrame,
    read_jobs,
)
from steadypool.pools.processes.kit import Kit
from steadypool.words.options import task_name

FLUSH_AFTER = 0.002
"""Seconds that results of a chunk may gather before they leave."""


def main(kit: Kit) -> None:
    """The life of a worker process."""
    _become_a_worker(kit)
    Worker(kit).work()


def _become_a_worker(kit: Kit) -> None:
    # A group of its own: Ctrl-C at the terminal reaches the parent alone, and a kill takes the job's children along.
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):
        # systemd signals the whole cgroup; the worker leaves with its parent. A handler that does nothing, rather
        # than SIG_IGN, which the programs that a job starts would inherit.
        signal.signal(number, _not_for_workers)
    stacks = kit.stacks.fd
    os.set_blocking(stacks, False)  # a full pipe must not hold up a crash
    faulthandler.enable(stacks, all_threads=True)
    faulthandler.register(kit.stack_signal, stacks, all_threads=True, chain=False)
    _tie_to_parent(kit.lifeline.fd)


def _not_for_workers(number: int, frame: object) -> None:
    """The parent decides when a worker ends."""


def _tie_to_parent(lifeline: int) -> None:
    """Have the kernel kill this process when the parent is gone; on systems that cannot, a thread watches."""
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([lifeline], [], [], 0)[0]:
            os._exit(1)  # it was gone before the kernel was asked to watch
    else:
        threading.Thread(target=_watch_parent, args=(lifeline,), daemon=True).start()


def _watch_parent(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)


class Worker:
    """The loop, and what it holds."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self.pool = kit.pool
        self.page = Page(kit.page.fd)
        self.control = kit.control.fd
        self._line = kit.job_line()
        self._out: Outbox | ForkedOutbox = Outbox(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, kit.results.fd))
        self._functions = LoadedFunctions()
        self._done = 0
        self._context: ProcessJobContext | None = None
        self._frame: JobFrame | None = None
        self._wears_out = kit.max_tasks is not None or kit.max_memory is not None
        self._rss = _memory_reader() if kit.max_memory is not None else None
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        """In a child that a job forks. It may do as it likes, but it is no second worker on the same line."""
        self._out = ForkedOutbox()

    def work(self) -> None:
        """Run jobs until the line ends."""
        if not self._initialize():
            return
        set_finder(self._current)
        self._out.send(READY, NONE, 0.0, str(threading.get_ident()).encode())
        while not (self._wears_out and self._is_worn_out()):
            received = self._line.receive(wait=False)
            if received is None:
                _flush_output()
                received = self._line.receive()
            packet, fd = received or (b"", None)
            if not packet:
                _flush_output()
                return
            frames = read_jobs(packet)
            self._out.gathers = len(frames) > 1
            for frame in frames:
                self._run(frame, fd)
            self._out.flush()
        self._out.send(RETIRING, NONE, 0.0)
        _flush_output()
        self._wait_for_the_end()

    def _initialize(self) -> bool:
        kit = self._kit
        if kit.initializer is None:
            return True
        try:
            kit.initializer()
        except BaseException as error:
            self._out.send(BROKEN, NONE, 0.0, pack_error(error))
            return False
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

    def _run(self, frame: JobFrame, fd: int | None) -> None:
        self._done += 1
        self._context, self._frame = None, frame
        began = monotonic()
        self.page.begin(frame.serial, began)
        # A context of its own for each job: what it sets is gone with it.
        context = contextvars.Context()
        try:
            if frame.flags & CARRIED:
                _do_carried(frame, context)
            fn, args, kwargs = self._read_call(frame, fd)
            if frame.extras:
                # The attempt's clock: what its function's module takes to be imported is not the job's time.
                began = monotonic()
                self.page.begin(frame.serial, began)
            result = context.run(fn, *args, **kwargs)
            del fn, args, kwargs
        except NotFound:
            self._out.send(NOT_FOUND, frame.serial, 0.0)
        except BaseException as error:
            trace = error.__traceback__
            BaseException.with_traceback(error, trace.tb_next if trace is not None else None)
            self._out.send(ERROR, frame.serial, monotonic() - began, pack_error(error))
        else:
            self._send_result(frame.serial, result, monotonic() - began)
        self._frame = None

    def _read_call(self, frame: JobFrame, fd: int | None) -> tuple[Callable[..., Any], Any, dict[str, Any]]:
        try:
            return self._load_call(frame, fd)
        except (AttributeError, ImportError) as error:
            if not frame.flags & WHOLE and (b"__main__" in frame.function or b"__main__" in frame.call):
                raise NotFound from error
            raise

    def _load_call(self, frame: JobFrame, fd: int | None) -> tuple[Callable[..., Any], Any, dict[str, Any]]:
        call: Any = frame.call
        if not frame.flags and not call:
            return self._functions.load(frame.function), (), {}
        if frame.flags & PARCEL:
            assert fd is not None
            stream, *buffers = parcel.unpack(fd, pickle.loads(frame.call))
            call = load(stream, buffers)
        elif call:
            call = load(call)
        else:
            call = ()
        if frame.flags & WHOLE:
            fn, args, kwargs = call
            return fn, args, kwargs
        fn = self._functions.load(frame.function)
        return (fn, *call) if frame.flags & KEYWORDS else (fn, call, {})

    def _send_result(self, serial: int, result: Any, seconds: float) -> None:
        if result is None:
            self._out.send(NOTHING, serial, seconds)
            return
        try:
            pickled = dump(result, main_by_name=True)  # what has a name here has it in the parent too
            if pickled.is_big:
                self._send_parcel(serial, pickled.parts(), seconds)
                return
        except BaseException as error:
            error.add_note("(the job returned, but its result cannot be carried to the parent process)")
            self._out.send(ERROR, serial, seconds, pack_error(error))
            return
        self._out.send(VALUE, serial, seconds, pickled.stream)

    def _send_parcel(self, serial: int, parts: list[parcel.Buffer], seconds: float) -> None:
        fd = parcel.pack(parts)
        try:
            self._line.send(RESULT.pack(serial, VALUE_PARCEL, seconds, 0), fd, wait=True)
        finally:
            os.close(fd)
        sizes = pickle.dumps([memoryview(part).nbytes for part in parts])
        self._out.send(VALUE_PARCEL, serial, seconds, sizes)

    def _current(self) -> JobContext | None:
        if self._frame is None:
            return None
        if self._context is None:
            self._context = ProcessJobContext(self, self._frame)
        return self._context

    def name_of(self, frame: JobFrame) -> str:
        """The name of a task that has none of its own."""
        name = task_name(self._functions.load(frame.function)) if frame.function else "?"
        return name.replace("__mp_main__.", "__main__.", 1)  # what multiprocessing calls the parent's main module

    def report_progress(self, serial: int, done: float, total: float | None) -> None:
        """Send a job's progress up."""
        self._out.send(PROGRESS, serial, 0.0, pickle.dumps((done, total)))


def _do_carried(frame: JobFrame, context: contextvars.Context) -> None:
    """Do what sinks of the parent's want done before the job. What goes wrong there is not the job's."""
    try:
        for action in pickle.loads(pickle.loads(frame.extras)[-1]):
            context.run(load(action))
    except Exception:
        logging.getLogger("steadypool").exception("what a sink sent along with a job failed in the worker")


class NotFound(Exception):
    """Something of the main module is not there under its name in a worker: the parent sends it by value."""


class ProcessJobContext(JobContext):
    """The context of a job that runs in a worker process."""

    def __init__(self, worker: Worker, frame: JobFrame) -> None:
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
            meta,
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
                os.read(control, 4096)  # meant for this job or for one before: the page says which

    def progress(self, done: float, total: float | None = None) -> None:
        """See `JobContext`."""
        self._worker.report_progress(self._serial, done, total)


class Outbox:
    """Results on their way up. Each leaves at once, but for those of a chunk, which gather for a moment."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(True)
        self._end = end
        self.gathers = False
        self._gathered: list[bytes] = []
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._flusher: threading.Thread | None = None

    def send(self, status: int, serial: int, seconds: float, payload: bytes = b"") -> None:
        """Send a frame, or gather it."""
        frame = RESULT.pack(serial, status, seconds, len(payload)) + payload
        if not self.gathers:
            self._end.sendall(frame)
            return
        with self._lock:
            self._gathered.append(frame)
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_now_and_then, daemon=True)
            self._flusher.start()
        self._some.set()

    def flush(self) -> None:
        """Send what was gathered."""
        if self._gathered:
            with self._lock:
                gathered, self._gathered = self._gathered, []
                self._end.sendall(b"".join(gathered))

    def _flush_now_and_then(self) -> None:
        """So that a long item of a chunk does not hold back the results of those before it."""
        pause = threading.Event()
        while True:
            self._some.wait()
            self._some.clear()
            pause.wait(FLUSH_AFTER)
            self.flush()


class ForkedOutbox:
    """Where a forked child's results would go: one that returns from the job, as its parent does, ends here."""

    gathers = False

    def send(self, status: int, serial: int, seconds: float, payload: bytes = b"") -> None:
        """Leave, but for a mere report of progress."""
        if status != PROGRESS:
            os._exit(0)

    def flush(self) -> None:
        """Nothing is ever gathered."""


def _flush_output() -> None:
    """What jobs have printed goes where the parent's output goes, not later than when the worker rests."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                continue  # closed by a job, or nobody reads it any more


def _memory_reader() -> Callable[[], int]:
    import psutil

    process = psutil.Process()

    def resident() -> int:
        size: int = process.memory_info().rss
        return size

    return resident
