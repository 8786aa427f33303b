"""`tests.pools.contract.test_resize` on an `AsyncPool`."""

from tests.pools.contract.test_resize import *  # noqa: F403
