"""`tests.contract.test_drain` on an `AsyncPool`."""

from tests.contract.test_drain import *  # noqa: F403
