"""`tests.pools.contract.test_events` on an `AsyncPool`."""

from tests.pools.contract.test_events import *  # noqa: F403
