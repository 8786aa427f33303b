"""Pickling and unpickling that may run code of the user's, for the supervisor, which must not.

A result or an exception of a class is loaded by a ``__setstate__``, an import, whatever there is, unless the class is
a plain one (`ipc.harmless`); and some jobs have to be pickled again. That is done on the loader's thread, in the order
in which it came, unless something hangs: then another thread goes on with the rest.

Meanwhile the job is in the hand of a `Load`, as it is in a worker's while that runs it. So its time limit holds for
this too (from the beginning, for the job itself has kept it), and so do cancels and the drain.
"""

from __future__ import annotations

from steadypool.model.clock import monotonic
from steadypool.pools.core.core import Core
from steadypool.pools.core.shared import Job
from steadypool.pools.threads.worker import JobRunner
from steadypool.primitives.thread_stacks import thread_stack

MOST = 1000
"""Loads that may wait before the supervisor reads more slowly."""
SLOWLY = 0.01
"""Seconds that it then waits before it reads on."""


class Load(JobRunner):
    """Holds one job while its result is loaded, or while it is pickled again."""

    __slots__ = ("ident",)

    def __init__(self, core: Core, name: str) -> None:
        super().__init__(core, f"{name} (loader)")
        self.ident = 0

    def hold(self, job: Job) -> None:
        """Take the job into the hand. The core's lock is held."""
        self.hand.append(job)
        job._worker = self
        timeout = job._options.timeout
        job._attempt_ends = None if timeout is None else monotonic() + timeout

    def put_down(self, job: Job) -> bool:
        """Take the job out again; false if it was settled meanwhile."""
        try:
            self.hand.remove(job)
        except ValueError:
            return False
        job._attempt_ends = None
        return True

    def stack(self, job: Job) -> tuple[str, str]:
        """Where the loading is now."""
        return thread_stack(self.ident or None, __file__)
