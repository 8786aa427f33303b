"""`tests.pools.contract.test_drain` on an `AsyncPool`."""

from tests.pools.contract.test_drain import *  # noqa: F403
