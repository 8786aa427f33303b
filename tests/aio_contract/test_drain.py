from tests.contract.test_drain import *  # noqa: F403
