"""One call of ``steadypool map``: from its options to its exit code."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from steadypool import DrainReport, Task
from steadypool.cli.console import console_on, print_error_count, print_errors, print_report, say
from steadypool.cli.exit_codes import CLOSED_PIPE, DONE, SOME_FAILED, OutputClosed, UsageError
from steadypool.cli.exit_limit import TimedExit
from steadypool.cli.kinds import KINDS, Kind, LinePool, check_workers
from steadypool.cli.map.line_task import JobLimits, line_task
from steadypool.cli.map.lines import LineSource
from steadypool.cli.map.progress import Progress, progress_for
from steadypool.cli.map.run import LineRun, RunRules
from steadypool.cli.map.stuck_watch import StuckWatch
from steadypool.cli.map.writer import LineWriter
from steadypool.cli.target import is_coroutine_function, is_generator_function, load_target
from steadypool.durable.engine.errors import EngineError, OtherRun

if TYPE_CHECKING:
    from steadypool.cli.map.journal import Journal

EXIT_SECONDS = 3.0
"""After a signal, for handlers at exit and for threads that jobs have started."""


@dataclass(frozen=True, slots=True)
class MapOptions:
    """The command line of ``steadypool map``, one field for each option of it."""

    target: str
    file: str | None
    kind: str
    workers: int | None
    timeout: float | None
    total_timeout: float | None
    attempts: int | None
    queue_size: int
    json_lines: bool
    unordered: bool
    with_input: bool
    output: str | None
    errors: str | None
    fail_fast: bool
    drain_timeout: float
    journal: str | None
    quiet: bool


class Map:
    """One call of ``steadypool map``, from its options to its exit code."""

    def __init__(self, options: MapOptions) -> None:
        self._options = options
        self._kind = KINDS[options.kind]

    def run(self) -> int:
        """Check everything, run, and say how it went. No file is emptied before all checks have passed."""
        options = self._options
        check_workers(options.kind, options.workers)
        function = load_target(options.target)
        check_function(options.target, function, self._kind)
        limits = JobLimits(options.timeout, options.total_timeout, options.attempts)
        job = line_task(options.target, function, options.json_lines, limits)
        source = LineSource.open(options.file)
        check_files(source, options.output, options.errors)
        console = console_on(stderr=True)
        if os.isatty(source.descriptor) and not options.quiet:
            say(console, "steadypool: one job on each line you type; Ctrl-D ends the input")
        journal = self._open_journal()
        errors = LineWriter.create(options.errors) if options.errors else None
        results = LineWriter.create(options.output) if options.output else LineWriter.take_stdout()
        pool = self._open()
        run = LineRun(pool, job, source, (results, errors), self._rules(pool), journal)
        return self._carry_out(run, pool, console, progress_for(console, options.quiet, source.size))

    def _open_journal(self) -> Journal | None:
        options = self._options
        if options.journal is None:
            return None
        from steadypool.cli.map.journal import Journal  # SQLite, for those who ask for it

        how = "as JSON" if options.json_lines else "as text"
        try:
            return Journal(options.journal, f"{options.target} over lines {how}")
        except (EngineError, OtherRun) as error:
            raise UsageError(str(error)) from error

    def _open(self) -> LinePool:
        """The pool, for `steadypool top` to look at where that is possible."""
        options = self._options
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # no monitor has asked for this one yet
            pool: LinePool = self._kind.open(options.workers, queue_size=options.queue_size, name="map", monitor=True)
            return pool

    def _rules(self, pool: LinePool) -> RunRules:
        options = self._options
        return RunRules(
            window=options.queue_size + pool.stats().max_workers,
            ordered=not options.unordered,
            with_input=options.with_input,
            fail_fast=options.fail_fast,
            drain_timeout=options.drain_timeout,
        )

    def _carry_out(self, run: LineRun, pool: LinePool, console: Console, progress: Progress) -> int:
        with run.stops:
            try:
                with progress:
                    run.run(progress, StuckWatch(pool, console))
            except OutputClosed:
                run.abandon()
                pool.drain(0)
                return CLOSED_PIPE
            except BaseException:
                run.abandon()
                raise
            report = pool.drain(self._options.drain_timeout)
            self._say(console, run, report)
        return _exit_code(run)

    def _say(self, console: Console, run: LineRun, report: DrainReport) -> None:
        if self._options.quiet:
            print_error_count(console, report.errors)
        else:
            print_report(console, report)
            print_errors(console, report.errors)
        if run.stops.first is not None:
            say(console, run.tally.after_signal(run.stops.first))
        elif run.was_drained:
            say(console, run.tally.after_drain())
        elif run.stopped_early:
            say(console, run.tally.after_failure())


def check_function(spec: str, function: Callable[..., Any], kind: Kind) -> None:
    """Refuse, in one line, a function that would fail on every line.

    Raises:
        UsageError: naming what would be right.
    """
    if is_generator_function(function):
        raise UsageError(f"{spec} is a generator function; return a list, which JSON can carry")
    if is_coroutine_function(function) and not kind.takes_coroutines:
        other = next((k.name for k in KINDS.values() if k.takes_coroutines), None)
        hint = f"use --kind {other}" if other else "give a plain function"
        raise UsageError(f"{spec} is a coroutine function, which --kind {kind.name} cannot run; {hint}")
    if kind.takes_coroutines and not is_coroutine_function(function):
        raise UsageError(f"{spec} is no coroutine function, which --kind {kind.name} needs; use --kind thread")
    check_takes_a_line(spec, function)


def check_takes_a_line(spec: str, function: Callable[..., Any]) -> None:
    """Refuse a function that cannot be called with one argument.

    Raises:
        UsageError: naming its arguments.
    """
    plain = function.fn if isinstance(function, Task) else function
    try:
        signature = inspect.signature(plain, follow_wrapped=False)  # a wrapper may add arguments of its own
    except (TypeError, ValueError):
        return  # a built-in that does not tell
    try:
        signature.bind("")
    except TypeError as error:
        raise UsageError(f"map calls {spec}(line), with one argument, but it is {spec}{signature}: {error}") from error


def check_files(source: LineSource, output: str | None, errors: str | None) -> None:
    """Refuse to write over the input, or two things into one file.

    Raises:
        UsageError: naming the file.
    """
    for path in (output, errors):
        if path is not None and source.is_file(path):
            raise UsageError(f"{path} is the input; write to another file")
    if output is not None and errors is not None and os.path.realpath(output) == os.path.realpath(errors):
        raise UsageError(f"{output} is given for results and for errors; write them to two files")


def _exit_code(run: LineRun) -> int:
    if run.stops.first is not None:
        return TimedExit(128 + run.stops.first, EXIT_SECONDS)
    return DONE if run.tally.succeeded == run.tally.taken and not run.was_drained else SOME_FAILED
