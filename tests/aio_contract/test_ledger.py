"""`tests.contract.test_ledger` on an `AsyncPool`."""

from tests.contract.test_ledger import *  # noqa: F403
