"""`tests.pools.contract.test_dump` on an `AsyncPool`."""

from tests.pools.contract.test_dump import *  # noqa: F403
