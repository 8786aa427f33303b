"""`tests.contract.test_books` on an `AsyncPool`."""

from tests.contract.test_books import *  # noqa: F403
