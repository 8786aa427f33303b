from tests.contract.test_queue import *  # noqa: F403
