"""`tests.pools.contract.test_health` on an `AsyncPool`."""

from tests.pools.contract.test_health import *  # noqa: F403
