"""`tests.contract.test_errors` on an `AsyncPool`."""

from tests.contract.test_errors import *  # noqa: F403
