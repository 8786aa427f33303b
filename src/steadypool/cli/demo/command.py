"""``steadypool demo``: the pool at work on real input, for somebody who has just cloned it."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import click
from rich.console import Console
from rich.text import Text

from steadypool import DrainReport, JobFuture, Outcome, PoolClosed, Task, task
from steadypool.cli.console import console_on, print_errors, print_report
from steadypool.cli.demo.jobs import (
    SourceFacts,
    ask_silent_server,
    crash,
    mute_parser,
    standard_library,
    survey_file,
)
from steadypool.cli.exit_codes import DONE, INTERRUPTED
from steadypool.cli.kinds import KINDS, Kind
from steadypool.cli.map.counts import Tally
from steadypool.cli.map.progress import Progress, progress_for
from steadypool.model.clock import monotonic
from steadypool.model.events import Event, JobCrashed, JobTimedOut, WorkerAbandoned

PLAIN_KINDS = [kind.name for kind in KINDS.values() if not kind.takes_coroutines]
HANG_SECONDS = 2.0
QUEUE_SIZE = 100
DRAIN_SECONDS = 60.0
BEFORE_TROUBLE = 50
"""Files that are handed in before the jobs that misbehave, so that those meet a pool at work."""


class DemoPool(Protocol):
    """What the demo needs of a pool."""

    def submit(self, fn: Task[..., Any], /, *args: Any) -> JobFuture[Any]: ...
    def subscribe(self, sink: Any) -> Any: ...
    def drain_on_signal(self, timeout: float = 30) -> AbstractContextManager[object]: ...
    def drain(self, timeout: float | None = None) -> DrainReport: ...


@dataclass(frozen=True, slots=True)
class EngineBackoff:
    """A job that misbehaves, and what to watch for."""

    job: Task[[], bytes]
    watch_for: str
    needs_crash_proof: bool = False
    """Only for kinds of pool that survive it."""


TROUBLES = (
    EngineBackoff(
        task(ask_silent_server, name="ask_silent_server", timeout=HANG_SECONDS),
        f"one job asks a server that never answers; it may take {HANG_SECONDS:g} seconds, and then it is stopped",
    ),
    EngineBackoff(
        task(crash, name="crash"),
        "one job reads from address zero: a real segmentation fault, which must cost that job alone",
        needs_crash_proof=True,
    ),
)


@click.command("demo")
@click.option(
    "--kind",
    type=click.Choice(PLAIN_KINDS),
    default=PLAIN_KINDS[-1],
    show_default=True,
    help="What runs the jobs.",
)
@click.option("--workers", type=click.IntRange(min=1), default=4, show_default=True, help="How many of them.")
@click.option("--files", type=click.IntRange(min=1), help="Take only about so many files, from all over the library.")
@click.option("--durable", is_flag=True, help="Show the durable queue instead: its worker is killed half-way.")
def demo_command(kind: str, workers: int, files: int | None, durable: bool) -> int:
    """Show the pool at work: it reads, hashes and parses the whole standard library of this Python, while
    some jobs hang or crash, and accounts for every one of them. Takes 10 to 20 seconds. Ctrl-C drains it
    early.

    With --durable: jobs of a durable queue in a temporary SQLite file. Its worker is killed with kill -9 half-way;
    another one takes over. In the end nothing was lost, and it says how many jobs ran twice."""
    library = tuple(standard_library())
    if files is not None:
        library = library[:: max(1, len(library) // files)][:files]
    console = console_on(stderr=False)
    if durable:
        from steadypool.cli.demo.durable import DurableDemo  # SQLite and its queue, for those who ask for it

        return DurableDemo(console, workers, library).run()
    return Demo(console, KINDS[kind], workers, library).run()


class Demo:
    """One showing."""

    def __init__(self, console: Console, kind: Kind, workers: int, files: tuple[str, ...]) -> None:
        self._console = console
        self._kind = kind
        self._workers = workers
        self._files = files
        self._troubles = tuple(t for t in TROUBLES if kind.survives_crashes or not t.needs_crash_proof)
        self._board = Board(console, progress_for(console, False, len(files) + len(self._troubles)))

    def run(self) -> int:
        """Show it, and return the exit code: jobs that fail here are meant to."""
        pool: DemoPool = self._kind.open(self._workers, initializer=mute_parser, queue_size=QUEUE_SIZE, name="demo")
        pool.subscribe(self._board.note_event)
        with pool.drain_on_signal(DRAIN_SECONDS), self._board:
            self._introduce()
            finished = self._feed(pool)
            report = pool.drain(DRAIN_SECONDS)
        self._conclude(report)
        return DONE if finished and report.on_time else INTERRUPTED

    def _introduce(self) -> None:
        lines = [
            f"steadypool demo: {self._workers} {self._kind.name} workers read, hash and parse the whole standard",
            f"library of Python {platform.python_version()}, {len(self._files):,} files. Watch for:",
            f"  - at most {QUEUE_SIZE} files wait at any moment; the pool holds back whoever hands them in",
            *(f"  - {trouble.watch_for}" for trouble in self._troubles),
            "  - files that are no Python fail, are counted and grouped, and disturb nobody",
            "  - at the end, the drain report accounts for every job",
            "",
        ]
        self._say("\n".join(lines))

    def _feed(self, pool: DemoPool) -> bool:
        """Hand in every job; false if the pool was told to stop before that was done."""
        try:
            for job, *arguments in self._jobs():
                pool.submit(job, *arguments).add_done_callback(self._board.note_end)
        except PoolClosed:
            return False
        return True

    def _jobs(self) -> Iterator[tuple[Any, ...]]:
        survey = task(survey_file, name="survey_file")
        for number, path in enumerate(self._files):
            if number == min(BEFORE_TROUBLE, len(self._files) - 1):
                yield from ((trouble.job,) for trouble in self._troubles)
            yield survey, path

    def _conclude(self, report: DrainReport) -> None:
        print_report(self._console, report)
        print_errors(self._console, report.errors)
        found, stats = self._board, report.stats
        books = "the books balance" if stats.balanced else "THE BOOKS DO NOT BALANCE"
        self._say(
            f"\nFound {found.files:,} Python files with {found.lines:,} lines, {found.functions:,} functions and "
            f"{found.classes:,} classes.\n"
            f"Of {stats.accepted:,} jobs, {stats.ended:,} have an outcome: {books}."
        )

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


class Board:
    """What is known and shown while the demo runs. The pool's threads write on it, one at a time."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self.files = self.lines = self.functions = self.classes = 0
        self._console = console
        self._progress = progress
        self._tally = Tally()
        self._lock = threading.Lock()
        self._began = monotonic()

    def __enter__(self) -> Board:
        self._progress.__enter__()
        return self

    def __exit__(self, *how: Any) -> None:
        self._progress.finish(self._tally)
        self._progress.__exit__(*how)

    def note_end(self, future: JobFuture[Any]) -> None:
        """A job has its outcome."""
        with self._lock:
            self._tally.bytes_ended += 1
            if future.outcome is Outcome.SUCCEEDED:
                self._tally.succeeded += 1
                self._add(future.result())
            elif future.outcome is Outcome.RETURNED or future.outcome is Outcome.INTERRUPTED:
                self._tally.not_done += 1
            else:
                future.exception()
                self._tally.failed += 1
            self._progress.show(self._tally)

    def note_event(self, event: Event) -> None:
        """The pool says what happens in it; most of that the demo leaves alone."""
        if isinstance(event, JobTimedOut):
            self._report(f"Over its time limit: {event.error}")
        elif isinstance(event, JobCrashed):
            self._report(f"Crashed, alone: {event.error}")
        elif isinstance(event, WorkerAbandoned):
            self._report("It does not stop, and a thread cannot be killed: it is left behind, another takes its place.")

    def _add(self, facts: SourceFacts) -> None:
        self.files += 1
        self.lines += facts.lines
        self.functions += facts.functions
        self.classes += facts.classes

    def _report(self, text: str) -> None:
        seconds = f"{monotonic() - self._began:5.1f} s  "
        indented = text.replace("\n", "\n" + " " * len(seconds))
        self._console.print(Text(f"{seconds}{indented}", style="bold yellow"), soft_wrap=True)
