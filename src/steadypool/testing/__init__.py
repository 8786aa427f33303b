"""Floor 7, a kit for the tests of programs with jobs: each test has a real store of its own.

With pytest, the fixtures ``jobs`` and ``drained_pools`` are there by themselves. Without it, `job_store` and
`watch_pools` are ``with`` blocks.
"""

from typing import TYPE_CHECKING

from steadypool.model.lazy_module import getattr_of

if TYPE_CHECKING:
    from steadypool.testing.engine_kind import EngineKind
    from steadypool.testing.jobs import Jobs, Ran
    from steadypool.testing.matches import Between, EnqueuedJob, between
    from steadypool.testing.one_job import Interrupted
    from steadypool.testing.pools import watch_pools
    from steadypool.testing.store import job_store

__all__ = ["Between", "EngineKind", "EnqueuedJob", "Interrupted", "Jobs", "Ran", "between", "job_store", "watch_pools"]

_PLACES = {
    "steadypool.testing.engine_kind": "EngineKind",
    "steadypool.testing.jobs": "Jobs Ran",
    "steadypool.testing.matches": "Between EnqueuedJob between",
    "steadypool.testing.one_job": "Interrupted",
    "steadypool.testing.pools": "watch_pools",
    "steadypool.testing.store": "job_store",
}

if not TYPE_CHECKING:  # a type checker would take any name for one that exists
    __getattr__ = getattr_of(__name__, _PLACES)


def __dir__() -> list[str]:
    """All public names, those too that are not loaded yet."""
    return sorted({*globals(), *__all__})
