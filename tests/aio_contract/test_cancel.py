"""`tests.contract.test_cancel` on an `AsyncPool`."""

from tests.contract.test_cancel import *  # noqa: F403
