from tests.contract.test_errors import *  # noqa: F403
