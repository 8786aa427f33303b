"""`tests.contract.test_health` on an `AsyncPool`."""

from tests.contract.test_health import *  # noqa: F403
