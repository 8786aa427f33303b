from tests.contract.test_group import *  # noqa: F403
