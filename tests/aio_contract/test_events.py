"""`tests.contract.test_events` on an `AsyncPool`."""

from tests.contract.test_events import *  # noqa: F403
