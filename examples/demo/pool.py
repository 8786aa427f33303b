"""A pool at work on real input: the standard library of this Python, while one job hangs and another crashes.

    python examples/demo/pool.py
    python examples/demo/pool.py --kind thread --workers 8

Each job reads, hashes and parses a source file. It takes 10 to 20 seconds; Ctrl-C drains it early. The exit code is 0
if every job ended on its own: those that fail here are meant to.
"""

import argparse
import platform
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text
from survey import ask_silent_server, crash, mute_parser, standard_library, survey_file

from steadypool import DrainReport, JobFuture, Outcome, PoolClosed, ProcessPool, Task, ThreadPool, task
from steadypool.events import Event, JobCrashed, JobTimedOut, WorkerAbandoned

POOLS = {"process": ProcessPool, "thread": ThreadPool}
HANG_SECONDS = 2
QUEUE_SIZE = 100
DRAIN_SECONDS = 60
BEFORE_TROUBLE = 50
"""Files that are handed in before the jobs that misbehave, so that those meet a pool at work."""
LINE_SECONDS = 2
"""Between two lines of progress, where there is no terminal to draw a bar on."""

SURVEY = task(survey_file, name="survey_file")
HANG = task(ask_silent_server, name="ask_silent_server", timeout=HANG_SECONDS)
CRASH = task(crash, name="crash")


class Demo:
    """One showing."""

    def __init__(self, kind: str, workers: int, files: tuple[str, ...]) -> None:
        self.kind = kind
        self.workers = workers
        self.files = files
        self.troubles: list[Task[[], bytes]] = [HANG, CRASH] if kind == "process" else [HANG]
        self.board = Board(len(files) + len(self.troubles))

    def run(self) -> int:
        """Show it, and return the exit code."""
        pool = POOLS[self.kind](self.workers, initializer=mute_parser, queue_size=QUEUE_SIZE, name="demo")
        pool.subscribe(self.board.note_event)
        with pool.drain_on_signal(DRAIN_SECONDS), self.board:
            self.introduce()
            finished = self.hand_in(pool)
            report = pool.drain(DRAIN_SECONDS)
        self.board.conclude(report)
        return 0 if finished and report.on_time else 130

    def introduce(self) -> None:
        self.board.say(
            f"A pool of {self.workers} {self.kind} workers reads, hashes and parses the whole standard\n"
            f"library of Python {platform.python_version()}, {len(self.files):,} files. Watch for:\n"
            f"  - at most {QUEUE_SIZE} files wait at any moment; submit holds back the loop that hands them in\n"
            f"  - one job asks a server that never answers; it may take {HANG_SECONDS} seconds, then it is stopped"
        )
        if CRASH in self.troubles:
            self.board.say(
                "  - one job reads from address zero: a real segmentation fault, which must cost that job alone"
            )
        self.board.say(
            "  - files that are no Python fail, are counted and grouped, and disturb no other\n"
            "  - at the end, the drain report accounts for every job\n"
        )

    def hand_in(self, pool: ProcessPool | ThreadPool) -> bool:
        """Submit every job; false if the pool was closed before that was done."""
        try:
            for job, *arguments in self.jobs():
                pool.submit(job, *arguments).add_done_callback(self.board.note_end)
        except PoolClosed:
            return False
        return True

    def jobs(self) -> Iterator[tuple[Any, ...]]:
        for number, path in enumerate(self.files):
            if number == min(BEFORE_TROUBLE, len(self.files) - 1):
                yield from ((trouble,) for trouble in self.troubles)
            yield SURVEY, path


class Board:
    """What is known and shown while the demo runs. The pool's threads write on it, one at a time."""

    def __init__(self, jobs: int) -> None:
        console = Console()
        self.console = console if console.is_terminal else Console(width=160)
        bar = [BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
        self.bar = Progress(*bar, console=self.console, disable=not self.console.is_terminal)
        self.row = self.bar.add_task("", total=jobs)
        self.jobs = jobs
        self.files = self.lines = self.functions = self.classes = 0
        self.ended = self.failed = 0
        self.lock = threading.Lock()
        self.began = time.monotonic()
        self.next_line = self.began + LINE_SECONDS

    def __enter__(self) -> None:
        self.bar.start()

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def note_end(self, future: JobFuture[Any]) -> None:
        """A job has its outcome."""
        with self.lock:
            self.ended += 1
            if future.outcome is Outcome.SUCCEEDED:
                facts = future.result()
                self.files += 1
                self.lines += facts.lines
                self.functions += facts.functions
                self.classes += facts.classes
            elif future.outcome in (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED):
                self.failed += 1
                future.exception()  # the report names it: the pool need not say that no one looked at it
            self.show()

    def note_event(self, event: Event) -> None:
        """The pool says what happens in it; most of that the demo leaves alone."""
        if isinstance(event, JobTimedOut):
            self.report(f"Over its time limit: {event.error}")
        elif isinstance(event, JobCrashed):
            self.report(f"Crashed, alone: {event.error}")
        elif isinstance(event, WorkerAbandoned):
            self.report("It does not stop, and a thread cannot be killed: it is left behind, another takes its place.")

    def show(self) -> None:
        seconds = time.monotonic() - self.began
        counts = f"{self.ended:,} done, {self.ended / seconds:,.0f}/s, {self.failed:,} failed"
        self.bar.update(self.row, completed=self.ended, description=counts)
        if self.bar.disable and time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + LINE_SECONDS
            self.say(f"{self.ended / self.jobs:.0%}, {counts}")

    def report(self, text: str) -> None:
        seconds = f"{time.monotonic() - self.began:5.1f} s  "
        self.say(seconds + text.replace("\n", "\n" + " " * len(seconds)), "bold yellow")

    def conclude(self, report: DrainReport) -> None:
        stats = report.stats
        books = "the books balance" if stats.balanced else "THE BOOKS DO NOT BALANCE"
        self.say(
            f"{report}\n\n"
            f"Found {self.files:,} Python files with {self.lines:,} lines, {self.functions:,} functions and "
            f"{self.classes:,} classes.\n"
            f"Of {stats.accepted:,} jobs, {stats.ended:,} have an outcome: {books}."
        )

    def say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style), soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=POOLS, default="process", help="what runs the jobs (default: process)")
    parser.add_argument("--workers", type=int, default=4, help="how many of them (default: 4)")
    parser.add_argument("--files", type=int, help="take only about so many files, from all over the library")
    options = parser.parse_args()
    files = tuple(standard_library())
    if options.files is not None:
        files = files[:: max(1, len(files) // options.files)][: options.files]
    return Demo(options.kind, options.workers, files).run()


if __name__ == "__main__":
    sys.exit(main())
