"""What the supervisor of a pool of processes sleeps on: the results and the death of each worker, and the bell."""

from __future__ import annotations

import selectors
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import socket

from steadypool.model.clock import monotonic
from steadypool.model.states import PoolState
from steadypool.pools.core.core import Core
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.primitives.wakeup import PipeBell

HEAR_SECONDS = 0.1
"""How long what has come may be read before limits are looked at."""


class Listener:
    """Waits for workers, and has what comes dealt with."""

    def __init__(
        self,
        core: Core,
        bell: PipeBell,
        results_came: Callable[[ProcessWorker], None],
        died: Callable[[ProcessWorker], None],
    ) -> None:
        self._core = core
        self._bell = bell
        self._results_came = results_came
        self.died = died
        self.gone = threading.Event()
        """The workers have left, and nothing is heard any more."""
        self._reading = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._rung = False
        self._selector.register(bell.fd, selectors.EVENT_READ, self._was_rung)

    def watch_results(self, worker: ProcessWorker) -> None:
        """Deal with its results from now on."""
        self._selector.register(worker.results, selectors.EVENT_READ, partial(self._results_came, worker))

    def watch_death(self, worker: ProcessWorker) -> None:
        """Deal with its death."""
        self._selector.register(worker.death_watch(), selectors.EVENT_READ, partial(self.died, worker))

    def rest(self, until: float | None) -> None:
        """Wait for results, deaths or the bell, until *until* at most, and deal with what comes."""
        if not self._reading.acquire(blocking=False):
            # Another thread is at it, and held up: see `pools.core.supervisor`.
            self._core.closed.wait(0.02)
            return
        try:
            self._rung = False
            # Results alone give the control plane nothing to do: whatever makes something due rings.
            while self._wait_once(until) and not self._rung and self._core.state is PoolState.OPEN:
                if until is not None and until <= monotonic():
                    return
        finally:
            self._reading.release()

    def hear_all(self) -> None:
        """See `Workers.hear_all`. Not the bell: what it was rung for is still to be done."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            until = monotonic() + HEAR_SECONDS
            while not self.gone.is_set() and monotonic() < until:
                came = [key for key, _ in self._selector.select(0) if key.fd != self._bell.fd]
                if not came:
                    return
                for key in came:
                    key.data()
        finally:
            self._reading.release()

    def _wait_once(self, until: float | None) -> bool:
        """Deal with what comes next; false if nothing came until *until*."""
        came = self._selector.select(None if until is None else max(0.0, until - monotonic()))
        fault: Exception | None = None
        for key, _ in came:
            try:
                key.data()
            except Exception as error:
                fault = error  # impossible; the other workers have a right to be heard too
        if fault is not None:
            raise fault
        return bool(came)

    def _was_rung(self) -> None:
        self._rung = True
        self._bell.heard()

    def unwatch(self, what: socket | int) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(what)

    def close(self) -> None:
        """Hear nothing any more."""
        self._selector.close()
        self._bell.close()
        self.gone.set()
