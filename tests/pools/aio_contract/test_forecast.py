"""`tests.pools.contract.test_forecast` on an `AsyncPool`."""

from tests.pools.contract.test_forecast import *  # noqa: F403
