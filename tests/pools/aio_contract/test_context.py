"""`tests.pools.contract.test_context` on an `AsyncPool`."""

from tests.pools.contract.test_context import *  # noqa: F403
