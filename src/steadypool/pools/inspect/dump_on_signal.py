"""`dump` on a signal. The handler does nothing but wake a thread, which takes the stacks and writes them.

The thread is woken by the `SignalPipe`, so that a dump comes also while the main thread is held up, which is when it is
wanted most; and by the handler where the pipe is not heard, such as beside an event loop that listens to signals.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from steadypool.pools.inspect.dump import dump_text
from steadypool.primitives.signal_ladder import SignalLadder
from steadypool.primitives.signal_pipe import pipe
from steadypool.primitives.wakeup import Bell

if TYPE_CHECKING:
    from steadypool.pools.core.core import Core

LAST_DUMP_SECONDS = 2.0
"""How long the end of the block waits for a dump that is being written."""


class TextFile(Protocol):
    """What has a ``write`` for text."""

    def write(self, text: str, /) -> object:
        """Take some text."""


Target = TextFile | Callable[[str], object] | None
"""Where a dump goes: a file, a function, or (``None``) standard error."""


class DumpOnSignal:
    """The ``with`` block of ``pool.dump_on_signal(signal)``: each such signal writes where every running job is.

    The old handler comes back at the end of the block.
    """

    def __init__(self, core: Core, number: int, to: Target) -> None:
        if to is not None and not callable(to) and not callable(getattr(to, "write", None)):
            raise TypeError(f"dump_on_signal(to) must be a text file, a function of the text, or None; got {to!r}")
        self._core = core
        self._ladder = SignalLadder([number], self._handle, steps=None)
        self._to = to
        self._bell = Bell()
        self._handled = self._noted = 0
        """Signals that the handler has left to the pipe; those that the pipe has told of, which may be more."""
        self._is_asked = False
        self._is_over = False
        self._thread = threading.Thread(target=self._write_dumps, name=f"{core.name}-dumps", daemon=True)

    def __enter__(self) -> DumpOnSignal:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "dump_on_signal() needs the main thread, the only one in which Python runs signal handlers; "
                "elsewhere, call pool.dump() for the text"
            )
        # In this order: once the handler is there, what it leaves to the pipe must be heard.
        pipe.listen(self._note)
        try:
            self._ladder.__enter__()
        except BaseException:
            pipe.leave(self._note)  # SIGKILL, say, which cannot be caught
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pipe.leave(self._note)
        self._ladder.restore()
        if self._handled > self._noted:
            self._ask()  # the pipe had not come round to it, and now never will
        self._is_over = True
        self._bell.ring()
        self._thread.join(LAST_DUMP_SECONDS)

    def _note(self, number: int) -> None:
        """On the pipe's thread."""
        if number in self._ladder.signals:
            self._noted += 1
            self._ask()

    def _handle(self, count: int) -> None:
        if pipe.is_heard():
            self._handled += 1
        else:
            self._ask()

    def _ask(self) -> None:
        self._is_asked = True
        self._bell.ring()

    def _write_dumps(self) -> None:
        while True:
            self._bell.wait(None)
            is_over = self._is_over
            if self._is_asked:
                self._is_asked = False
                self._write_dump()
            if is_over:
                return

    def _write_dump(self) -> None:
        try:
            self._write(dump_text(self._core))
        except Exception:
            logging.getLogger("steadypool").exception("a dump of pool %r could not be written", self._core.name)

    def _write(self, text: str) -> None:
        to = sys.stderr if self._to is None else self._to
        if to is None:
            return  # a program without a standard error
        if callable(to):
            to(text)
            return
        to.write(text)
        flush = getattr(to, "flush", None)
        if flush is not None:
            flush()
