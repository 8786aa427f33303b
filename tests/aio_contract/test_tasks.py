from tests.contract.test_tasks import *  # noqa: F403
