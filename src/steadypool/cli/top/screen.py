"""The viewer's loop: news, keys and the clock in, frames out.

It runs on one thread and sleeps in one place, until the program says something, a key is pressed, the terminal changes
its size, a signal comes, or it is time for the next look. A look is asked for only when the last one was answered.
"""

from __future__ import annotations

import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.live import Live

from steadypool.cli.top.frame import draw
from steadypool.cli.top.keys import Keyboard
from steadypool.cli.top.link import Link
from steadypool.cli.top.view import View
from steadypool.model.clock import monotonic
from steadypool.model.monitor_messages import Question
from steadypool.model.snapshots import Snapshot
from steadypool.primitives.wakeup import PipeBell


class Screen:
    """One watching, from the first frame to the last."""

    def __init__(self, console: Console, link: Link, view: View, keyboard: Keyboard, interval: float) -> None:
        self._console = console
        self._link = link
        self._view = view
        self._keyboard = keyboard
        self._interval = interval
        self._next_look = 0.0
        self._waits_for_look = False
        self._bell = PipeBell()

    def run(self, choose: Callable[[], None]) -> None:
        """Show the program's pools until the user quits. *choose* is called when the pools are known."""
        view = self._view
        with (
            _waking(self._bell.write_fd),
            self._keyboard,
            Live(console=self._console, screen=True, auto_refresh=False) as live,
        ):
            while not view.quits:
                self._ask()
                live.update(draw(view, self._console.width, self._console.height), refresh=True)
                self._wait()
                if view.snapshot is not None:
                    choose()

    def _ask(self) -> None:
        view = self._view
        if view.has_ended:
            return
        for question in view.questions:
            self._link.ask(question)
        view.questions.clear()
        if not self._waits_for_look and monotonic() >= self._next_look:
            self._waits_for_look = True
            self._next_look = monotonic() + self._interval
            self._link.ask(Question("look"))

    def _wait(self) -> None:
        sources: list[Link | Keyboard | int] = [self._keyboard, self._bell.fd]
        if self._link.is_open:
            sources.append(self._link)
        seconds = self._interval if self._waits_for_look else max(0.0, self._next_look - monotonic())
        ready, _, _ = select.select(sources, (), (), None if self._view.has_ended else seconds)
        if self._bell.fd in ready:
            self._bell.heard()
        if self._link in ready:
            self._hear()
        if self._keyboard in ready:
            self._press()

    def _hear(self) -> None:
        for said in self._link.read():
            self._waits_for_look &= not isinstance(said, Snapshot)
            self._view.hear(said)
        if not self._link.is_open:
            self._view.end()

    def _press(self) -> None:
        keys = self._keyboard.read()
        if keys is None:
            self._view.quits = True  # the terminal is gone
        for key in keys or ():
            self._view.press(key)


@contextmanager
def _waking(descriptor: int) -> Iterator[None]:
    """A block in which a change of the terminal's size wakes the loop, and SIGTERM and SIGHUP leave in order."""
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, _note)
    wakeup = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)


def _note(number: int, frame: FrameType | None) -> None:
    """The interpreter has written to the descriptor: that is all."""


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
