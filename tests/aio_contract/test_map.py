"""`tests.contract.test_map` on an `AsyncPool`."""

from tests.contract.test_map import *  # noqa: F403
