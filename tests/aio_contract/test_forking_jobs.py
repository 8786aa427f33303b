"""`tests.contract.test_forking_jobs` on an `AsyncPool`."""

from tests.contract.test_forking_jobs import *  # noqa: F403
