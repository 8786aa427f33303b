"""`tests.pools.contract.test_books` on an `AsyncPool`."""

from tests.pools.contract.test_books import *  # noqa: F403
