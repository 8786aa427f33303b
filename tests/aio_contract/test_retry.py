"""`tests.contract.test_retry` on an `AsyncPool`."""

from tests.contract.test_retry import *  # noqa: F403
