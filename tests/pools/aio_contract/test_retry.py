"""`tests.pools.contract.test_retry` on an `AsyncPool`."""

from tests.pools.contract.test_retry import *  # noqa: F403
