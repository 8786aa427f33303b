"""The control plane of an `AsyncPool`: its steps are called by the loop, in place of a supervisor's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context

from steadypool.model.clock import monotonic
from steadypool.model.states import PoolState
from steadypool.pools.aio.timers import Alarm, LoopBell
from steadypool.pools.core.core import Core
from steadypool.pools.core.shared import Job
from steadypool.pools.core.supervisor import do_due, look_at_limits, take_requests, walk_ladder
from steadypool.primitives.deadlines import Deadlines
from steadypool.rules.drain import earlier, wakes_at


class LoopSupervisor:
    """Does what is due when the loop calls it: soon, for the bell, or later, for the alarm.

    See `pools.core.workers.Supervision`.
    """

    def __init__(self, core: Core, bell: LoopBell, deadlines: Deadlines, fill: Callable[[], None]) -> None:
        self._core = core
        self._bell = bell
        self._deadlines = deadlines
        self._fill = fill
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = Context()
        self.alarm = Alarm(self.step)
        self.closed = asyncio.Event()
        core.at_close.append(self.closed.set)

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """The pool is opened on this loop."""
        self._loop = self._bell.loop = self.alarm.loop = loop

    def supervise(self) -> None:
        """The loop does it."""

    def need_supervisor(self) -> None:
        """The loop is one."""

    def look_soon(self) -> None:
        """From any thread; also from a signal handler or a finalizer."""
        if self._loop is None:
            self.step()  # nothing was ever submitted
            return
        try:
            self._loop.call_soon_threadsafe(self.step, context=self._context)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def wait_closed(self, limit: float | None) -> None:
        """The loop closes the pool; a pool that was never opened on one is closed at once."""

    def cancel_from_outside(self, job: Job) -> None:
        """See `Supervision`. A loop that is closed, or blocked for good, is left alone."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._core.cancel, job, True)

    def wake_before(self, moment: float) -> None:
        """Have a step at *moment*, if there is none before."""
        if moment < self._core.next_wake:
            self._core.next_wake = moment
            self.alarm.set(moment)

    def step(self) -> None:
        """Do all that is due now, and have the loop come back when something will be."""
        core = self._core
        self._bell.rung = False
        take_requests(core)
        do_due(core)
        self._deadlines.do_due(monotonic())
        opens = look_at_limits(core)
        walk_ladder(core)
        core.forecast.look()
        if core.state is PoolState.CLOSED:
            self.alarm.stop()
            return
        self._fill()
        due = earlier(earlier(core.timers.next_due(), self._deadlines.next_due()), opens)
        due = earlier(due, wakes_at(core.state, core.deadline, core.grace_ends))
        core.next_wake = float("inf") if due is None else due
        self.alarm.set(due)
