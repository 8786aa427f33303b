"""`tests.contract.test_context` on an `AsyncPool`."""

from tests.contract.test_context import *  # noqa: F403
