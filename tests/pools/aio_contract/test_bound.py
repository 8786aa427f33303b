"""`tests.pools.contract.test_bound` on an `AsyncPool`."""

from tests.pools.contract.test_bound import *  # noqa: F403
