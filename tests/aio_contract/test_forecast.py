"""`tests.contract.test_forecast` on an `AsyncPool`."""

from tests.contract.test_forecast import *  # noqa: F403
