"""`tests.contract.test_group` on an `AsyncPool`."""

from tests.contract.test_group import *  # noqa: F403
