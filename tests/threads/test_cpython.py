"""CPython's own tests of executors, run against our pool where the interpreter ships them."""

from __future__ import annotations

import pytest

from steadypool import ThreadPool

pytestmark = pytest.mark.slow

pytest.importorskip("test.test_concurrent_futures", reason="this interpreter ships no test package")

from test.test_concurrent_futures import executor, test_as_completed, test_shutdown, test_wait, util  # noqa: E402


class OurMixin(util.ExecutorMixin):
    """What the standard tests make their executors with."""

    executor_type = ThreadPool


class ExecutorTest(OurMixin, executor.ExecutorTest, util.BaseTestCase):
    """submit, map, references."""


class AsCompletedTest(OurMixin, test_as_completed.AsCompletedTests, util.BaseTestCase):
    """as_completed."""


class WaitTest(OurMixin, test_wait.WaitTests, util.BaseTestCase):
    """wait."""


class ShutdownTest(OurMixin, test_shutdown.ExecutorShutdownTest, util.BaseTestCase):
    """shutdown."""

    # Their scripts import the class by name from concurrent.futures; one expects that threads cannot submit
    # at exit, which they can here.
    test_interpreter_shutdown = None
    test_submit_after_interpreter_shutdown = None
    test_hang_gh83386 = None
