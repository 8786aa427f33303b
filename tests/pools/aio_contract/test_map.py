"""`tests.pools.contract.test_map` on an `AsyncPool`."""

from tests.pools.contract.test_map import *  # noqa: F403
