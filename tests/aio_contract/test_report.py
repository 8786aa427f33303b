"""`tests.contract.test_report` on an `AsyncPool`."""

from tests.contract.test_report import *  # noqa: F403
