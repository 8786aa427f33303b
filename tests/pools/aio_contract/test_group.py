"""`tests.pools.contract.test_group` on an `AsyncPool`."""

from tests.pools.contract.test_group import *  # noqa: F403
