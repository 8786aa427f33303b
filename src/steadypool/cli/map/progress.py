"""What a person sees while a run goes on: a bar on a terminal, a line now and then elsewhere, or nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from steadypool.cli.console import say
from steadypool.cli.map.counts import Tally
from steadypool.model.clock import monotonic
from steadypool.model.quantities import clock_length

BAR_SECONDS = 0.1
LINE_SECONDS = 2.0


class Progress(AbstractContextManager[object], Protocol):
    """Shows a run's tally. Open while the run goes on."""

    def show(self, tally: Tally) -> None:
        """Show *tally*, or do nothing if the last showing is fresh enough. Cheap to call often."""
        ...

    def due_in(self, tally: Tally) -> float | None:
        """Seconds until `show` should be called though nothing has happened."""
        ...

    def finish(self, tally: Tally) -> None:
        """Show the last state of all."""
        ...


def progress_for(console: Console, quiet: bool, size: int | None) -> Progress:
    """What suits *console*. *size* is the input's length in bytes, where it is known."""
    if quiet:
        return NoProgress()
    pace = Pace(size)
    return BarProgress(console, pace) if console.is_terminal else LineProgress(console, pace)


class Pace:
    """How fast a run is, and how long it will still take."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self._began = monotonic()

    def share(self, tally: Tally) -> float | None:
        """The part of the input that is done, from 0 to 1; by bytes, since the number of lines is unknown."""
        return tally.bytes_ended / self.size if self.size else None

    def rate(self, tally: Tally) -> float:
        """Lines per second."""
        return tally.ended / max(monotonic() - self._began, 1e-9)

    def seconds_left(self, tally: Tally) -> float | None:
        """Seconds until the input is done, going on like this."""
        share = self.share(tally)
        return (monotonic() - self._began) * (1 - share) / share if share else None


def counts(pace: Pace, tally: Tally) -> str:
    """The tally in words."""
    parts = [f"{tally.ended:,} done", f"{pace.rate(tally):,.0f}/s", f"{tally.failed:,} failed"]
    left = pace.seconds_left(tally)
    if left is not None:
        parts.append(f"{clock_length(left)} left")
    return ", ".join(parts)


class NoProgress:
    """For ``--quiet``."""

    def __enter__(self) -> object:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        pass

    def show(self, tally: Tally) -> None:
        """Show nothing."""

    def due_in(self, tally: Tally) -> float | None:
        """Never."""
        return None

    def finish(self, tally: Tally) -> None:
        """Show nothing."""


class BarProgress(NoProgress):
    """A bar, drawn by rich. What jobs print appears above it."""

    def __init__(self, console: Console, pace: Pace) -> None:
        self._pace = pace
        self._shown_at = 0.0
        self._shown = -1
        self._bar = RichProgress(*_columns(pace), console=console)
        self._row = self._bar.add_task("", total=pace.size, counts="")

    def __enter__(self) -> object:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, tally: Tally) -> None:
        """Draw the bar anew, at most ten times a second."""
        if tally.ended != self._shown and monotonic() >= self._shown_at + BAR_SECONDS:
            self.finish(tally)

    def due_in(self, tally: Tally) -> float | None:
        """When the counts on screen are old."""
        if tally.ended == self._shown:
            return None
        return max(0.0, self._shown_at + BAR_SECONDS - monotonic())

    def finish(self, tally: Tally) -> None:
        """Draw the bar anew."""
        self._shown_at = monotonic()
        self._shown = tally.ended
        self._bar.update(self._row, completed=tally.bytes_ended, counts=counts(self._pace, tally))


def _columns(pace: Pace) -> list[ProgressColumn]:
    shape: list[ProgressColumn] = [SpinnerColumn()]
    if pace.size is not None:
        shape = [BarColumn(), TextColumn("{task.percentage:>3.0f}%")]
    return [*shape, TextColumn("{task.fields[counts]}"), TimeElapsedColumn()]


class LineProgress(NoProgress):
    """A plain line every few seconds, for logs."""

    def __init__(self, console: Console, pace: Pace) -> None:
        self._console = console
        self._pace = pace
        self._due_at = monotonic() + LINE_SECONDS

    def show(self, tally: Tally) -> None:
        """Print a line if one is due."""
        if monotonic() < self._due_at:
            return
        self._due_at = monotonic() + LINE_SECONDS
        share = self._pace.share(tally)
        percent = "" if share is None else f"{share:.0%}, "
        say(self._console, f"steadypool: {percent}{counts(self._pace, tally)}")

    def due_in(self, tally: Tally) -> float | None:
        """When the next line is due."""
        return max(0.0, self._due_at - monotonic())
