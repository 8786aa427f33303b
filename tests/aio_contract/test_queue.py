"""`tests.contract.test_queue` on an `AsyncPool`."""

from tests.contract.test_queue import *  # noqa: F403
