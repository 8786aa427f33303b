"""`tests.pools.contract.test_frozen_clock` on an `AsyncPool`."""

from tests.pools.contract.test_frozen_clock import *  # noqa: F403
