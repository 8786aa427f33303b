"""`tests.pools.contract.test_queue` on an `AsyncPool`."""

from tests.pools.contract.test_queue import *  # noqa: F403
