"""`tests.pools.contract.test_errors` on an `AsyncPool`."""

from tests.pools.contract.test_errors import *  # noqa: F403
