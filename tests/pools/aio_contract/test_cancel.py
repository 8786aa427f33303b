"""`tests.pools.contract.test_cancel` on an `AsyncPool`."""

from tests.pools.contract.test_cancel import *  # noqa: F403
