"""`tests.contract.test_resize` on an `AsyncPool`."""

from tests.contract.test_resize import *  # noqa: F403
