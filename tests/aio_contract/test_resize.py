from tests.contract.test_resize import *  # noqa: F403
