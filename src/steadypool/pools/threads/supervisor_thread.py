"""The thread that supervises a pool of threads or processes."""

from __future__ import annotations

import _thread
import threading
from contextlib import suppress

from steadypool.model.clock import monotonic
from steadypool.model.states import PoolState
from steadypool.pools.core.core import Core
from steadypool.pools.core.shared import Job
from steadypool.pools.core.supervisor import supervise
from steadypool.primitives.thread_start import has_begun


class SupervisorThread:
    """Started when something first needs a clock. See `pools.core.workers.Supervision`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.is_there = False
        self.thread: threading.Thread | None = None
        self._no_thread = ""
        """Why there is none."""

    def supervise(self) -> None:
        """Start the supervisor if there is none."""
        if self.is_there:
            return
        thread = threading.Thread(
            target=supervise, args=(self._core,), name=f"{self._core.name}-supervisor", daemon=True
        )
        try:
            with self._core.lock:
                # Another thread may have come first since the look above.
                if self.is_there or self._core.state is PoolState.CLOSED:  # type: ignore[redundant-expr]
                    return
                self.thread = thread
                self.is_there = True
            thread.start()
        except RuntimeError as error:
            # At interpreter exit no thread can be started: the exiting thread supervises the drain.
            self.is_there, self.thread = False, None
            self._no_thread = str(error)
        except BaseException:  # Ctrl-C: the next to need one starts it
            if self.thread is thread and not has_begun(thread):
                self.is_there, self.thread = False, None
            raise

    def need_supervisor(self) -> None:
        """As `supervise`, for a job of an open pool that cannot do without.

        Raises:
            RuntimeError: no thread can be started.
        """
        self.supervise()
        if not self.is_there and self._core.state is PoolState.OPEN:
            raise RuntimeError(
                f"no thread can be started for the supervisor of pool {self._core.name!r}: {self._no_thread}"
            )

    def look_soon(self) -> None:
        """Ring the supervisor, or have one started by a thread of its own."""
        if self.is_there:
            self._core.bell.ring()
            return
        # Starting a `threading.Thread` takes locks that the interrupted code may hold; this does not.
        with suppress(RuntimeError):  # no thread to be had at interpreter exit: a thread that waits will supervise
            _thread.start_new_thread(self._start_supervising, ())

    def _start_supervising(self) -> None:
        self.supervise()
        self._core.bell.ring()

    def wait_closed(self, limit: float | None) -> None:
        """Wait for the supervisor to close the pool; without one, or once *limit* has passed, do its work here."""
        self.supervise()
        if not self.is_there:
            supervise(self._core)
        if not self._core.closed.wait(None if limit is None else max(0.0, limit - monotonic())):
            self._core.emitter.silence()  # a sink may be what holds the supervisor up
            supervise(self._core)

    def cancel_from_outside(self, job: Job) -> None:
        """Have a job cancelled, one that runs too, by a thread that must run no code of the user's."""
        with self._core.user_calls.hurrying():
            self._core.cancel(job, True)

    def join(self, until: float | None) -> None:
        """Wait for it to end, until *until* at most."""
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join(None if until is None else max(0.0, until - monotonic()))
