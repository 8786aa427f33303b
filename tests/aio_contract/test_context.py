from tests.contract.test_context import *  # noqa: F403
