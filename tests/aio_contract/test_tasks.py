"""`tests.contract.test_tasks` on an `AsyncPool`."""

from tests.contract.test_tasks import *  # noqa: F403
