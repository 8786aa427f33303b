from tests.contract.test_books import *  # noqa: F403
