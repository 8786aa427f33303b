"""What jobs of these tests do to their worker, and what travels badly."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, NoReturn

from steadypool import current_job, task
from tests.pools.contract.jobs import act, count_lines, lines, note

# -- ways to die


def segfault() -> None:
    """Read address 0."""
    ctypes.string_at(0)


def abort() -> NoReturn:
    """End as C code that has lost its way does."""
    os.abort()


def leave(code: int) -> NoReturn:
    """End the process at once."""
    os._exit(code)


def kill(number: int = signal.SIGKILL) -> None:
    """Send the worker a signal."""
    os.kill(os.getpid(), number)
    signal.pause()


def kill_until(path: str, attempts: int) -> int:
    """Die until it was called that many times; *path* is where the calls are counted. Returns the attempt."""
    note(path)
    if count_lines(path) < attempts:
        kill()
    return current_job().attempt


def die_writing(size: int) -> bytes:
    """Return *size* bytes, and be killed by the kernel when half of them are written."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
    return bytes(size)


def close_everything() -> None:
    """Close every descriptor but the standard ones, as a program does that becomes a daemon."""
    os.closerange(3, 1000)


def fork_and_return() -> str:
    """Return twice: a forked child that was to leave does not."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return "parent" if pid else "child"


def fork_twice() -> int:
    """How many of its descriptors a child lacks in a child of its own."""
    pid = os.fork()
    if pid == 0:
        kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(10)]
        inner = os.fork()
        if inner == 0:
            os._exit(sum(not _is_open(descriptor) for descriptor in kept))
        os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


# -- ways to hang


def count_for_ever() -> int:
    """Hold the GIL in C code."""
    return sum(range(10**12))


def match_for_ever() -> object:
    """Hold the GIL in `re`."""
    return re.match(r"(a+)+$", "a" * 60 + "b")


def count_on_stage(address: str) -> int:
    """Say so on the stage, and then hold the GIL in C code."""
    arrive(address)
    return count_for_ever()


def ignore_all(address: str) -> NoReturn:
    """Say so on the stage, and then ignore everything but SIGKILL."""
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            continue
    arrive(address)
    while True:
        time.sleep(60)


def stop_process(address: str) -> None:
    """Say so on the stage, and then stop the process, as a debugger does."""
    arrive(address)
    os.kill(os.getpid(), signal.SIGSTOP)


def spin_until_told(address: str) -> str | None:
    """Ask `cancelled` without a pause; say why it was asked to stop."""
    arrive(address)
    job = current_job()
    while not job.cancelled:
        pass
    return job.cause


def sleep_until_told(address: str) -> str | None:
    """Sleep in one piece; say why it was asked to stop."""
    arrive(address)
    current_job().sleep(600)
    return current_job().cause


def read_in_c(address: str) -> int:
    """Wait in a system call that nobody repeats: how many bytes it has read, or -1."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        connection.sendall(b"reads\n")
        buffer = ctypes.create_string_buffer(1)
        return int(ctypes.CDLL(None).read(connection.fileno(), buffer, 1))


def clean_up(address: str, path: str) -> None:
    """Sleep until asked to stop, and then leave a line in a file."""
    arrive(address)
    current_job().sleep(600)
    note(path, f"cleaned up: {current_job().cause}")


def with_child(address: str) -> None:
    """Start a program, say its process id on the stage, and wait for it."""
    child = subprocess.Popen(["sleep", "600"])
    arrive(address, str(child.pid))
    child.wait()


def leave_a_child(address: str) -> int:
    """Fork a child that outlives the job, with all of the worker's descriptors. Returns its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            arrive(address, "orphan", wait=True)
        finally:
            os._exit(0)
    return pid


def leave_a_thread() -> None:
    """Leave a thread behind that never ends, and is no daemon."""
    threading.Thread(target=threading.Event().wait).start()


def arrive(address: str, name: str = "arrived", *, wait: bool = False) -> None:
    """Come to the stage, say something, and go on, or wait for the end of the performance."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        connection.sendall(name.encode() + b"\n")
        if wait:
            connection.recv(1)


def note_pid_and_hang(log: str) -> str:
    """Hang for two attempts; in those that follow see whether the ones before are gone."""
    note(log, str(os.getpid()))
    pids = [int(line) for line in lines(log)]
    if len(pids) < 3:
        count_for_ever()
    for pid in pids[:-1]:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        return f"{pid} lives"
    return "the others are dead"


# -- the worker


def run(*command: str) -> int:
    """A program's exit code."""
    return subprocess.run(command, check=False).returncode


def pid() -> int:
    """The worker's process."""
    return os.getpid()


def parent_pid() -> int:
    """The process that started the worker, which need not be the program."""
    return os.getppid()


def fill_memory(megabytes: int) -> int:
    """Keep that much memory, for as long as the worker lives. Returns its process id."""
    _kept.append(b"x" * (megabytes << 20))
    return os.getpid()


_kept: list[bytes] = []


def set_up(path: str, attempts: int) -> None:
    """An initializer that dies until it was called that many times."""
    note(path)
    if count_lines(path) < attempts:
        os._exit(9)


def fail_to_set_up(message: str) -> NoReturn:
    """An initializer that raises."""
    raise LookupError(message)


def say(text: str, error: str = "") -> None:
    """Print."""
    print(text)
    if error:
        print(error, file=sys.stderr)


def descriptor_count() -> int:
    """How many descriptors the worker has open."""
    return len(os.listdir("/proc/self/fd"))


@task
def staged(address: str, name: str = "actor") -> Any:
    """`act` as a task, for its options."""
    return act(address, name)


# -- what travels badly


class Hostile:
    """Calls back wherever it is pickled or unpickled."""

    def __init__(self, dump: Callable[[], Any] = int, load: Callable[[], Any] = int) -> None:
        self.dump = dump
        self.load = load

    def __reduce__(self) -> Any:
        self.dump()
        return _loaded, (self.load,)


def _loaded(load: Callable[[], Any]) -> Any:
    load()
    return "loaded"


def make_hostile(dump: Callable[[], Any] = int, load: Callable[[], Any] = int) -> Hostile:
    """A `Hostile` for a result."""
    return Hostile(dump, load)


class HostileState:
    """Its ``__getstate__`` raises."""

    def __getstate__(self) -> NoReturn:
        raise RuntimeError("no state for anybody")


class Portioned:
    """Comes to the stage while it is pickled, and waits there."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __reduce__(self) -> Any:
        arrive(self.address, wait=True)
        return bytes, (1 << 20,)


def make_portioned(address: str) -> Portioned:
    """A result that takes its time to be pickled."""
    return Portioned(address)


def raise_lookup_error() -> NoReturn:
    """For `Hostile`."""
    raise LookupError("not to be loaded")


def raise_system_exit() -> NoReturn:
    """For `Hostile`."""
    sys.exit(5)


def raise_interrupt() -> NoReturn:
    """For `Hostile` and as a job."""
    raise KeyboardInterrupt


def recurse() -> int:
    """Never come back."""
    return recurse() + 1


def make_lock() -> Any:
    """Return what cannot be pickled."""
    return threading.Lock()


def make_generator() -> Any:
    """Return what cannot be pickled either."""
    return (number for number in range(3))


class TwoWords(Exception):
    """Cannot be made again from its ``args``."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")
        self.one = one
        self.other = other


def fail_with_two_words() -> NoReturn:
    """Raise it."""
    raise TwoWords("this", "that")


class Homesick(Exception):
    """Can be unpickled where it was made, and nowhere else."""

    def __reduce__(self) -> Any:
        return _at_home, (os.getpid(), str(self))


def _at_home(pid: int, text: str) -> Homesick:
    if os.getpid() != pid:
        raise RuntimeError("not at home")
    return Homesick(text)


def fail_homesick() -> NoReturn:
    """Raise it."""
    raise Homesick("away")


class Leaver(Exception):
    """Ends whoever unpickles it elsewhere."""

    def __reduce__(self) -> Any:
        return _leave_elsewhere, (os.getpid(),)


def _leave_elsewhere(pid: int) -> Leaver:
    if os.getpid() != pid:
        raise SystemExit(7)
    return Leaver()


def fail_leaving() -> NoReturn:
    """Raise it."""
    raise Leaver("away")


class Silent(Exception):
    """Cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no comment")

    __repr__ = __str__


def fail_silently() -> NoReturn:
    """Raise it."""
    raise Silent


class Holding(Exception):
    """Holds what cannot be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()
        self.code = 42


def fail_holding() -> NoReturn:
    """Raise it."""
    raise Holding("with a lock")


class HoldingInArgs(Exception):
    """Has what cannot be pickled among its arguments."""


def fail_holding_in_args() -> NoReturn:
    """Raise it."""
    raise HoldingInArgs("with a lock", threading.Lock())


def fail_with_local_type() -> NoReturn:
    """Raise an exception whose type has no name that others could use."""

    class Local(Exception):
        pass

    raise Local("from here")


def fail_with_a_group() -> NoReturn:
    """Raise several."""
    raise ExceptionGroup("several", [ValueError("one"), TwoWords("one", "other")])


def fail_with_a_hopeless_group() -> NoReturn:
    """Raise several, one of which cannot travel."""
    raise ExceptionGroup("several", [Homesick("away"), KeyError("key")])


def process_name() -> str:
    """The name of the worker's process."""
    return multiprocessing.current_process().name


def print_to(path: str) -> None:
    """An initializer that sends what jobs print elsewhere."""
    sys.stdout = Path(path).open("w")  # noqa: SIM115 - it is for the life of the worker


def note_pid(path: str) -> None:
    """An initializer that leaves the worker's process id."""
    note(path, str(os.getpid()))


_variable: ContextVar[int] = ContextVar("variable", default=0)


def set_variable(value: int) -> tuple[int, int]:
    """Set a context variable: what it was, and what it is."""
    before = _variable.get()
    _variable.set(value)
    return before, _variable.get()


def note_and_die_at(path: str, number: int, fatal: int) -> int:
    """Leave the number in a file; at one of them, die."""
    note(path, str(number))
    if number == fatal:
        kill()
    return number


def note_and_hang_at(path: str, number: int, fatal: int) -> int:
    """Leave the number in a file; at one of them, hang in C code."""
    note(path, str(number))
    return count_for_ever() if number == fatal else number


def note_and_die_at_777(item: tuple[str, int]) -> int:
    """The same for one argument."""
    return note_and_die_at(*item, 777)


def same_or_act(value: Any) -> Any:
    """Return a number; go to the stage with an address."""
    return act(value) if isinstance(value, str) else value


def same_or_hold_gil(value: Any) -> Any:
    """Return a value; for none, never return, and hold the GIL."""
    return count_for_ever() if value is None else value


def take_5_ms(value: Any) -> Any:
    """Run for so long."""
    end = time.monotonic() + 0.005
    while time.monotonic() < end:
        pass
    return value


def note_number(item: tuple[str, int]) -> int:
    """Leave the number in a file, and return it."""
    log, number = item
    note(log, str(number))
    return number


def sleep_and_return(value: Any) -> Any:
    """Take a moment."""
    time.sleep(0.0005)
    return value


def note_slowly(path: str, number: int) -> int:
    """Leave the number in a file, and take a moment."""
    note(path, str(number))
    return int(sleep_and_return(number))


def long_text_or_die(number: int) -> Any:
    """Return a long text 150 times, then what makes the worker send them all, and then die, once."""
    if number < 150:
        return f"{number:01000d}"
    if number == 151:
        leave(7)
    return [b"x" * 5000]  # those behind it run elsewhere, if they begin before the map is closed


def start_program() -> int:
    """Start a program that goes on for long, and return its number."""
    return subprocess.Popen(["sleep", "600"]).pid


def act_at_the_end(address: str) -> int:
    """Have this worker come to the stage when it leaves; returns its number."""
    Finalize(None, act, args=(address, "leaving"), exitpriority=10)
    return os.getpid()


def length_of(shared: Any) -> int:
    """Of a shared value."""
    return len(shared.value)
