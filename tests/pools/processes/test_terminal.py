"""Programs that a job runs may use the terminal, and what is typed there still reaches the program first."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from os import sched_yield
from pathlib import Path
from time import monotonic

import pytest

from tests.pools.contract.stage import WAIT
from tests.pools.processes.methods import on_every_method

ON_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
PROGRAM = """
import asyncio, os, re, signal, subprocess, sys, time
from multiprocessing import get_context
from steadypool import ProcessPool, task

def shell(line):
    done = subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, text=True)
    return done.returncode, done.stdout.strip()

def password():
    code = "import getpass; print(getpass.getpass('? '))"
    return subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True).stdout.strip()

def read_in_python():
    with open("/dev/tty") as terminal:
        print("asked", flush=True)
        return terminal.readline().strip()

def system(line):
    return os.system(line)

def read_and_hold():
    print(read_in_python(), "holds the GIL", flush=True)
    re.match("(a+)+b", "a" * 60)

def loop_and_read():
    async def main():
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, int)
        return shell(READS)[1][-3:]
    return asyncio.run(main()), shell(READS)[1][-3:]

READS = "trap : INT; echo ready > /dev/tty; read line || read line; echo got $line"

@task(timeout=1.0)
def read_for_ever():
    return shell("while :; do read line; done")

def say(*words):
    print(*words, flush=True)

if __name__ == "__main__":
    pool = ProcessPool(2, get_context(sys.argv[1]), cancel_grace=0.1)
    {body}
    pool.shutdown()
    say("END")
"""


class OnTerminal:
    """A program that runs in the foreground of a terminal of its own."""

    def __init__(self, *command: str) -> None:
        self._fd, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_A_TERMINAL, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.said = ""

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def wait_for(self, text: str) -> None:
        """Wait until it has said this, after what was waited for before."""
        until = monotonic() + WAIT
        while text not in self.said:
            assert select.select([self._fd], [], [], max(0.0, until - monotonic()))[0], self.said
            try:
                self.said += os.read(self._fd, 4096).decode()
            except OSError:
                raise AssertionError(f"it ended: {self.said}") from None
        self.said = self.said[self.said.index(text) + len(text) :]

    def wait_for_a_job(self) -> None:
        """Wait until a job has the terminal."""
        until = monotonic() + WAIT
        while os.tcgetpgrp(self._fd) == self.process.pid:
            assert monotonic() < until
            sched_yield()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT)
        os.close(self._fd)


@pytest.fixture
def on_terminal(tmp_path: Path, method: str) -> Iterator[Callable[[str], OnTerminal]]:
    """Starts a program with this body."""
    started = []

    def start(body: str) -> OnTerminal:
        script = tmp_path / "program.py"
        script.write_text(PROGRAM.replace("{body}", body.strip().replace("\n", "\n    ")))
        started.append(OnTerminal(str(script), method))
        return started[-1]

    yield start
    for one in started:
        one.close()


@on_every_method
def test_programs_of_jobs_set_modes_and_read(on_terminal: Callable[[str], OnTerminal]) -> None:
    program = on_terminal("""
say(pool.submit(shell, "stty -echo < /dev/tty && stty echo < /dev/tty").result(60))
job = pool.submit(shell, "echo ready > /dev/tty; read line; echo got $line")
say(job.result(60))
say(pool.submit(password).result(60))
say("read in Python:", pool.submit(read_in_python).result(60))
say("mine:", input())
""")
    program.wait_for("(0, '')")
    program.wait_for("ready")
    program.wait_for_a_job()
    program.type("hello\n")
    program.wait_for("(0, 'got hello')")
    program.wait_for("? ")
    program.type("secret\n")
    program.wait_for("secret")
    program.wait_for("asked")
    program.wait_for_a_job()
    program.type("python\n")
    program.wait_for("read in Python: python")
    program.type("parent\n")
    program.wait_for("mine: parent")
    program.wait_for("END")


def test_jobs_have_the_terminal_one_after_the_other(on_terminal: Callable[[str], OnTerminal]) -> None:
    program = on_terminal("""
jobs = [pool.submit(shell, f"echo ready > /dev/tty; read line; echo {n} got $line") for n in range(2)]
say(sorted(job.result(60)[1][2:] for job in jobs))
""")
    program.wait_for("ready")
    program.wait_for_a_job()
    program.type("one\n")
    program.wait_for("one")
    program.type("two\n")
    program.wait_for("['got one', 'got two']")
    program.wait_for("END")


def test_ctrl_c_reaches_the_program_alone(on_terminal: Callable[[str], OnTerminal]) -> None:
    """What a job runs goes on, as long as it does not use the terminal."""
    program = on_terminal("""
with pool.drain_on_signal(timeout=60):
    job = pool.submit(shell, "echo ready > /dev/tty; sleep 2; echo whole")
    say(job.result(60))
    say(pool.drain(60).ok, pool.state.name)
""")
    program.wait_for("ready")
    program.type("\x03")
    program.wait_for("(0, 'whole')")
    program.wait_for("CLOSED")


@pytest.mark.parametrize("key", ["\x03"], ids=["ctrl-c"])
def test_what_is_typed_while_a_job_reads_reaches_the_program(
    on_terminal: Callable[[str], OnTerminal], key: str
) -> None:
    program = on_terminal("""
for number in (signal.SIGINT, signal.SIGQUIT):
    signal.signal(number, lambda *_: say("parent hears"))
job = pool.submit(shell, "trap : INT QUIT; echo ready > /dev/tty; read line || read line; echo got $line")
say(job.result(60))
""")
    program.wait_for("ready")
    program.type(key)
    program.wait_for("parent hears")
    program.type("more\n")
    program.wait_for("got")
    program.wait_for("END")


def test_a_worker_that_dies_with_the_terminal_gives_it_back(on_terminal: Callable[[str], OnTerminal]) -> None:
    program = on_terminal("""
say(type(pool.submit(read_for_ever).exception(60)).__name__)
say(pool.submit(abs, -1).result(60))
pool.shutdown()
say("mine:", input("go on "))
""")
    program.wait_for("JobTimeout")
    program.wait_for("go on ")
    program.type("parent\n")
    program.wait_for("mine: parent")
    program.wait_for("END")


def test_no_key_is_lost_while_the_terminal_goes_to_and_fro(on_terminal: Callable[[str], OnTerminal]) -> None:
    """Also one that is typed as a job ends."""
    program = on_terminal("""
heard = []
signal.signal(signal.SIGINT, lambda *_: (heard.append(1), say("parent hears")))
say("begin")
while len(heard) < 50:
    pool.submit(shell, "trap : INT; stty -echo < /dev/tty; stty echo < /dev/tty").exception(60)
""")
    program.wait_for("begin")
    for _ in range(50):
        program.type("\x03")
        program.wait_for("parent hears")
    program.wait_for("END")


@on_every_method
def test_a_job_may_run_a_program_by_c(on_terminal: Callable[[str], OnTerminal]) -> None:
    """`os.system` waits in C, where no handler of Python's runs."""
    program = on_terminal("""
job = pool.submit(system, "echo ready > /dev/tty; read line; echo got $line > /dev/tty")
say("code", job.result(60))
say("mine:", input())
""")
    program.wait_for("ready")
    program.wait_for_a_job()
    program.type("hello\n")
    program.wait_for("got hello")
    program.wait_for("code 0")
    program.type("parent\n")
    program.wait_for("mine: parent")


def test_a_key_is_heard_while_the_job_that_has_the_terminal_holds_the_gil(
    on_terminal: Callable[[str], OnTerminal],
) -> None:
    program = on_terminal("""
signal.signal(signal.SIGINT, lambda *_: say("parent hears"))
job = pool.submit(task(read_and_hold, timeout=30))
say(type(job.exception(60)).__name__)
""")
    program.wait_for("asked")
    program.wait_for_a_job()
    program.type("hello\n")
    program.wait_for("holds the GIL")
    program.type("\x03")
    program.wait_for("parent hears")


def test_a_job_may_have_had_an_event_loop_of_its_own(on_terminal: Callable[[str], OnTerminal]) -> None:
    """Which takes the wake-up descriptor, and leaves none behind."""
    program = on_terminal("""
signal.signal(signal.SIGINT, lambda *_: say("parent hears"))
job = pool.submit(loop_and_read)
say(job.result(60))
""")
    program.wait_for("ready")
    program.wait_for_a_job()
    program.type("\x03")
    program.wait_for("parent hears")
    program.type("one\n")
    program.wait_for("ready")
    program.wait_for_a_job()
    program.type("\x03")
    program.wait_for("parent hears")
    program.type("two\n")
    program.wait_for("'one', 'two'")
    program.wait_for("END")


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM])
def test_the_forkserver_stays_when_the_whole_group_gets_a_signal(
    on_terminal: Callable[[str], OnTerminal], number: signal.Signals
) -> None:
    """As by Ctrl-\\. What it forks is ended by that signal, as always."""
    program = on_terminal(f"""
from multiprocessing import forkserver
signal.signal({number.value}, lambda *_: say("parent hears"))
say(pool.submit(abs, -1).result(60))
server = forkserver._forkserver._forkserver_pid
os.killpg(0, {number.value})
pool.resize(4)
say("workers", len({{pool.submit(time.sleep, 0.1).result(60) for _ in range(8)}}))
say("same", server == forkserver._forkserver._forkserver_pid, os.kill(server, 0))
other = get_context("forkserver").Process(target=time.sleep, args=(60,))
other.start()
os.kill(other.pid, {number.value})
other.join()
say("code", other.exitcode)
""")
    program.wait_for("parent hears")
    program.wait_for("same True None")
    program.wait_for(f"code {-number}")


def test_a_key_typed_as_the_terminal_is_taken_is_heard(on_terminal: Callable[[str], OnTerminal]) -> None:
    """Each job reads until its own line comes: another line may be left over from the job before."""
    program = on_terminal("""
signal.signal(signal.SIGINT, lambda *_: say("parent hears"))
for n in range(10):
    read = f"until test \\"$line\\" = more{n}; do read line; done; echo got $line"
    say(pool.submit(shell, f"trap : INT; echo ready > /dev/tty; {read}").result(60))
""")
    for number in range(10):
        program.wait_for("ready")
        program.type("\x03")
        program.wait_for("parent hears")
        program.type(f"more{number}\nmore{number}\n")
        program.wait_for("(0, 'got")
    program.wait_for("END")
