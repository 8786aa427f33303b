"""`tests.pools.contract.test_report` on an `AsyncPool`."""

from tests.pools.contract.test_report import *  # noqa: F403
