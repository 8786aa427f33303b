"""`tests.contract.test_time_limits` on an `AsyncPool`."""

from tests.contract.test_time_limits import *  # noqa: F403
