"""`tests.pools.contract.test_time_limits` on an `AsyncPool`."""

from tests.pools.contract.test_time_limits import *  # noqa: F403
