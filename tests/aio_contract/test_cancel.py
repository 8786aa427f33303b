from tests.contract.test_cancel import *  # noqa: F403
