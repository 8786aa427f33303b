"""`tests.pools.contract.test_forking_jobs` on an `AsyncPool`."""

from tests.pools.contract.test_forking_jobs import *  # noqa: F403
