"""Keeps a worker's leases alive, from where user code cannot hold it up.

For **processes** that is a thread: jobs run elsewhere, and hold no lock of ours. For **threads and asyncio** jobs
share our interpreter, and one that holds the GIL inside C for a minute stops every thread. There the renewing is done
by a small helper process (`durable.worker.heartbeat_helper`), and the thread here only listens to it. The helper renews
while we live: it ends when its input ends, which the kernel sees to. It does not renew while we are stopped (SIGSTOP):
a worker that does nothing for longer than a lease has lost it.

It is started first and stopped last: everything a worker holds is held by it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable

from steadypool.durable.engine.errors import EngineError, SchemaMismatch
from steadypool.durable.engine.open import open_engine
from steadypool.durable.worker.heartbeat_helper import (
    NO_WORKER,
    RENEWALS,
    HelperConfig,
    read_renewals,
    renewal_interval,
    write_config,
)
from steadypool.durable.worker.program_mark import own_mark
from steadypool.durable.worker.punctuality import Punctuality
from steadypool.model.clock import monotonic
from steadypool.primitives.wakeup import Bell

_resting: list[Helper] = []
START_LIMIT = 10.0
"""Seconds that a worker waits for its helper before it begins without."""


class Heartbeat:
    """Renews the lease of one worker at a time until it is stopped.

    Args:
        url: the store.
        seconds: how long a lease holds.
        apart: whether the renewing is done by a helper process.
        on_lost: called with the worker's number, on the heartbeat's own thread, when its lease is lost.
    """

    def __init__(self, url: str, seconds: float, apart: bool, on_lost: Callable[[int], None]) -> None:
        self._url = url
        self._seconds = seconds
        self._on_lost = on_lost
        self._engine = open_engine(url)
        self._engine.timeout = seconds / RENEWALS
        self._bell = Bell()
        self._worker: int | None = None
        self._lost: int | None = None
        self._stopping = self._keeps_helper = False
        self._helper: Helper | None = None
        self._apart = apart
        self._up = threading.Event()
        """The helper has renewed the lease."""
        self._thread = threading.Thread(target=self._beat, name="steadypool-heartbeat", daemon=True)
        self._punctuality = Punctuality(seconds, renewal_interval(seconds), monotonic())

    def start(self, worker: int) -> None:
        """Look after this worker, just registered. A helper has renewed its lease once when this returns: a job that
        stops every thread of ours may begin from now on.

        Raises:
            EngineError, SchemaMismatch: the lease cannot be renewed, as with the database's last connection.
        """
        self._worker = worker
        self._engine.renew(worker, self._seconds)
        if self._apart:
            self._engine.close()  # the helper takes its place: a worker has one connection for its lease
        self._thread.start()
        if self._apart:
            self._up.wait(START_LIMIT)

    def follow(self, worker: int) -> None:
        """Look after this one from now on: the one before was lost."""
        self._worker = worker
        self._bell.ring()

    @property
    def may_sweep(self) -> bool:
        """Whether the leases of others that seem to have run out have done so; see `durable.worker.punctuality`."""
        return self._punctuality.may_sweep(monotonic())

    def stop(self, seconds: float, *, keeps_helper: bool = False) -> None:
        """Stop renewing; waits *seconds* at most for the thread to end.

        Args:
            keeps_helper: jobs are left at work in this process, and may start programs until it ends: a helper that is
                to end those stays until then.
        """
        self._keeps_helper = keeps_helper and bool(own_mark())
        self._stopping = True
        self._bell.ring()
        if self._thread.ident is None:
            self._engine.close()  # it never began: the worker could not
        else:
            self._thread.join(seconds)

    def _beat(self) -> None:
        try:
            while not self._stopping:
                if self._apart and self._helper is None:
                    self._start_helper()
                if self._helper is not None:
                    self._helper.follow(self._worker)
                self._bell.wait(monotonic() + renewal_interval(self._seconds))
                if self._helper is not None and self._helper.has_ended:
                    self._helper = None
                    self._up.clear()
                if not self._up.is_set() and not self._stopping:
                    self._renew()
        finally:
            if self._helper is not None:
                if self._keeps_helper:
                    self._helper.rest()
                else:
                    self._helper.stop()
            self._engine.close()

    def _start_helper(self) -> None:
        try:
            config = HelperConfig(self._url, self._seconds, os.getpid(), own_mark(), os.getsid(0))
            self._helper = Helper(config, self._helper_renewed)
        except OSError:
            self._helper = None  # no process to be had: the thread renews, and tries again

    def _renew(self) -> None:
        worker = self._worker
        assert worker is not None
        try:
            alive = self._engine.renew(worker, self._seconds)
        except (EngineError, SchemaMismatch):
            return  # the next beat tries again; the lease holds for some more of them
        finally:
            if self._apart:
                self._engine.close()
        self._take_renewal(worker, alive)

    def _helper_renewed(self, worker: int, alive: bool) -> None:
        self._up.set()
        self._take_renewal(worker, alive)

    def _take_renewal(self, worker: int, alive: bool) -> None:
        if alive:
            self._punctuality.renewed(monotonic())
        elif worker == self._worker and worker != self._lost and not self._stopping:
            self._lost = worker
            self._on_lost(worker)


class Helper:
    """The helper process, and the thread that reads what it says."""

    def __init__(self, config: HelperConfig, on_renewal: Callable[[int, bool], None]) -> None:
        self._process = start_program("steadypool.durable.worker.heartbeat_helper")
        self._on_renewal = on_renewal
        self._followed: int | None = None
        write_config(self._process.stdin, config)
        self._reader = threading.Thread(target=self._read, name="steadypool-heartbeat-news", daemon=True)
        self._reader.start()

    @property
    def has_ended(self) -> bool:
        """Whether the process has gone."""
        return self._process.poll() is not None

    def follow(self, worker: int | None) -> None:
        """Have it renew this worker's lease."""
        if worker is not None and worker != self._followed:
            self._followed = worker
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(f"{worker}\n".encode())
                self._process.stdin.flush()
            except OSError:
                pass  # it has ended; that is seen soon

    def stop(self) -> None:
        """End it. It may be in the middle of a transaction, which the engine undoes."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for end in (self._process.stdin, self._process.stdout):
            if end is not None:
                end.close()

    def rest(self) -> None:
        """Have it renew nothing more. It ends with this process."""
        self.follow(NO_WORKER)
        _resting.append(self)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for worker, alive in read_renewals(self._process.stdout):
            self._on_renewal(worker, alive)


def start_program(module: str) -> subprocess.Popen[bytes]:
    """Start a module of ours as a program that reads and answers through pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us
    )
