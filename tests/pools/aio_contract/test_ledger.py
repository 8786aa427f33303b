"""`tests.pools.contract.test_ledger` on an `AsyncPool`."""

from tests.pools.contract.test_ledger import *  # noqa: F403
