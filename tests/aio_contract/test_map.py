from tests.contract.test_map import *  # noqa: F403
