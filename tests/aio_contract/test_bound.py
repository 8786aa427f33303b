"""`tests.contract.test_bound` on an `AsyncPool`."""

from tests.contract.test_bound import *  # noqa: F403
