from tests.contract.test_report import *  # noqa: F403
