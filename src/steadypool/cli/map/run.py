"""One run of ``steadypool map``: lines in, jobs through the pool, results and errors out.

Everything happens in one loop on the main thread; the pool's threads only leave a note when a job has ended.

    input ──read_block──► held lines ──submit──► pool ──note──► ended ──turn──► output
            (one block)             (the window)                       errors ──► errors file

The loop sleeps in one place, and everything that can happen to it ends that sleep: an ended job, a signal, more
input, the reader of the output leaving. Input is only waited for while the window has room, so that what is held
in memory is one block of input and one window of lines, however long the input is.
"""

from __future__ import annotations

import functools
import select
import signal
from collections import deque
from concurrent.futures import CancelledError
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from steadypool import JobFuture, Outcome, PoolClosed, QueueFull, Task
from steadypool.cli.exit_codes import OutputClosed, OutputFailed, UsageError
from steadypool.cli.kinds import LinePool
from steadypool.cli.map.counts import Tally
from steadypool.cli.map.lines import Line, LineSource
from steadypool.cli.map.order import PendingLine, Turns
from steadypool.cli.map.progress import Progress
from steadypool.cli.map.rows import error_row, result_row
from steadypool.cli.map.stuck_watch import StuckWatch
from steadypool.cli.map.writer import LineWriter
from steadypool.durable.engine.errors import EngineError, OtherRun
from steadypool.primitives.signal_ladder import SignalLadder
from steadypool.primitives.wakeup import PipeBell

if TYPE_CHECKING:
    from steadypool.cli.map.journal import Journal

SUBMITS_PER_ROUND = 64
"""Between two looks at what has ended."""
ROOM_SECONDS = 1.0
"""How long a submit may wait for room that stuck jobs hold, before the loop looks round again."""
READABLE = select.POLLIN
GONE_ONLY = 0
"""A poll for nothing still tells of an error or a hang-up: the other end has left."""
FAILURES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED})


class StopSignals(SignalLadder):
    """Ctrl-C and SIGTERM: the first asks for an orderly end, the second for a quick one, the third ends at once.

    The note is written by the handler, the wake-up by the interpreter itself (``set_wakeup_fd``): a signal that
    comes in the moment before the sleep begins ends it too.
    """

    def __init__(self, bell: PipeBell) -> None:
        super().__init__((signal.SIGINT, signal.SIGTERM), spare_ignored=True, last=signal.SIG_DFL)
        self._bell = bell
        self._old_wakeup = -1

    def __enter__(self) -> Self:
        self._old_wakeup = signal.set_wakeup_fd(self._bell.write_fd, warn_on_full_buffer=False)
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.restore()
        signal.set_wakeup_fd(self._old_wakeup)


@dataclass(frozen=True, slots=True)
class RunRules:
    """What the command line says about the run as a whole."""

    window: int
    """How many lines may be held at a time."""
    ordered: bool
    with_input: bool
    fail_fast: bool
    drain_timeout: float


class LineRun:
    """See the module's text. `run` returns when every line taken has its outcome and is written."""

    def __init__(
        self,
        pool: LinePool,
        job: Task[[str], str],
        source: LineSource,
        outputs: tuple[LineWriter, LineWriter | None],
        rules: RunRules,
        journal: Journal | None = None,
    ) -> None:
        self.tally = Tally()
        self._pool = pool
        self._job = job
        self._source = source
        self._results, self._errors = outputs
        self._rules = rules
        self._journal = journal
        self._turns = Turns(rules.ordered)
        self._bell = PipeBell()
        self._ended: deque[tuple[PendingLine, JobFuture[str]]] = deque()
        self._refused: Line | None = None
        self._heeded = 0
        self.stopped_early = False
        self.was_drained = False
        """Another thread or process has closed the pool before the input was used up."""
        self._failed_fast = False
        self._has_closed = False
        self.stops = StopSignals(self._bell)
        pool._core.at_close.append(self._note_close)

    def run(self, progress: Progress, watch: StuckWatch) -> None:
        """Work until the input is used up or a signal, a failure or the output's reader says to stop.

        Raises:
            OutputClosed, OutputFailed: see `LineWriter.flush`.
        """
        journal = self._journal
        if journal is None:
            self._run(progress, watch)
            return
        try:
            with closing(journal):
                self._run(progress, watch)
        except EngineError as error:
            raise OutputFailed(
                f"the journal cannot be used any more: {error}; {self.tally.succeeded:,} results came before that"
            ) from error

    def _run(self, progress: Progress, watch: StuckWatch) -> None:
        while not self._is_over():
            self._heed_signals()
            self._heed_close(self._has_closed)
            self._submit_some()
            self._take_ended()
            self._flush()
            progress.show(self.tally)
            if not self._has_work():
                self._sleep(_sooner(progress.due_in(self.tally), watch.due_in(self.tally)))
                watch.look(self.tally)
        progress.finish(self.tally)

    def abandon(self) -> None:
        """The reader of the results has left: end as soon as the jobs can be stopped."""
        self._stop_early()
        self._pool.request_drain(0)

    # ── the steps of a round ──────────────────────────────────────────────────────────────────────────────

    def _is_over(self) -> bool:
        return self.tally.under_way == 0 and self._refused is None and self._source.is_used_up

    def _heed_signals(self) -> None:
        received = len(self.stops.received)
        if received == self._heeded:
            return
        self._heeded = received
        self._stop_early()
        if received > 1:
            self._pool.request_drain(0)

    def _heed_close(self, closed: bool) -> None:
        """The pool takes no more: a job has failed meanwhile, or a monitor has drained it."""
        if closed and not self.stopped_early:
            is_done = self._refused is None and self._source.is_used_up
            self.was_drained = not (self._failed_fast or is_done)
            self._stop_early()

    def _stop_early(self) -> None:
        """Take no more lines, hand back those that wait, and let run what runs."""
        if self.stopped_early:
            return
        self.stopped_early = True
        self._source.forget()
        self._refused = None
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool.request_drain(self._rules.drain_timeout)

    def _submit_some(self) -> None:
        for _ in range(SUBMITS_PER_ROUND):
            line = self._line_to_submit()
            if line is None:
                return
            if self._is_done_already(line):
                continue
            try:
                future = self._pool.submit_within(ROOM_SECONDS, self._job, line.text)
            except QueueFull:
                self._refused = line
                return
            except PoolClosed:
                self._refused = line  # as good as not read
                self._heed_close(True)
                return
            self._refused = None
            self._take(line, future)

    def _is_done_already(self, line: Line) -> bool:
        """Whether the journal has the line's result, which is then as good as one that has just come."""
        if self._journal is None or line is self._refused:
            return False
        try:
            result = self._journal.result_of(line.number, line.text)
        except OtherRun as error:
            raise UsageError(str(error)) from error
        if result is None:
            return False
        ticket = PendingLine(line)
        self.tally.taken += 1
        self._turns.enter(ticket)
        self._succeeded(ticket, result)
        return True

    def _line_to_submit(self) -> Line | None:
        if len(self._turns) >= self._rules.window:
            return None
        if self._refused is not None:
            return self._refused
        line = self._source.next_line()
        while line is None and not self._source.at_end and not self._source.blocks:
            self._source.read_block()
            line = self._source.next_line()
        return line

    def _take(self, line: Line, future: JobFuture[str]) -> None:
        ticket = PendingLine(line)
        self.tally.taken += 1
        self._turns.enter(ticket)
        future.add_done_callback(functools.partial(self._note_end, ticket))

    def _note_end(self, ticket: PendingLine, future: JobFuture[str]) -> None:
        """Called by whichever thread settled the job, before it takes another."""
        self._ended.append((ticket, future))
        if self._rules.fail_fast and _failed(future):
            self._failed_fast = True
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._bell.ring()

    def _note_close(self) -> None:
        """Called by the thread that has closed the pool: no line may be left to wake this run."""
        self._has_closed = True
        self._bell.ring()

    def _take_ended(self) -> None:
        while self._ended:
            ticket, future = self._ended.popleft()
            if future.outcome is Outcome.SUCCEEDED:
                result = future.result()
                if self._journal is not None:
                    self._journal.note(ticket.line.number, ticket.line.text, result)
                self._succeeded(ticket, result)
            else:
                self._take_failure(ticket, future)
                self._leave(ticket)

    def _succeeded(self, ticket: PendingLine, result: str) -> None:
        self.tally.succeeded += 1
        ticket.result = result_row(ticket.line, result, self._rules.with_input)
        self._leave(ticket)

    def _leave(self, ticket: PendingLine) -> None:
        self.tally.bytes_ended += ticket.line.size
        for due in self._turns.leave(ticket):
            if due.result is not None:
                self._results.add(due.result)

    def _take_failure(self, ticket: PendingLine, future: JobFuture[str]) -> None:
        error = _error_of(future)  # looked at, written down or not: it is in the table, and needs no warning
        if self._errors is not None:
            assert future.outcome is not None, "a job that has ended has its outcome"
            self._errors.add(error_row(ticket.line, future.outcome, error, future.attempts))
        if not _failed(future):
            self.tally.not_done += 1
            return
        self.tally.failed += 1
        self.tally.timed_out += future.outcome is Outcome.TIMED_OUT
        if self._rules.fail_fast:
            self._stop_early()

    def _flush(self) -> None:
        if self._journal is not None:
            self._journal.flush()
        self._results.flush()
        if self._errors is not None:
            self._errors.flush()

    # ── sleeping ──────────────────────────────────────────────────────────────────────────────────────────

    def _has_work(self) -> bool:
        """Whether the next round has something to do without waiting."""
        if self._ended or len(self.stops.received) != self._heeded or self._is_over():
            return True
        if self._has_closed and not self.stopped_early:
            return True
        if len(self._turns) >= self._rules.window:
            return False
        source = self._source
        return self._refused is not None or source.holds_line or not (source.at_end or source.blocks)

    def _sleep(self, seconds: float | None) -> None:
        ready = self._bell.wait(seconds, self._watched())
        if self._results.descriptor in ready:
            raise OutputClosed(self._results.name)
        if self._source.descriptor in ready:
            self._source.read_block()

    def _watched(self) -> dict[int, int]:
        watched = {}
        if self._source.blocks and not self._source.at_end and len(self._turns) < self._rules.window:
            watched[self._source.descriptor] = READABLE
        if self._results.has_reader:
            watched[self._results.descriptor] = GONE_ONLY
        return watched


def _sooner(one: float | None, other: float | None) -> float | None:
    return min((seconds for seconds in (one, other) if seconds is not None), default=None)


def _failed(future: JobFuture[str]) -> bool:
    return future.outcome in FAILURES


def _error_of(future: JobFuture[str]) -> BaseException:
    try:
        error = future.exception()
    except CancelledError as cancelled:
        return cancelled
    assert error is not None, "only a success has no error"
    return error
