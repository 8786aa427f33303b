"""CPython's own tests of executors, run against our pool where the interpreter ships them."""

from __future__ import annotations

from typing import Any

import pytest

from steadypool import ThreadPool

pytestmark = pytest.mark.slow

pytest.importorskip("test.test_concurrent_futures.util", reason="this interpreter ships no such test package")

from test.test_concurrent_futures import (  # noqa: E402
    test_as_completed,
    test_init,
    test_shutdown,
    test_thread_pool,
    test_wait,
    util,
)


@pytest.fixture(autouse=True)
def scripts_use_our_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their scripts import the class by name from concurrent.futures."""
    run = test_shutdown.assert_python_ok

    def run_with_ours(option: str, script: str) -> Any:
        return run(
            option, script.replace("from concurrent.futures import ThreadPool", "from steadypool import ThreadPool")
        )

    monkeypatch.setattr(test_shutdown, "assert_python_ok", run_with_ours)


class OurMixin(util.ExecutorMixin):
    """What the standard tests make their executors with."""

    executor_type = ThreadPool


class ThreadTest(OurMixin, test_thread_pool.ThreadPoolExecutorTest):
    """submit, map, references, threads."""

    # It is about the standard library's own classes.
    test_hang_global_shutdown_lock = None


class AsCompletedTest(OurMixin, test_as_completed.AsCompletedTests, util.BaseTestCase):
    """as_completed."""


class WaitTest(OurMixin, test_wait.WaitTests, util.BaseTestCase):
    """wait."""


class InitializerTest(OurMixin, test_init.InitializerMixin, util.BaseTestCase):
    """initializer."""


class ShutdownTest(OurMixin, test_shutdown.ExecutorShutdownTest, util.BaseTestCase):
    """shutdown."""

    # It looks for "RuntimeError: cannot schedule new futures" in a traceback, where ours shows the name of PoolClosed,
    # which is one.
    test_submit_after_interpreter_shutdown = None
