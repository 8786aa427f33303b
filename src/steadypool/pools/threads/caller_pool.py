"""A pool whose jobs run on the thread that submits them."""

from __future__ import annotations

from collections.abc import Sequence

from steadypool.pools.core.shared import Job
from steadypool.pools.executor.contract import Prepared
from steadypool.pools.threads.pool import ThreadPool


class CallerPool(ThreadPool):
    """A `ThreadPool` for a floor above, which submits what it has prepared and finds it ended."""

    def _submit_prepared(self, calls: Sequence[Prepared]) -> list[Job]:
        """See `PoolContract._submit_prepared`."""
        return [self._run_in_caller(options, fn, args, {}) for options, fn, args in calls]
