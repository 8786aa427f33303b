"""Workers and enqueuers as processes of their own, for tests that kill and stop them."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from tests.forks import Forked
from tests.pools.contract.stage import WAIT

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """One process; what it says on standard error is read line by line.

    Args:
        command: a module, and its arguments.
        within: a command that runs another one, elsewhere.
    """

    def __init__(self, *command: str, within: Sequence[str] = ()) -> None:
        pipes: dict[str, Any] = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process: subprocess.Popen[str] = (
            subprocess.Popen([*within, sys.executable, "-m", *command], text=True, **pipes)
            if within
            else Forked(*command, **pipes)
        )
        self.said: list[str] = []

    def read_until(self, text: str) -> str:
        """The next line of standard error that has *text* in it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if text in line:
                return line
        raise AssertionError(f"it never said {text!r}, but: {''.join(self.said)}")

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.end()

    def end(self) -> int:
        """Wait for the end; returns the exit code."""
        # Not `communicate`, which knows nothing of what `read_until` has read ahead.
        assert self.process.stderr is not None
        self.said.append(self.process.stderr.read())
        return self.process.wait(WAIT)


def start_worker(*options: str, within: Sequence[str] = ()) -> Program:
    """A worker of `app`, on the queue that the environment names."""
    return Program("steadypool.cli", "work", "tests.durable.app:queue", *options, within=within)


def start_enqueuer(path: str, first: int, count: int) -> Program:
    """A process that enqueues `app.note` for so many numbers, and prints each once that is durable."""
    return Program("tests.durable.programs", "enqueue", path, str(first), str(count))


def enqueue(path: str, first: str, count: str) -> None:
    """What that process does."""
    from tests.durable import app

    for number in range(int(first), int(first) + int(count)):
        app.note.enqueue(path, number)
        print(number, flush=True)


def start_greedy(url: str) -> Program:
    """A process that writes to the store without a pause, once it has said so."""
    return Program("tests.durable.programs", "greedy", url)


def be_greedy(url: str) -> None:
    """What that process does."""
    from steadypool.durable.engine.open import open_engine
    from steadypool.durable.engine.records import NewJob

    engine = open_engine(url)
    engine.put_many([NewJob("t", b"{}")])
    print("writing", flush=True)
    while True:
        engine.put_many([NewJob("t", b"{}")] * 10)


class Interrupted:
    """Enqueues on the main thread, which gets Ctrl-C over and over, and on another."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._enqueued = [0, 0]
        self._interrupts = 0

    def run(self, times: int) -> None:
        threads = [threading.Thread(target=work) for work in (self._interrupt, self._go_on)]
        for thread in threads:
            thread.start()
        while self._interrupts < times:
            try:
                self._enqueue(0)
            except KeyboardInterrupt:
                self._interrupts += 1
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._done.set()
        for thread in threads:
            thread.join()
        self._enqueue(0)
        print(self._interrupts, sum(self._enqueued))

    def _enqueue(self, which: int) -> None:
        from tests.durable import app

        app.add.enqueue(1)
        self._enqueued[which] += 1

    def _interrupt(self) -> None:
        while not self._done.wait(random.uniform(0.0, 0.01)):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _go_on(self) -> None:
        while not self._done.is_set():
            self._enqueue(1)


def be_interrupted(times: str) -> None:
    """Go on in spite of so many interrupts; print how many there were, and how many jobs were enqueued."""
    signal.signal(signal.SIGINT, _interrupt_enqueue_only)
    Interrupted().run(int(times))


def _interrupt_enqueue_only(number: int, frame: FrameType | None) -> None:
    """Raise inside of an enqueue alone: outside nobody is prepared for it."""
    while frame is not None:
        if frame.f_code.co_name == "enqueue":
            raise KeyboardInterrupt
        frame = frame.f_back


def numbers_in(text: str) -> list[int]:
    """Whole lines, as numbers."""
    return [int(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def fill(how: str) -> None:
    """Open a batch, put members, in a transaction or not, say so, and wait to be killed."""
    from tests.durable import app
    from tests.durable.test_after import connect

    connection = connect(app.queue.url) if how == "transaction" else None
    then, finally_ = app.mark.call("/nowhere", 1), app.mark.call("/nowhere", 2)
    with app.queue.batch("half", then=then, finally_=finally_, connection=connection) as batch:
        for number in range(1500):
            app.add.options(delay=3600).enqueue(number)
        print("filled", batch.id, file=sys.stderr, flush=True)
        signal.pause()


PROGRAMS: dict[str, Any] = {"enqueue": enqueue, "fill": fill, "greedy": be_greedy, "interrupted": be_interrupted}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
