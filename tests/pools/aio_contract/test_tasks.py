"""`tests.pools.contract.test_tasks` on an `AsyncPool`."""

from tests.pools.contract.test_tasks import *  # noqa: F403
