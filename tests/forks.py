"""Programs that are forked from one interpreter, which has imported what most of them need: none does it again.

Each is run as ``python -m`` runs it, with streams, folder, environment and session of its own, and is used like any
`subprocess.Popen`. Tests of how a program starts, and of what it imports, need a real interpreter.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import warnings
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
USED = (
    *("cli.app", "cli.console", "cli.kinds", "cli.target", "cli.map.call", "cli.queue.enqueue", "cli.queue.jobs"),
    *("cli.queue.migrate", "cli.queue.schedules", "cli.queue.work_call", "durable.engine.postgres.engine"),
    *("durable.engine.sqlite.engine", "durable.worker.worker", "pools.aio.loop_pool", "pools.processes.pool"),
    *("pools.threads.pool", "sinks.logging"),
)
"""Modules that most programs need. None of them starts a thread, or keeps anything of the environment."""
NUMBER = struct.Struct("i")


class Forked(subprocess.Popen[Any]):
    """``python -m`` *command*, forked from the interpreter; *more* is what `subprocess.Popen` may be told."""

    def __init__(self, *command: str, text: bool = True, **more: Any) -> None:
        super().__init__(command, text=text, **more)

    def _execute_child(self, *given: Any) -> None:
        """In the place of a fork and an exec."""
        command, _, before, _, kept, folder, environment, _, _, _, *pipes = given[:16]
        assert before is None and not kept, "this takes an interpreter of its own"
        streams = [pipe if pipe >= 0 else number for number, pipe in enumerate((pipes[0], pipes[3], pipes[5]))]
        wanted = [command, folder or os.getcwd(), dict(environment or os.environ), given[-2]]
        try:
            self._report = forks_of(os.getpid()).start(wanted, streams)
        finally:
            self._close_pipe_fds(*pipes)
        self.pid = self._reported(0)
        self._child_created = True

    def _try_wait(self, flags: int) -> tuple[int, int]:
        """In the place of `os.waitpid`."""
        try:
            status = self._reported(socket.MSG_DONTWAIT if flags & os.WNOHANG else 0)
        except BlockingIOError:
            return 0, 0
        self._report.close()
        return self.pid, status

    def _internal_poll(self, _deadstate: int | None = None) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(False):
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if self.returncode is None and pid:
                    self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode

    def _reported(self, flags: int) -> int:
        """Its number at first, and then its status."""
        answer = self._report.recv(NUMBER.size, flags)
        assert answer, "the interpreter that programs are forked from has ended"
        return int(NUMBER.unpack(answer)[0])


def run_forked(*command: str, timeout: float, **more: Any) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` does it with what is said captured."""
    with Forked(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more) as program:
        try:
            out, err = program.communicate(timeout=timeout)
        finally:
            program.kill()
    return subprocess.CompletedProcess(command, program.returncode, out, err)


class Forks:
    """The interpreter, as the process of the tests has it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,  # streams as a program mostly has them
                stdout=subprocess.PIPE,
            )

    def start(self, wanted: list[Any], streams: list[int]) -> socket.socket:
        """Fork a program. On the socket come its number and, in the end, its status."""
        words = json.dumps(wanted, default=os.fspath).encode()
        report, theirs = socket.socketpair()
        with theirs, self._lock:
            socket.send_fds(self._control, [NUMBER.pack(len(words))], [*streams, theirs.fileno()])
            self._control.sendall(words)
        return report

    def close(self) -> None:
        """End the interpreter."""
        if os.getpid() == self._pid:  # and not a child of this process
            self._control.shutdown(socket.SHUT_WR)
            self._process.communicate()


@cache
def forks_of(pid: int) -> Forks:
    """The interpreter of this process, with which it ends."""
    forks = Forks()
    atexit.register(forks.close)
    return forks


def serve(control: socket.socket) -> None:
    """What the interpreter does: fork programs, and report their ends, until the tests have ended."""
    ended, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake.fileno())
    reports: dict[int, socket.socket] = {}
    gc.freeze()  # what is here stays, and is shared
    while True:
        ready, _, _ = select.select([control, ended], [], [])
        if ended in ready:
            ended.recv(4096)
            report_ends(reports)
        if control in ready:
            size, descriptors, _, _ = socket.recv_fds(control, NUMBER.size, 4)
            if not size:
                return
            wanted = json.loads(control.recv(*NUMBER.unpack(size), socket.MSG_WAITALL))
            report = socket.socket(fileno=descriptors.pop())
            pid = os.fork()
            if pid == 0:
                for end in (control, ended, wake, report, *reports.values()):
                    end.close()
                become(descriptors, *wanted)
                sys.exit()
            for descriptor in descriptors:
                os.close(descriptor)
            reports[pid] = report
            report.send(NUMBER.pack(pid))


def report_ends(reports: dict[int, socket.socket]) -> None:
    """Say how those have ended that have."""
    for pid in list(reports):
        number, status = os.waitpid(pid, os.WNOHANG)
        if number:
            with reports.pop(pid) as report, suppress(OSError):  # the test may not want to know
                report.send(NUMBER.pack(status))


def become(streams: list[int], command: list[str], folder: str, environment: dict[str, str], session: bool) -> None:
    """In the child: be as ``python -m`` would be."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if session:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    if "PYTHONWARNINGS" in environment:
        sys.warnoptions += environment["PYTHONWARNINGS"].split(",")
        warnings._processoptions(sys.warnoptions)  # type: ignore[attr-defined]
    sys.path[0] = os.getcwd()
    sys.argv[1:] = command[1:]
    sys.orig_argv[:] = [sys.executable, "-m", *command]
    sys.modules["__main__"] = ModuleType("__main__")
    sys.modules.pop(command[0], None)
    runpy._run_module_as_main(command[0])  # type: ignore[attr-defined]


if __name__ == "__main__":
    for name in USED:
        import_module(f"steadypool.{name}")
    with socket.socket(fileno=int(sys.argv[1])) as control:
        serve(control)
