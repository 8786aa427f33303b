"""`tests.contract.test_dump` on an `AsyncPool`."""

from tests.contract.test_dump import *  # noqa: F403
